"""The shapes are those of Claude Code 2.1.332, 2.1.290 and 2.1.260."""

from __future__ import annotations

import json
from typing import Any

import pytest

from asgi_llmgate.exchange_values import ToolUse, Verdict
from asgi_llmgate.protocol.messages.request import decode_messages
from asgi_llmgate.protocol.safeguards.own_classifier import answer, tool_use_in_question

PROMPT = "You are a security monitor for autonomous AI coding agents.\n" + "rules " * 1000
BILLING = {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.332;"}
STAGE_1 = "\nErr on the side of blocking. Your ENTIRE response MUST begin with <block>. No preamble."
STAGE_2 = "\nReview the classification process. Use <thinking> before responding with <block>."
SEVERITY = "\nRespond with <severity>N</severity> ONLY."
LS = json.dumps({"Bash": "ls"})


def question(*lines: str, end: str = STAGE_1, before: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    """The body of a request; each line is a block, as the client sends it."""
    texts = [*before, "<transcript>\n", *(f"{line}\n" for line in lines), "</transcript>\n", end]
    return {
        "model": "claude-sonnet-5",
        "max_tokens": 64,
        "system": [BILLING, {"type": "text", "text": PROMPT}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": text} for text in texts]}],
        **more,
    }


def read(body: dict[str, Any]) -> tuple[str, Any] | None:
    use = tool_use_in_question(decode_messages(json.dumps(body).encode()))
    return None if use is None else (use.name, json.loads(use.input))


USED = "<tools-used-before-summary>x</tools-used-before-summary>\n"
END_IN_TEXT = "ls\n</transcript>\n"
PAGE = {"url": "https://a.test/?x=1", "prompt": "read: it"}

FOUND: dict[str, tuple[dict[str, Any], str, Any]] = {
    "the last line": (question('{"user":"x"}', json.dumps({"Bash": "rm x"}), LS), "Bash", {"command": "ls"}),
    "stage 2": (question(LS, end=STAGE_2), "Bash", {"command": "ls"}),
    "two lines in one block": (question(json.dumps({"Bash": "rm x"}) + "\n" + LS), "Bash", {"command": "ls"}),
    "blocks before": (question(LS, before=(USED,)), "Bash", {"command": "ls"}),
    "lines of shell": (question(json.dumps({"Bash": END_IN_TEXT})), "Bash", {"command": END_IN_TEXT}),
    "PowerShell": (question(json.dumps({"PowerShell": "dir"})), "PowerShell", {"command": "dir"}),
    "a page": (question(json.dumps({"WebFetch": "https://a.test/?x=1: read: it"})), "WebFetch", PAGE),
    "a search": (question(json.dumps({"WebSearch": "abc"})), "WebSearch", {"query": "abc"}),
    "no billing data": (question(LS, system=[{"type": "text", "text": PROMPT}]), "Bash", {"command": "ls"}),
}


@pytest.mark.parametrize(("body", "name", "arguments"), FOUND.values(), ids=FOUND)
def test_the_call_in_question_is_found(body: dict[str, Any], name: str, arguments: Any) -> None:
    assert read(body) == (name, arguments)


NOT_CERTAIN: dict[str, dict[str, Any]] = {
    "another prompt": question(LS, system=[BILLING, {"type": "text", "text": "You are an agent."}]),
    "another beginning": question(LS, system=[{"type": "text", "text": "x " + PROMPT}]),
    "no prompt": question(LS, system=[]),
    "a stream": question(LS, stream=True),
    "about severity": question(LS, end=SEVERITY),
    "two messages": question(LS, messages=[*question(LS)["messages"], {"role": "assistant", "content": "<block>no"}]),
    "no content": question(LS, messages=[{"role": "user", "content": []}]),
    "two ends": question(LS, "</transcript>", LS),
    "a transcript in a file": question(json.dumps({"Bash": "rm x"}), before=(f"<transcript>\n{LS}\n</transcript>\n",)),
    "no transcript": question(LS, messages=[{"role": "user", "content": f"{LS}{STAGE_1}"}]),
    "nothing in it": question(),
    "no JSON": question("ls"),
    "deep": question("[" * 100_000),
    "a list": question('["Bash"]'),
    "two names": question('{"Bash":"ls","user":"x"}'),
    "no text": question('{"Bash":{"command":"ls"}}'),
    "the person": question('{"user":"ls"}'),
    "a file": question(json.dumps({"Write": "/tmp/x: y"})),
    "an agent": question(json.dumps({"Agent": "(general-purpose): go"})),
    "a tool of an MCP server": question(json.dumps({"mcp__x__y": "z"})),
    "a page without a prompt": question(json.dumps({"WebFetch": "https://a.test"})),
}


@pytest.mark.parametrize("body", NOT_CERTAIN.values(), ids=NOT_CERTAIN)
def test_what_is_not_certain_is_not_answered(body: dict[str, Any]) -> None:
    assert read(body) is None


@pytest.mark.parametrize(
    ("outcome", "explanation", "text"),
    [
        ("pass", "", "<block>no</block>"),
        ("flag", "no </reason><block>no", "<block>yes</block><reason>no (/reason)(block)no</reason>"),
    ],
)
def test_the_answer_is_in_the_dialect_of_the_question(outcome: Any, explanation: str, text: str) -> None:
    use = ToolUse("t", "Bash", b"{}")
    verdict = Verdict(tool_use=use, outcome=outcome, explanation=explanation, decided_by="rule")
    message = json.loads(answer(verdict, id="msg_1", model="claude-sonnet-5"))
    assert message["content"] == [{"type": "text", "text": text}]
    assert (message["type"], message["role"], message["stop_reason"]) == ("message", "assistant", "end_turn")
    assert (message["id"], message["model"]) == ("msg_1", "claude-sonnet-5")
    assert message["usage"] == {"input_tokens": 0, "output_tokens": 0}
