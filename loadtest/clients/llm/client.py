"""What the official Python clients of OpenAI and Anthropic make of an edge: base URL and capability token as arguments."""

import json
import sys

import anthropic
import openai

EDGE, TOKEN = sys.argv[1:3]
USER = [{"role": "user", "content": "good morning, all is well"}]
TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]


def failed(act):
    """The class, status and code of the error that a client raises, and what it had read by then."""
    read = []
    try:
        act(read)
    except (openai.APIError, anthropic.APIError) as error:
        body = error.body if isinstance(error.body, dict) else {}
        body = body.get("error", body)
        data = body.get("data") or {}
        return {
            "type": type(error).__name__,
            "base": isinstance(error, (openai.APIError, anthropic.APIError)),
            "status": getattr(error, "status_code", None),
            "reason": data.get("reason"),
            "message": body.get("message"),
            "read": "".join(read),
        }
    return {"type": None, "read": "".join(read)}


def played_openai():
    client = openai.OpenAI(base_url=f"{EDGE}/v1/llm/openai", api_key=TOKEN, max_retries=0)
    chat = client.chat.completions.create
    out = {}

    whole = chat(model="echo", messages=USER)
    out["whole"] = {"text": whole.choices[0].message.content, "tokens": [whole.usage.prompt_tokens, whole.usage.completion_tokens]}

    text, usage, finish = "", None, None
    for chunk in chat(model="echo", messages=USER, stream=True, stream_options={"include_usage": True}):
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
        usage = chunk.usage or usage
    out["stream"] = {"text": text, "finish": finish, "tokens": [usage.prompt_tokens, usage.completion_tokens]}

    call = chat(model="caller", messages=USER, tools=TOOLS).choices[0].message.tool_calls[0]
    out["tool"] = {"name": call.function.name, "arguments": json.loads(call.function.arguments)}

    name, arguments = "", ""
    for chunk in chat(model="caller", messages=USER, tools=TOOLS, stream=True):
        for choice in chunk.choices:
            for call in choice.delta.tool_calls or []:
                name += call.function.name or ""
                arguments += call.function.arguments or ""
    out["tool_stream"] = {"name": name, "arguments": json.loads(arguments)}

    out["leaky"] = chat(model="leaky", messages=USER).choices[0].message.content
    out["leaky_stream"] = "".join(
        choice.delta.content or "" for chunk in chat(model="leaky", messages=USER, stream=True) for choice in chunk.choices
    )

    out["models"] = [model.id for model in client.models.list()]
    response = client.responses.create(model="echo", input="good morning, all is well")
    out["response"] = {"text": response.output_text, "tokens": [response.usage.input_tokens, response.usage.output_tokens]}
    text, last = "", None
    for event in client.responses.create(model="echo", input="good morning, all is well", stream=True):
        text += event.delta if event.type == "response.output_text.delta" else ""
        last = event
    out["response_stream"] = {"text": text, "last": last.type, "whole": last.response.output_text}
    calls = []
    for event in client.responses.create(model="caller", input="hi", stream=True):
        if event.type == "response.output_item.done" and event.item.type == "function_call":
            calls.append({"name": event.item.name, "arguments": json.loads(event.item.arguments)})
    out["response_tool_stream"] = calls
    out["embeddings"] = len(client.embeddings.create(model="echo", input=["a text", "another"], encoding_format="float").data)

    def runaway(read):
        for chunk in chat(model="runaway", messages=USER, stream=True):
            read.extend(choice.delta.content or "" for choice in chunk.choices)

    def response_runaway(read):
        for event in client.responses.create(model="runaway", input="x", stream=True):
            read.append(event.delta if event.type == "response.output_text.delta" else "")

    out["runaway"] = failed(runaway)
    out["response_runaway"] = failed(response_runaway)
    out["unknown_model"] = failed(lambda _: chat(model="none", messages=USER))
    out["wrong"] = failed(lambda _: chat(model="wrong", messages=USER))
    out["broken"] = failed(lambda _: chat(model="broken", messages=USER))
    out["busy"] = chat(model="busy", messages=USER).choices[0].message.content
    out["cut"] = failed(lambda _: list(chat(model="cut", messages=USER, stream=True)))
    out["secret"] = failed(lambda _: chat(model="echo", messages=[{"role": "user", "content": "my key is AKIAQWERTYUIOP234567"}]))
    other = openai.OpenAI(base_url=f"{EDGE}/v1/llm/openai", api_key="pct_x", max_retries=0)
    out["forged"] = failed(lambda _: other.chat.completions.create(model="echo", messages=USER))
    return out


def played_anthropic():
    client = anthropic.Anthropic(base_url=f"{EDGE}/v1/llm/anthropic", api_key=TOKEN, max_retries=0)
    create = client.messages.create
    tools = [{"name": "get_weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}]
    out = {}

    whole = create(model="echo", max_tokens=512, messages=USER)
    out["whole"] = {"text": whole.content[0].text, "tokens": [whole.usage.input_tokens, whole.usage.output_tokens]}

    with client.messages.stream(model="echo", max_tokens=512, messages=USER) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    out["stream"] = {"text": text, "finish": final.stop_reason, "tokens": [final.usage.input_tokens, final.usage.output_tokens]}

    block = create(model="caller", max_tokens=512, messages=USER, tools=tools).content[1]
    out["tool"] = {"name": block.name, "arguments": block.input}
    with client.messages.stream(model="caller", max_tokens=512, messages=USER, tools=tools) as stream:
        block = stream.get_final_message().content[1]
    out["tool_stream"] = {"name": block.name, "arguments": block.input}

    out["leaky"] = create(model="leaky", max_tokens=512, messages=USER).content[0].text
    with client.messages.stream(model="leaky", max_tokens=512, messages=USER) as stream:
        out["leaky_stream"] = "".join(stream.text_stream)

    out["models"] = [model.id for model in client.models.list()]
    beta = client.beta.messages.create
    out["beta"] = beta(model="echo", max_tokens=512, messages=USER, betas=["effort-2025-11-24"]).content[0].text
    out["beta_refused"] = failed(lambda _: beta(model="echo", max_tokens=9, messages=USER, betas=["mcp-client-2025-04-04"]))

    def runaway(read):
        with client.messages.stream(model="runaway", max_tokens=100000, messages=USER) as stream:
            for text in stream.text_stream:
                read.append(text)

    out["runaway"] = failed(runaway)
    out["unknown_model"] = failed(lambda _: create(model="none", max_tokens=9, messages=USER))
    out["broken"] = failed(lambda _: create(model="broken", max_tokens=9, messages=USER))
    other = anthropic.Anthropic(base_url=f"{EDGE}/v1/llm/anthropic", api_key="pct_x", max_retries=0)
    out["forged"] = failed(lambda _: other.messages.create(model="echo", max_tokens=9, messages=USER))
    return out


print(json.dumps({"openai": played_openai(), "anthropic": played_anthropic()}))
