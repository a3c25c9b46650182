"""A tool of an MCP server whose schema the model server refuses: the session goes on."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from asgi_llmgate.testing.model_script import ReceivedRequest, Turn, call, refuse, say
from tests.e2e.claude_code.client import tool_results

if TYPE_CHECKING:
    from tests.e2e.claude_code.client import ClaudeCode
    from tests.e2e.conftest import Lab

pytestmark = pytest.mark.suites

PROGRAM = Path(__file__).parents[1] / "programs" / "mcp_server.py"
TOOL = "mcp__files__backwards"


def options(**properties: Any) -> list[str]:
    program = {"command": sys.executable, "args": [str(PROGRAM), "backwards", json.dumps(properties)]}
    config = json.dumps({"mcpServers": {"files": program}})
    return ["--mcp-config", config, "--strict-mcp-config", "--allowedTools", TOOL]


def schema(request: ReceivedRequest) -> str:
    """The tool's, as the model server got it; empty where it did not."""
    tools = [each["function"] for each in request.body.get("tools", ())]
    return next((json.dumps(tool["parameters"]) for tool in tools if tool["name"] == TOOL), "")


def is_refused(request: ReceivedRequest) -> bool:
    return "propertyNames" in schema(request)


def stands_at(place: int) -> Callable[[ReceivedRequest], bool]:
    return lambda request: is_refused(request) and request.tool_names[place] == TOOL


GEMINI = [
    refuse(
        400,
        'Invalid JSON payload received. Unknown name "propertyNames" at '
        f"'tools[0].function_declarations[{place}].parameters.properties[1].value': Cannot find field.",
    )
    .when(stands_at(place))
    .always()
    for place in range(40)
]
OPENAI = [
    refuse(400, f"Invalid schema for function '{TOOL}': In context=('properties', 'tags'), it is too long.")
    .when(is_refused)
    .always()
]
USE = [
    call("ToolSearch", query=f"select:{TOOL}", max_results=1),
    call(TOOL, words="drawkcab"),
    say("It says: backward."),
    say("Good night."),
]


@pytest.mark.parametrize("refusals", [GEMINI, OPENAI], ids=["by its place", "by its name"])
def test_a_schema_that_is_refused_is_mended_once(
    lab: Callable[..., Lab], claude: ClaudeCode, refusals: list[Turn]
) -> None:
    gate = lab([*refusals, *USE])
    tags = {"tags": {"type": "object", "propertyNames": {"pattern": "^a"}}}
    run = claude("Ask.", *options(**tags), gate=gate)
    assert (run.result, run.is_error) == ("It says: backward.", False)
    assert tool_results(gate.model.chats[-1])[-1] == "backward"
    assert claude("Good night.", "--continue", *options(**tags), gate=gate).result == "Good night."
    assert [is_refused(request) for request in gate.model.chats] == [False, True, False, False, False]
    assert all("words" in schema(request) for request in gate.model.chats[1:])


def test_a_tool_that_is_refused_in_every_form_does_not_end_the_session(
    lab: Callable[..., Lab], claude: ClaudeCode
) -> None:
    refusal = refuse(400, f"Invalid schema for function '{TOOL}': the moon is not full.")
    gate = lab(
        [
            refusal.when(lambda request: TOOL in request.tool_names).always(),
            call("ToolSearch", query=f"select:{TOOL}", max_results=1),
            say("I have no such tool."),
        ]
    )
    run = claude("Ask.", *options(), gate=gate)
    assert (run.result, run.is_error) == ("I have no such tool.", False)
    assert [TOOL in str(record.get("llmgate.dropped")) for record in gate.records()] == [False, True]
