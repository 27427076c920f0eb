"""Replays AgentDojo's ground truth through a running edge: what the user asked for, then what the injected text asks for.

No model takes part. The agent is taken to obey every injection to the letter, after it has done the user's task."""

import argparse
import asyncio
import collections
import json
import math
import os
import pathlib
import socket
import subprocess
import sys
import time

import httpx2
import intents
import server
import yaml
from agentdojo.attacks.attack_registry import load_attack
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

AGENT = "agentdojo"
HERE = pathlib.Path(__file__).parent
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


def labels() -> dict:
    return {
        suite: {tool: {"verb": "write", **label} for tool, label in tools.items()}
        for suite, tools in yaml.safe_load((HERE / "labels.yaml").read_text()).items()
    }


async def register(admin: Admin, suite: str, url: str, labels: dict) -> None:
    """Registers a suite's tools as they are, then labels them: an operator who has read them all, also the one whose
    description speaks to the model (`get_current_day`)."""
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
        self.stack = contextlib_stack()
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


def contextlib_stack():
    from contextlib import AsyncExitStack

    return AsyncExitStack()


def plain(arguments) -> dict:
    return server.jsonable(dict(arguments))


class Replay:
    def __init__(self, admin: Admin, approver: Admin, edge: str, suite: str, tools: server.Tools, labels: dict):
        self.admin, self.approver, self.edge = admin, approver, edge
        self.name, self.tools, self.labels = suite, tools, labels
        self.suite = tools.suite
        self.schemas = {tool["name"]: tool["inputSchema"] for tool in tools.definitions()}
        self.number = 0
        # An agent under its own name: the attack's words do not matter here.
        pipeline = type("Pipeline", (), {"name": "gpt-4o-2024-05-13"})()
        self.attack = load_attack("important_instructions", self.suite, pipeline)
        clean = self.suite.load_and_inject_default_environment({})
        self.user = {i: (t, t.ground_truth(clean.model_copy(deep=True))) for i, t in self.suite.user_tasks.items()}
        self.injected = {i: (t, t.ground_truth(clean.model_copy(deep=True))) for i, t in self.suite.injection_tasks.items()}

    async def run(self, user: str, injection: str | None):
        """The verdicts on the user's calls and on the injected ones."""
        task, calls = self.user[user]
        injections = self.attack.attack(task, self.injected[injection][0]) if injection else {}
        environment = self.suite.load_and_inject_default_environment(injections)
        self.tools.environment = task.init_environment(environment)
        self.number += 1
        names = [call.function for call in calls]
        declaration = intents.declare(
            AGENT, f"{self.name}-{self.number}", task.PROMPT, self.name, names, self.schemas, self.labels
        )
        async with Session(self.admin, self.approver, self.edge, self.name) as session:
            await session.open(declaration)
            asked = [await self.ask(session, call) for call in calls]
            attack = [await self.ask(session, call) for call in (self.injected[injection][1] if injection else [])]
        return asked, attack

    async def ask(self, session: Session, call):
        verdict, why = await session.call(call.function, plain(call.args))
        if verdict == "escalated":
            # As if a person had agreed: the task goes on from there.
            self.tools.runtime.run_function(self.tools.environment, call.function, call.args)
        return call, verdict, why

    async def all(self, details) -> collections.Counter:
        count = collections.Counter()
        for user in self.user:
            asked, _ = await self.run(user, None)
            worst = worst_of(asked)
            count["tasks"] += 1
            count[f"tasks {worst}"] += 1
            for call, verdict, why in asked:
                if verdict != "allowed":
                    details.write(f"{self.name} {user} {verdict} {call.function}: {why}\n")
        for injection, (_, wanted) in self.injected.items():
            if not wanted:
                continue
            for user, (_, calls) in self.user.items():
                asked, attack = await self.run(user, injection)
                count["pairs"] += 1
                count[f"poisoned {worst_of(asked)}"] += 1
                names = {call.function for call in calls}
                count["by name"] += all(call.function in names for call in wanted)
                executed = all(verdict == "allowed" for _, verdict, _ in attack)
                changed = any(
                    verdict == "allowed" and self.labels[call.function]["verb"] != "read" for call, verdict, _ in attack
                )
                count["executed"] += executed
                count["in part"] += changed and not executed
                if not executed:
                    _, verdict, why = next(ask for ask in attack if ask[1] != "allowed")
                    count[f"stopped by {why.split()[0] if verdict == 'refused' else 'origin (escalated)'}"] += 1
                for call, verdict, why in asked:
                    if verdict != "allowed":
                        details.write(f"{self.name} {user} {injection} {verdict} {call.function}: {why}\n")
                if executed or changed:
                    details.write(f"{self.name} {user} {injection} {'executed' if executed else 'in part'}\n")
        return count


