"""What the protocol has beside tools, by the official Python client: as protocol.mjs does, and log lines.

Prints what came of each as one JSON line.

    protocol.py URL TOKEN legacy|auto
"""

import asyncio
import json
import sys
import time

import anyio
import httpx2
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp_types import CreateMessageResult, ElicitResult, ListRootsResult, PromptReference, Root, TextContent

URL, TOKEN, MODE = sys.argv[1:4]
SLOW = "trigger-long-running-operation"


async def elicited(_context, _params):
    return ElicitResult(action="accept", content={"name": "Ada"})


async def sampled(_context, params):
    asked = params.messages[0].content
    first = asked[0] if isinstance(asked, list) else asked
    content = TextContent(type="text", text=f"heard: {first.text}")
    return CreateMessageResult(role="assistant", content=content, model="none")


async def rooted(_context):
    return ListRootsResult(roots=[Root(uri="file:///work", name="work")])


class Log:
    """Levels of the lines that came, and the call that is to be given up at the next one."""

    def __init__(self):
        self.levels = []
        self.scope = None

    async def heard(self, params):
        self.levels.append(params.level)
        if self.scope is not None:
            self.scope.cancel()


def text(result):
    return "\n".join(block.text for block in result.content)


def steps_of(how):
    """What a tool that is called with this tells of its progress."""

    async def stepped(progress, total, _message):
        how.append([int(progress), int(total)])

    return stepped


async def progressed(client):
    steps = []
    await client.call_tool(SLOW, {"duration": 1, "steps": 4}, progress_callback=steps_of(steps))
    return steps


async def cancelled(client):
    begun = time.monotonic()
    with anyio.CancelScope() as scope:
        # It is under way, and known to be, once it says how far it is.
        async def stepped(_progress, _total, _message):
            scope.cancel()

        await client.call_tool(SLOW, {"duration": 60, "steps": 60}, progress_callback=stepped)
    if not scope.cancelled_caught:
        return "it was answered"
    after = await client.call_tool("echo", {"message": "still here"})
    return {"soon": time.monotonic() - begun < 20, "after": text(after)}


async def logged(client, log):
    """The server says something every five seconds, to nobody's request: it is for the one that waits."""
    if MODE == "legacy":
        await client.set_logging_level("debug")
    await client.call_tool("toggle-simulated-logging", {})
    with anyio.CancelScope() as scope:
        log.scope = scope
        await client.call_tool(SLOW, {"duration": 20, "steps": 20})
    log.scope = None
    return scope.cancelled_caught and len(log.levels) > 0


async def complete(client):
    ref = PromptReference(type="ref/prompt", name="completable-prompt")
    completed = await client.complete(ref, {"name": "department", "value": "S"})
    return completed.completion.values


async def play(client, log):
    told = {"version": client.protocol_version}

    async def tell(what, how):
        try:
            told[what] = await how
        except MCPError as error:
            told[what] = {"error": error.code, "message": error.message, "data": error.data}
        except Exception as error:  # noqa: BLE001: whatever it is belongs to what is told
            told[what] = {"error": type(error).__name__, "message": str(error)}

    async def names(listing, of):
        return of(await listing)

    # First: a server that has not asked by itself yet asks now, and not in the middle of another call.
    await tell("roots", names(client.call_tool("get-roots-list", {}), text))
    await tell("resources", names(client.list_resources(), lambda all: [one.uri for one in all.resources]))
    templates = client.list_resource_templates()
    await tell("templates", names(templates, lambda all: [one.uri_template for one in all.resource_templates]))
    read = client.read_resource("demo://resource/dynamic/text/7")
    await tell("read", names(read, lambda read: read.contents[0].text))
    foreign = client.read_resource("demo://resource/dynamic/blob/7")
    await tell("not granted", names(foreign, lambda read: len(read.contents)))
    await tell("prompts", names(client.list_prompts(), lambda all: [one.name for one in all.prompts]))
    prompt = client.get_prompt("args-prompt", {"city": "Delft"})
    await tell("prompt", names(prompt, lambda prompt: prompt.messages[0].content.text))
    await tell("completion", complete(client))
    await tell("progress", progressed(client))
    await tell("cancel", cancelled(client))
    await tell("elicitation", names(client.call_tool("trigger-elicitation-request", {}), text))
    asked = client.call_tool("trigger-sampling-request", {"prompt": "hello", "maxTokens": 10})
    await tell("sampling", names(asked, text))
    await tell("logging", logged(client, log))
    return told


async def main():
    log = Log()
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx2.AsyncClient(headers=headers, timeout=30, trust_env=False) as http:
        client = Client(
            streamable_http_client(URL, http_client=http),
            mode=MODE,
            sampling_callback=sampled,
            elicitation_callback=elicited,
            list_roots_callback=rooted,
            logging_callback=log.heard,
            log_level="debug",
        )
        async with client:
            told = await play(client, log)
    print(json.dumps(told))


asyncio.run(main())
