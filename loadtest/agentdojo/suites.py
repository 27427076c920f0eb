"""AgentDojo's tools, on an environment that the replay sets."""

from agentdojo.functions_runtime import FunctionsRuntime
from agentdojo.task_suite.load_suites import get_suites

VERSION = "v1.2.2"


class Tools:
    """The tools of one suite on the environment of the moment."""

    def __init__(self, suite):
        self.suite = suite
        self.runtime = FunctionsRuntime(suite.tools)
        self.environment = None

    def definitions(self) -> list[dict]:
        return [
            {"name": tool.name, "description": tool.description, "inputSchema": tool.parameters.model_json_schema()}
            for tool in self.suite.tools
        ]

    def run(self, tool: str, arguments: dict) -> tuple[object, str | None]:
        return self.runtime.run_function(self.environment, tool, arguments)


def of(version: str) -> dict[str, Tools]:
    """All suites of a version of the benchmark."""
    return {name: Tools(suite) for name, suite in get_suites(version).items()}
