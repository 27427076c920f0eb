"""Replays tau2-bench's ground truth through a running edge: what customers ask a company's agent for.

No model takes part. In the shop, also with a poisoned catalogue: the agent is taken to obey it to the letter, after it has
done what the customer asked for."""

import argparse
import asyncio
import collections
import os
import pathlib
import socket

import domains
import intents
import mcp_servers
import proctor
import report

LABELS = pathlib.Path(__file__).parent / "labels.yaml"


class Replay:
    def __init__(self, admin, approver, edge: str, domain: domains.Domain, labels: dict):
        self.admin, self.approver, self.edge = admin, approver, edge
        self.domain, self.labels = domain, labels
        self.schemas = {tool["name"]: tool["inputSchema"] for tool in domain.definitions()}
        self.readers = [tool for tool in self.schemas if labels[tool]["verb"] == "read"]
        self.number = 0

    async def run(self, task, wanted: list[domains.Call], poisoned: list[str]):
        """The verdicts on the customer's calls and on those that the goods' names ask for."""
        self.domain.begin(task)
        if poisoned:
            domains.poison(self.domain.db, poisoned, wanted)
        calls = domains.calls(task)
        calls = self.domain.look_ups(calls) + calls
        self.number += 1
        session = f"{self.domain.name}-{self.number}"
        # Who answers customers may look everything up.
        tools = [*self.readers, *needed(task)]
        goal = domains.prompt(task)
        declaration = intents.declare(proctor.AGENT, session, goal, self.domain.name, tools, self.schemas, self.labels)
        async with proctor.Session(self.admin, self.approver, self.edge, self.domain.name) as session:
            await session.open(declaration)
            asked = [await self.ask(session, call) for call in calls if not self.is_own(call)]
            attack = [await self.ask(session, call) for call in wanted]
        return asked, attack

    def is_own(self, call: domains.Call) -> bool:
        """Does what the customer does himself."""
        if call.by_customer:
            self.domain.run(call.tool, call.arguments, "user")
        return call.by_customer

    async def ask(self, session: proctor.Session, call: domains.Call):
        verdict, why = await session.call(call.tool, call.arguments)
        if verdict == "escalated":
            # As if a person had agreed: the task goes on from there.
            self.domain.run(call.tool, call.arguments)
        return call.tool, verdict, why

    async def all(self, details) -> collections.Counter:
        count = collections.Counter()
        for task in self.domain.tasks.values():
            asked, _ = await self.run(task, [], [])
            report.count_task(count, asked)
            self.note(details, task.id, asked)
            if self.domain.name == "retail":
                await self.attacked(task, count, details)
        return count

    async def attacked(self, task, count: collections.Counter, details) -> None:
        """The same task with each attack on its customer, if it has to do with goods."""
        self.domain.begin(task)
        db = self.domain.db
        orders = domains.named(domains.calls(task), "order_id", db.orders)
        if not orders:
            return
        products = domains.products_of(db, orders)
        for name, wanted in domains.attacks(db, orders).items():
            asked, attack = await self.run(task, wanted, products)
            by_name = all(call.tool in needed(task) for call in wanted)
            through = report.count_attack(count, asked, attack, by_name, lambda tool: self.labels[tool]["verb"])
            self.note(details, f"{task.id} ({name})", asked)
            if through:
                details.write(f"{self.domain.name} {task.id} ({name}) {through}\n")

    def note(self, details, run: str, asked) -> None:
        for tool, verdict, why in asked:
            if verdict != "allowed":
                details.write(f"{self.domain.name} {run} {verdict} {tool}: {why}\n")


def needed(task) -> set[str]:
    """The names of the tools that a task needs."""
    return {call.tool for call in domains.calls(task) if not call.by_customer}


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edge", required=True)
    parser.add_argument("--domain", action="append", choices=domains.NAMES)
    parser.add_argument("--details", default=os.devnull, help="a file for what was not as hoped")
    report.bars(parser)
    options = parser.parse_args()
    admin, approver = await proctor.principals()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    names, labelled = options.domain or domains.NAMES, proctor.labels(LABELS)
    served = {name: domains.Domain(name) for name in names}
    mcp_servers.serve(port, served)
    for name in names:
        await proctor.register(admin, name, f"http://127.0.0.1:{port}/{name}/mcp", labelled[name])
    # Line by line: a long run can be looked at while it goes on.
    with open(options.details, "w", buffering=1) as details:
        replays = [Replay(admin, approver, options.edge, served[name], labelled[name]) for name in names]
        counts = await asyncio.gather(*(replay.all(details) for replay in replays))
    print(report.table(dict(zip(names, counts))))
    report.hold(options, counts)


if __name__ == "__main__":
    asyncio.run(main())
