"""The installation under test: its admin API, and runs of an agent through its edge."""

import asyncio
import os
import pathlib
import subprocess
import time
from contextlib import AsyncExitStack

import httpx2
import yaml
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

AGENT = "replay"
ALLOW = 'package proctor.policy\n\ndecision := {"effect": "allow", "reasons": []}\n'


class Admin:
    """The admin API of the installation under test."""

    def __init__(self, url: str, key: str):
        self.http = httpx2.AsyncClient(
            base_url=f"{url}/v1/tenants/acme/", headers={"Authorization": f"Bearer {key}"}, timeout=30, trust_env=False
        )

    async def __call__(self, method: str, path: str, body=None):
        answer = await self.http.request(method, path, json=body)
        if answer.status_code >= 300:
            raise SystemExit(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json() if answer.content else None


async def principals() -> tuple[Admin, Admin]:
    """One who declares, and one who decides: who declares intents may not decide about their calls. The agent and its policy
    are there afterwards."""
    url = os.environ["PROCTOR_API_URL"]
    admin = Admin(url, os.environ["PROCTOR_ADMIN_KEY"])
    key = (await admin("POST", "api-keys", {"name": "approver", "roles": ["approver"]}))["key"]
    await admin("PUT", f"agents/{AGENT}", {})
    policy = await admin("PUT", "policies/allow", {"modules": [{"name": "allow.rego", "source": ALLOW}]})
    await admin("POST", f"policies/allow/versions/{policy['version']}/activate", {"mode": "enforce"})
    return admin, Admin(url, key)


def labels(path: pathlib.Path) -> dict:
    return {
        suite: {tool: {"verb": "write", **label} for tool, label in tools.items()}
        for suite, tools in yaml.safe_load(path.read_text()).items()
    }


async def register(admin: Admin, suite: str, url: str, labels: dict) -> None:
    """Registers a suite's tools as they are, then labels them: an operator who has read them all, also those whose
    description speaks to the model."""
    command = [os.environ["PROCTOR_BIN"], "server", "import", suite, "--url", url, "--accept-findings"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    registered = await admin("GET", f"tool-servers/{suite}")
    for entry in registered["tools"]:
        label = labels[entry["definition"]["name"]]
        entry["verb"] = label["verb"]
        entry["output"] = label.get("output", "untrusted")
        entry["roles"] = label.get("roles", {})
        entry["consequential"] = label.get("consequential", [])
        entry["output_fields"] = {field: "trusted" for field in label.get("t", [])}
    body = {key: registered[key] for key in ("upstream", "timeout_ms", "result_bytes_max", "tools")}
    await admin("PUT", f"tool-servers/{suite}", body)


class Session:
    """One run of the agent: an intent, a token, and an MCP session with the edge."""

    def __init__(self, admin: Admin, approver: Admin, edge: str, suite: str):
        self.admin, self.approver, self.edge, self.suite = admin, approver, edge, suite

    async def __aenter__(self):
        self.stack = AsyncExitStack()
        await self.stack.__aenter__()
        return self

    async def __aexit__(self, *failure):
        return await self.stack.__aexit__(*failure)

    async def open(self, declaration: dict) -> None:
        declared = await self.admin("POST", "intents", declaration)
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3000))
        caveats = [f"time < {until}", f"tool in {self.suite}/*", f"intent = {declared['id']}", f"session = {declaration['session']}"]
        token = (await self.admin("POST", "tokens", {"agent": AGENT, "caveats": caveats}))["token"]
        headers = {"Authorization": f"Bearer {token}"}
        http = await self.stack.enter_async_context(httpx2.AsyncClient(headers=headers, timeout=30, trust_env=False))
        await self.known(http, declaration["actions"][0]["tool"])
        transport = streamable_http_client(f"{self.edge}/v1/mcp/{self.suite}", http_client=http)
        self.client = await self.stack.enter_async_context(Client(transport, mode="auto"))

    async def known(self, http, tool: str) -> None:
        """Waits until the edge has heard of the intent."""
        question = {
            "subject": {"type": "agent", "id": AGENT},
            "action": {"name": "call"},
            "resource": {"type": "tool", "id": tool, "properties": {"arguments": {}}},
        }
        for _ in range(1000):
            answer = (await http.post(f"{self.edge}/access/v1/evaluation", json=question)).text
            if not any(word in answer for word in ("intent_unknown", "not_ready", "definition_changed")):
                return
            await asyncio.sleep(0.01)
        raise SystemExit(f"the edge does not know the intent: {answer}")

    async def call(self, tool: str, arguments: dict) -> tuple[str, str]:
        """`allowed`, `escalated` or `refused`, and why."""
        try:
            await self.client.call_tool(tool, arguments)
            return "allowed", ""
        except MCPError as error:
            data = error.error.data or {}
            reason = data.get("reason") or str(error.error.message)
            why = f"{reason} {error.error.message}"
            return ("escalated" if await self.asked(reason, data) else "refused"), why

    async def asked(self, reason: str, data: dict) -> bool:
        """Whether a person has a question before him. He says no at once: nothing is to be executed by it, and no queue is to
        be full for the next. To the same call once more he need not say so again."""
        if reason == "approval_denied":
            return True
        if reason != "approval_required" or not data.get("approval_id"):
            return False
        denied = await self.approver("POST", f"approvals/{data['approval_id']}/deny", {"comment": "replay"})
        return bool(denied["question"].strip())