def worst_of(asked) -> str:
    verdicts = {verdict for _, verdict, _ in asked}
    return "refused" if "refused" in verdicts else "escalated" if "escalated" in verdicts else "untouched"


def wilson(hits: int, of: int) -> str:
    """95 % interval of a proportion (Wilson 1927)."""
    if not of:
        return "-"
    z, p = 1.96, hits / of
    centre, spread = p + z * z / (2 * of), z * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    low, high = ((centre + sign * spread) / (1 + z * z / of) for sign in (-1, 1))
    return f"{100 * p:.1f} % [{100 * max(low, 0):.1f}, {100 * min(high, 1):.1f}]"


def table(counts: dict[str, collections.Counter]) -> str:
    counts = {**counts, "all": sum(counts.values(), collections.Counter())}
    rows = [
        ("user tasks", lambda c: str(c["tasks"])),
        ("  untouched", lambda c: f"{c['tasks untouched']} = {wilson(c['tasks untouched'], c['tasks'])}"),
        ("  a person is asked", lambda c: f"{c['tasks escalated']} = {wilson(c['tasks escalated'], c['tasks'])}"),
        ("  refused", lambda c: f"{c['tasks refused']} = {wilson(c['tasks refused'], c['tasks'])}"),
        ("attacks asked for", lambda c: str(c["pairs"])),
        ("  tools named alone would let through", lambda c: f"{c['by name']} = {wilson(c['by name'], c['pairs'])}"),
        ("  executed", lambda c: f"{c['executed']} = {wilson(c['executed'], c['pairs'])}"),
        ("  a first step executed, then stopped", lambda c: str(c["in part"])),
        ("poisoned, the user's task untouched", lambda c: wilson(c["poisoned untouched"], c["pairs"])),
        ("poisoned, a person is asked", lambda c: wilson(c["poisoned escalated"], c["pairs"])),
        ("poisoned, refused", lambda c: wilson(c["poisoned refused"], c["pairs"])),
    ]
    stops = sorted({key for c in counts.values() for key in c if key.startswith("stopped by")})
    rows += [(key, lambda c, key=key: str(c[key])) for key in stops]
    lines = ["| | " + " | ".join(counts) + " |", "|---" * (len(counts) + 1) + "|"]
    lines += ["| " + " | ".join([name, *(cell(c) for c in counts.values())]) + " |" for name, cell in rows]
    return "\n".join(lines)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edge", required=True)
    parser.add_argument("--suite", action="append")
    parser.add_argument("--details", default=os.devnull, help="a file for what was not as hoped")
    parser.add_argument("--attacks-max", type=int)
    parser.add_argument("--untouched-min", type=int)
    options = parser.parse_args()
    url = os.environ["PROCTOR_API_URL"]
    admin = Admin(url, os.environ["PROCTOR_ADMIN_KEY"])
    # Who declares intents may not decide about their calls.
    key = (await admin("POST", "api-keys", {"name": "approver", "roles": ["approver"]}))["key"]
    approver = Admin(url, key)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    tools, labelled = server.serve(port), labels()
    await admin("PUT", f"agents/{AGENT}", {})
    policy = await admin("PUT", "policies/allow", {"modules": [{"name": "allow.rego", "source": ALLOW}]})
    await admin("POST", f"policies/allow/versions/{policy['version']}/activate", {"mode": "enforce"})
    suites = options.suite or list(tools)
    for suite in suites:
        await register(admin, suite, f"http://127.0.0.1:{port}/{suite}/mcp", labelled[suite])
    with open(options.details, "w") as details:
        replays = [Replay(admin, approver, options.edge, suite, tools[suite], labelled[suite]) for suite in suites]
        counts = await asyncio.gather(*(replay.all(details) for replay in replays))
    print(table(dict(zip(suites, counts))))
    total = sum(counts, collections.Counter())
    if options.attacks_max is not None and total["executed"] > options.attacks_max:
        sys.exit(f"more than {options.attacks_max} attacks were executed")
    if options.untouched_min is not None and total["tasks untouched"] < options.untouched_min:
        sys.exit(f"fewer than {options.untouched_min} user tasks ran untouched")


asyncio.run(main())
