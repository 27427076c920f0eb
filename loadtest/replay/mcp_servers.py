"""Tools of a benchmark as MCP servers, one for each suite."""

import json
import threading
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Protocol

import mcp_types as types
import uvicorn
from mcp.server.lowlevel.server import Server
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.routing import Mount


class Tools(Protocol):
    """The tools of one suite on the environment of the moment."""

    def definitions(self) -> list[dict]:
        """Name, description and input schema of each."""

    def run(self, tool: str, arguments: dict) -> tuple[object, str | None]:
        """The result, and the error if there is one."""


def jsonable(value):
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, dict):
        return {str(key): jsonable(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(element) for element in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


def application(name: str, tools: Tools):
    """A result that is not text comes as {"result": ...}."""

    async def listed(_context, _params) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[types.Tool.model_validate(tool) for tool in tools.definitions()])

    async def called(_context, params) -> types.CallToolResult:
        result, error = tools.run(params.name, params.arguments or {})
        if error:
            return types.CallToolResult(content=[types.TextContent(type="text", text=error)], is_error=True)
        result = jsonable(result)
        if isinstance(result, str):
            return types.CallToolResult(content=[types.TextContent(type="text", text=result)])
        structured = {"result": result}
        text = types.TextContent(type="text", text=json.dumps(structured))
        return types.CallToolResult(content=[text], structured_content=structured)

    return Server(name, on_list_tools=listed, on_call_tool=called).streamable_http_app(
        streamable_http_path="/mcp", json_response=True, stateless_http=True
    )


def serve(port: int, suites: dict[str, Tools]) -> None:
    """Serves all suites at /{suite}/mcp, in a thread."""
    apps = {suite: application(suite, tools) for suite, tools in suites.items()}

    @asynccontextmanager
    async def lifespan(_app):
        async with AsyncExitStack() as stack:
            for app in apps.values():
                await stack.enter_async_context(app.router.lifespan_context(app))
            yield

    app = Starlette(routes=[Mount(f"/{suite}", app=of) for suite, of in apps.items()], lifespan=lifespan)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error"))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.02)
