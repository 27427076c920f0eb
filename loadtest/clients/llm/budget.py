"""What the official Python client of OpenAI makes of a stream that a budget cuts: base URL and capability token as arguments."""

import json
import sys

import openai

EDGE, TOKEN = sys.argv[1:3]


def streamed():
    """What was read of a stream that never ends, and the error that the client raises."""
    client = openai.OpenAI(base_url=f"{EDGE}/v1/llm/free", api_key=TOKEN, max_retries=0)
    read = []
    try:
        for chunk in client.chat.completions.create(model="runaway", messages=[{"role": "user", "content": "go"}], stream=True):
            read.extend(choice.delta.content or "" for choice in chunk.choices)
    except openai.APIError as error:
        body = error.body if isinstance(error.body, dict) else {}
        return {
            "type": type(error).__name__,
            "status": getattr(error, "status_code", None),
            "reason": (body.get("data") or {}).get("reason"),
            "message": body.get("message"),
            "read": "".join(read),
        }
    return {"type": None, "read": "".join(read)}


print(json.dumps({"cut": streamed(), "next": streamed()}))
