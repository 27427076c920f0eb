"""The official Python client: both eras. Prints what came of a script's calls as one JSON line."""

import asyncio
import json
import sys

import httpx2
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError


async def main() -> None:
    url, token, mode, script = sys.argv[1:5]
    calls = []
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(headers=headers, timeout=30, trust_env=False) as http:
        async with Client(streamable_http_client(url, http_client=http), mode=mode) as client:
            listed = await client.list_tools()
            for call in json.loads(script):
                try:
                    result = await client.call_tool(call["name"], call["arguments"])
                    calls.append({"result": result.model_dump(mode="json", by_alias=True)})
                except MCPError as error:
                    calls.append({"error": error.error.model_dump(mode="json")})
            version = client.protocol_version
    tools = [tool.name for tool in listed.tools]
    print(json.dumps({"version": version, "tools": tools, "calls": calls}))


asyncio.run(main())
