"""AgentDojo's tools as MCP servers, one for each suite, on an environment that the replay sets."""

import json
import threading
import time

import mcp_types as types
import uvicorn
from agentdojo.functions_runtime import FunctionsRuntime
from agentdojo.task_suite.load_suites import get_suites
from mcp.server.lowlevel.server import Server
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.routing import Mount

VERSION = "v1.2.2"
SUITES = get_suites(VERSION)


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


class Tools:
    """The tools of one suite on the environment of the moment."""

    def __init__(self, suite: str):
        self.suite = SUITES[suite]
        self.runtime = FunctionsRuntime(self.suite.tools)
        self.environment = None

    def definitions(self) -> list[dict]:
        return [
            {"name": tool.name, "description": tool.description, "inputSchema": tool.parameters.model_json_schema()}
            for tool in self.suite.tools
        ]

    async def list(self, _context, _params) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[types.Tool.model_validate(tool) for tool in self.definitions()])

    async def call(self, _context, params) -> types.CallToolResult:
        result, error = self.runtime.run_function(self.environment, params.name, params.arguments or {})
        if error:
            return types.CallToolResult(content=[types.TextContent(type="text", text=error)], is_error=True)
        result = jsonable(result)
        if isinstance(result, str):
            return types.CallToolResult(content=[types.TextContent(type="text", text=result)])
        structured = {"result": result}
        text = types.TextContent(type="text", text=json.dumps(structured))
        return types.CallToolResult(content=[text], structured_content=structured)


def serve(port: int) -> dict[str, Tools]:
    """Serves all suites at /{suite}/mcp, in a thread."""
    tools = {suite: Tools(suite) for suite in SUITES}
    apps = {
        suite: Server(suite, on_list_tools=of.list, on_call_tool=of.call).streamable_http_app(
            streamable_http_path="/mcp", json_response=True, stateless_http=True
        )
        for suite, of in tools.items()
    }

    from contextlib import AsyncExitStack, asynccontextmanager

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
    return tools
