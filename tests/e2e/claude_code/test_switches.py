"""Claude Code with its switches: what it sends changes, what it gets done does not."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from asgi_llmgate.protocol.translation.request.tool_names import ToolNames
from asgi_llmgate.testing.model_script import call, say
from tests.e2e.claude_code.client import tool_results

if TYPE_CHECKING:
    from tests.e2e.claude_code.client import ClaudeCode
    from tests.e2e.conftest import Lab

pytestmark = pytest.mark.suites

PROGRAMS = Path(__file__).parents[1] / "programs"


@pytest.mark.parametrize(
    "switches",
    [
        {"ENABLE_TOOL_SEARCH": "false"},
        {"CLAUDE_CODE_DISABLE_EXPERIMENTAL_BETAS": "1"},
        {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "CLAUDE_CODE_GATEWAY_HINT_HEADERS": "1"},
        {"ANTHROPIC_MODEL": "qwen3-coder", "CLAUDE_CODE_MAX_CONTEXT_TOKENS": "32768"},
        {"CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY": "1"},
    ],
    ids=", ".join,
)
def test_a_turn_with_tools(lab: Callable[..., Lab], claude: ClaudeCode, switches: dict[str, str]) -> None:
    gate = lab(
        [call("Write", file_path="a.txt", content="a") + call("Bash", command="true", description="x"), say("Done.")]
    )
    run = claude("Write a.txt.", "--allowedTools", "Write,Bash", gate=gate, **switches)
    assert (run.result, run.is_error) == ("Done.", False)
    assert (run.folder / "a.txt").read_text() == "a"
    assert {record["status"] for record in gate.records()} == {200}


def test_a_model_is_tried_with_one_token_before_it_is_chosen(lab: Callable[..., Lab], claude: ClaudeCode) -> None:
    """OpenAI takes no less than 16, so more is asked for, and what is too much is cut off."""
    gate = lab([say("one two three four five six seven eight")])
    run = claude("/model qwen3-coder", gate=gate)
    assert "Set model to" in run.result
    assert "qwen3-coder" in run.result
    [probe] = gate.calls
    assert (probe.body["model"], probe.body["max_tokens"]) == ("qwen3-coder", 1)
    assert gate.model.chats[-1].body["max_tokens"] == 16


def test_a_tool_of_a_name_that_is_too_long_for_openai(lab: Callable[..., Lab], claude: ClaudeCode) -> None:
    name = "mcp__the-company-knowledge-base__say_what_is_in_the_knowledge_base_backwards"
    _, server, tool = name.split("__", 2)
    shortened = ToolNames([name])[name]
    assert len(name) > 64 >= len(shortened)
    gate = lab(
        [
            call("ToolSearch", query=f"select:{name}", max_results=1),
            call(shortened, words="drawkcab"),
            say("It says: backward."),
        ]
    )
    program = {"command": sys.executable, "args": [str(PROGRAMS / "mcp_server.py"), tool]}
    config = json.dumps({"mcpServers": {server: program}})
    run = claude("Ask.", "--mcp-config", config, "--strict-mcp-config", "--allowedTools", name, gate=gate)
    assert (run.result, run.is_error) == ("It says: backward.", False)
    found, said = tool_results(gate.model.chats[-1])
    assert (found, said) == (f"Tool now available: {shortened}", "backward")
    assert gate.model.chats[-1].tool_names[-1] == shortened
