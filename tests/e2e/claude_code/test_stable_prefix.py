"""Prompt caches live on it: what one turn sends upstream is, byte for byte, the beginning of what the next one sends.

The property test in tests/protocol/properties has all that we could think of; here the client writes the requests.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec
import pytest

from asgi_llmgate.testing.model_script import ReceivedRequest, call, say

if TYPE_CHECKING:
    from tests.e2e.claude_code.client import ClaudeCode
    from tests.e2e.conftest import Lab

pytestmark = pytest.mark.suites


class Sent(msgspec.Struct):
    messages: list[msgspec.Raw]
    tools: list[msgspec.Raw]


def sent(request: ReceivedRequest) -> tuple[list[bytes], list[bytes]]:
    read = msgspec.json.decode(request.raw, type=Sent)
    return [bytes(message) for message in read.messages], [bytes(tool) for tool in read.tools]


@pytest.mark.parametrize("dialect", ["openai", "vllm", "deepseek"])
def test_a_conversation_only_ever_grows(lab: Callable[..., Lab], claude: ClaudeCode, dialect: str) -> None:
    turns = (
        [
            say("I will look.")
            + call("Bash", command="echo 1", description="Say 1")
            + call("Read", file_path="no.txt"),
            call("ToolSearch", query="select:CronList", max_results=1),
            call("CronList"),
            say("Nothing is there."),
        ],
        [
            call("ToolSearch", query="select:WebSearch,NotebookEdit", max_results=2),
            call("WebSearch", query="anything"),
            call("Write", file_path="new.txt", content='ünïcödé \\ "quoted"\n'),
            call("Read", file_path="new.txt"),
            say("Written."),
        ],
        [call("ToolSearch", query="select:CronList,CronCreate", max_results=2), say("Loaded.")],
        [say("Goodbye.")],
    )
    gate = lab([answer for turn in turns for answer in turn], backend={"dialect": dialect})
    for number, turn in enumerate(turns):
        going_on = ["--continue"] if number else []
        effort = ["--effort", ("low", "high")[number % 2]]
        run = claude(f"Turn {number}.", "--allowedTools", "Bash,Read,Write,WebSearch", *effort, *going_on, gate=gate)
        assert (run.result, run.is_error) == (turn[-1].text, False)
    conversation = [sent(request) for request in gate.model.chats]
    assert len(conversation) == sum(map(len, turns))
    for (messages, tools), (more_messages, more_tools) in pairwise(conversation):
        assert more_messages[: len(messages)] == messages
        assert len(more_messages) > len(messages)
        assert more_tools[: len(tools)] == tools
    loaded = gate.model.chats[-1].tool_names[len(gate.model.chats[0].tool_names) :]
    assert loaded == ["CronList", "WebSearch", "NotebookEdit", "CronCreate"]
