"""Replays AgentDojo's ground truth through a running edge: what the user asked for, then what the injected text asks for.

No model takes part. The agent is taken to obey every injection to the letter, after it has done the user's task."""

import argparse
import asyncio
import collections
import os
import pathlib
import socket

import intents
import mcp_servers
import proctor
import report
import suites
from agentdojo.attacks.attack_registry import load_attack

ATTACK = "important_instructions"
LABELS = pathlib.Path(__file__).parent / "labels.yaml"


class Replay:
    def __init__(self, admin, approver, edge: str, suite: str, tools: suites.Tools, labels: dict, attack: str):
        self.admin, self.approver, self.edge = admin, approver, edge
        self.name, self.tools, self.labels = suite, tools, labels
        self.suite = tools.suite
        self.schemas = {tool["name"]: tool["inputSchema"] for tool in tools.definitions()}
        self.number = 0
        # An agent under its own name: the attack's words do not matter here.
        pipeline = type("Pipeline", (), {"name": "gpt-4o-2024-05-13"})()
        self.attack = load_attack(attack, self.suite, pipeline)
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
            proctor.AGENT, f"{self.name}-{self.number}", task.PROMPT, self.name, names, self.schemas, self.labels
        )
        async with proctor.Session(self.admin, self.approver, self.edge, self.name) as session:
            await session.open(declaration)
            asked = [await self.ask(session, call) for call in calls]
            attack = [await self.ask(session, call) for call in (self.injected[injection][1] if injection else [])]
        return asked, attack

    async def ask(self, session: proctor.Session, call):
        verdict, why = await session.call(call.function, mcp_servers.jsonable(dict(call.args)))
        if verdict == "escalated":
            # As if a person had agreed: the task goes on from there.
            self.tools.run(call.function, call.args)
        return call.function, verdict, why

    async def all(self, details) -> collections.Counter:
        count = collections.Counter()
        for user in self.user:
            asked, _ = await self.run(user, None)
            report.count_task(count, asked)
            self.note(details, user, asked)
        for injection, (_, wanted) in self.injected.items():
            if not wanted:
                continue
            for user, (_, calls) in self.user.items():
                asked, attack = await self.run(user, injection)
                names = {call.function for call in calls}
                by_name = all(call.function in names for call in wanted)
                through = report.count_attack(count, asked, attack, by_name, lambda tool: self.labels[tool]["verb"])
                self.note(details, f"{user} {injection}", asked)
                if through:
                    details.write(f"{self.name} {user} {injection} {through}\n")
        return count

    def note(self, details, run: str, asked) -> None:
        for tool, verdict, why in asked:
            if verdict != "allowed":
                details.write(f"{self.name} {run} {verdict} {tool}: {why}\n")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edge", required=True)
    parser.add_argument("--suite", action="append")
    parser.add_argument("--version", default=suites.VERSION, help="of the benchmark: v1 to v1.2.2")
    parser.add_argument("--attack", default=ATTACK, help="by its name in the benchmark: tool_knowledge, direct, injecagent, ...")
    parser.add_argument("--details", default=os.devnull, help="a file for what was not as hoped")
    report.bars(parser)
    options = parser.parse_args()
    admin, approver = await proctor.principals()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    tools, labelled = suites.of(options.version), proctor.labels(LABELS)
    mcp_servers.serve(port, tools)
    names = options.suite or list(tools)
    for suite in names:
        await proctor.register(admin, suite, f"http://127.0.0.1:{port}/{suite}/mcp", labelled[suite])
    with open(options.details, "w") as details:
        replays = [
            Replay(admin, approver, options.edge, suite, tools[suite], labelled[suite], options.attack) for suite in names
        ]
        counts = await asyncio.gather(*(replay.all(details) for replay in replays))
    print(report.table(dict(zip(names, counts))))
    report.hold(options, counts)


asyncio.run(main())
