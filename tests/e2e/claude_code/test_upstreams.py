"""Claude Code behind servers with habits of their own: each calls a tool in its way, and the tool runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from asgi_llmgate.testing.model_script import ReceivedRequest, Turn, raw, refuse, say
from tests.e2e.claude_code.client import tool_results
from tests.protocol.responses import call, calls, chunk, counted, sse

if TYPE_CHECKING:
    from tests.e2e.claude_code.client import ClaudeCode
    from tests.e2e.conftest import Lab

pytestmark = pytest.mark.suites

WRITE = {"file_path": "made.txt", "content": "it ran\n"}
ARGUMENTS = json.dumps(WRITE)
HALF = len(ARGUMENTS) // 2
FIRST, SECOND = ARGUMENTS[:HALF], ARGUMENTS[HALF:]

MESSAGE: dict[str, Any] = {
    "role": "assistant",
    "content": "I will.",
    "tool_calls": [{"id": "x|odd.id", "type": "function", "function": {"name": "Write", "arguments": ARGUMENTS}}],
}
WHOLE = {"id": "1", "object": "chat.completion", "model": "m", "usage": counted()}

HABITS: dict[str, Turn] = {
    "JSON to a stream": raw(
        json.dumps({**WHOLE, "choices": [{"index": 0, "message": MESSAGE, "finish_reason": "tool_calls"}]}).encode(),
        content_type="application/json",
    ),
    "stop instead of tool_calls": raw(
        sse(calls(call(id="a", name="Write", args=ARGUMENTS)), chunk(finish="stop", usage=counted()))
    ),
    "no end mark, no usage, CRLF": raw(
        sse(
            chunk(content="I will."),
            calls(call(id="a", name="Write", args=ARGUMENTS), finish="tool_calls"),
            done=False,
            newline="\r\n",
        )
    ),
    "arguments as an object": raw(sse(calls(call(id="a", name="Write", args=WRITE)), chunk(finish="tool_calls"))),
    "id and name on every chunk": raw(
        sse(
            calls(call(id="a", name="Write", args=FIRST)),
            calls(call(id="a", name="Write", args=SECOND)),
            chunk(finish="tool_calls"),
        )
    ),
    "no index, no id": raw(
        sse(calls(call(None, name="Write", args=FIRST)), calls(call(None, args=SECOND)), chunk(finish="tool_calls"))
    ),
    "the name after the arguments": raw(
        sse(calls(call(id="a", args=FIRST)), calls(call(name="Write", args=SECOND)), chunk(finish="tool_calls"))
    ),
    "everything in one chunk": raw(
        sse(
            chunk(
                reasoning_content="hm",
                content="I will.",
                tool_calls=[call(id="a", name="Write", args=ARGUMENTS)],
                finish="tool_calls",
                usage=counted(),
            )
        )
    ),
    "text after the call": raw(
        sse(calls(call(id="a", name="Write", args=ARGUMENTS)), chunk(content="Done."), chunk(finish="tool_calls"))
    ),
}


@pytest.mark.parametrize("habit", HABITS)
def test_a_tool_runs(lab: Callable[..., Lab], claude: ClaudeCode, habit: str) -> None:
    gate = lab([HABITS[habit], say("It is written.")])
    run = claude("Write made.txt.", "--allowedTools", "Write", gate=gate)
    assert (run.result, run.is_error) == ("It is written.", False)
    assert (run.folder / "made.txt").read_text() == "it ran\n"
    assert len(tool_results(gate.model.chats[-1])) == 1
    assert [record["outcome"] for record in gate.records()] == ["ok", "ok"]


def has_a_late_system_message(request: ReceivedRequest) -> bool:
    return "system" in [message["role"] for message in request.messages[1:]]


def does_not_alternate(request: ReceivedRequest) -> bool:
    roles = [message["role"] for message in request.messages]
    return has_a_late_system_message(request) or ("user", "user") in pairwise(roles)


@pytest.mark.parametrize(
    ("refusal", "breaks"),
    [
        ("System message must be at the beginning.", has_a_late_system_message),
        ("Conversation roles must alternate user/assistant/user/assistant/...", does_not_alternate),
    ],
)
def test_a_chat_template_that_is_strict_about_roles(
    lab: Callable[..., Lab], claude: ClaudeCode, refusal: str, breaks: Callable[[ReceivedRequest], bool]
) -> None:
    """Claude Code sends a system message in the middle with every prompt."""
    gate = lab([refuse(400, refusal).when(breaks).always(), HABITS["text after the call"], say("Done."), say("Yes.")])
    assert claude("Write made.txt.", "--allowedTools", "Write", gate=gate).result == "Done."
    assert claude("Is it there?", "--continue", gate=gate).result == "Yes."
    assert [breaks(request) for request in gate.model.chats] == [True, False, False, False]
    assert "# Environment" in str(gate.model.chats[-1].messages), "what it said is told as a user's"
