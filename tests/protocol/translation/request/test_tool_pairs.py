from __future__ import annotations

from typing import Any

import pytest

from asgi_llmgate.errors import InvalidRequest
from tests.helpers.counted_work import opcodes

USER = {"role": "user", "content": "hi"}


def call(*ids: str, role: str = "assistant") -> dict[str, Any]:
    return {"role": role, "content": [{"type": "tool_use", "id": i, "name": "A", "input": {}} for i in ids]}


def result(*ids: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": i, "content": f"of {i}"} for i in ids]}


def unanswered(call_id: str) -> str:
    return (
        f"messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: {call_id}. Each "
        "`tool_use` block must have a corresponding `tool_result` block in the next message."
    )


SYSTEM = {"role": "system", "content": "S"}

BROKEN = [
    pytest.param(
        [USER, call("a", "b"), result("a")],
        unanswered("b"),
        ["call a b", "tool a: of a", "tool b: (no result)"],
        id="a call without a result",
    ),
    pytest.param(
        [USER, call("a"), USER, call("b"), result("b")],
        unanswered("a"),
        ["call a", "tool a: (no result)", "user", "call b", "tool b: of b"],
        id="a call without a result, long ago",
    ),
    pytest.param(
        [USER, call("a")],
        unanswered("a"),
        ["call a", "tool a: (no result)"],
        id="a call at the end",
    ),
    pytest.param(
        [USER, {"role": "assistant", "content": "x"}, result("z")],
        "messages.2.content.0: unexpected `tool_use_id` found in `tool_result` blocks: z. Each `tool_result` block "
        "must have a corresponding `tool_use` block in the previous message.",
        ["assistant", 'user: [tool_result] {"content":"of z"}'],
        id="a result without a call",
    ),
    pytest.param(
        [USER, call("a", "a"), result("a")],
        "messages.1.content.1: `tool_use` ids must be unique",
        ["call a", "tool a: of a"],
        id="one id twice in a message",
    ),
    pytest.param(
        [USER, call("a"), result("a", "a")],
        "messages.2.content.1: each tool_use must have a single result. Found multiple `tool_result` blocks with id: a",
        ["call a", "tool a: of a", 'user: [tool_result] {"content":"of a"}'],
        id="two results of one call",
    ),
]


@pytest.mark.parametrize(("messages", "complaint", "repaired"), BROKEN)
def test_case_46_calls_and_results_that_do_not_match_are_refused_in_anthropics_words(
    translate: Any, messages: Any, complaint: str, repaired: Any
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        translate(messages=messages)
    assert refused.value.client_message == complaint
    assert complaint.startswith(refused.value.message)


@pytest.mark.parametrize(("messages", "complaint", "repaired"), BROKEN)
def test_case_46_calls_and_results_that_do_not_match_are_mended_and_reported_where_asked(
    translate: Any, messages: Any, complaint: str, repaired: list[str]
) -> None:
    told = translate(messages=messages, options={"repair_tool_pairs": True})
    assert [_short(message) for message in told.messages[1:]] == repaired
    assert told.dropped & {"messages[].content[].tool_use", "messages[].content[].tool_result"}


@pytest.mark.parametrize(
    ("messages", "order"),
    [
        ([USER, call("a", "b"), result("b", "a")], ["call a b", "tool a: of a", "tool b: of b"]),
        ([USER, call("a", "b"), result("b"), result("a")], ["call a b", "tool a: of a", "tool b: of b"]),
        ([USER, call("a"), call("b"), result("a", "b")], ["call a b", "tool a: of a", "tool b: of b"]),
        (
            [USER, call("a"), result("a"), call("a"), result("a")],
            ["call a", "tool a: of a", "call a", "tool a: of a"],
        ),
        ([USER, call("a"), SYSTEM, result("a"), USER], ["call a", "tool a: of a", "system", "user"]),
        (
            [USER, call("a"), result("a"), SYSTEM, call("b"), result("b")],
            ["call a", "tool a: of a", "system", "call b", "tool b: of b"],
        ),
    ],
    ids=[
        "out of order",
        "over two messages",
        "calls over two messages",
        "one id in two turns",
        "a system message between",
        "a system message after",
    ],
)
def test_results_come_directly_after_their_calls_in_the_order_of_the_calls(
    translate: Any, messages: Any, order: list[str]
) -> None:
    assert [_short(message) for message in translate(messages=messages).messages[1:]] == order


def test_odd_ids_are_echoed_exactly(translate: Any) -> None:
    odd = 'call_abc|weird.id é"\n'
    messages = translate(messages=[USER, call(odd), result(odd)]).messages
    assert messages[1]["tool_calls"][0]["id"] == messages[2]["tool_call_id"] == odd


MANY = {
    "calls without results": lambda ids: [USER, call(*ids)],
    "calls with one id": lambda ids: [USER, call(*("a" for _ in ids)), result("a")],
    "results without calls": lambda ids: [USER, {"role": "assistant", "content": "x"}, result(*ids)],
    "results of one call": lambda ids: [USER, call("a"), result(*("a" for _ in ids))],
    "results before their calls": lambda ids: [USER, result(*ids), call(*ids)],
}


@pytest.mark.parametrize("messages", MANY.values(), ids=MANY)
def test_mending_takes_work_that_grows_with_their_number_and_no_faster(translate: Any, messages: Any) -> None:
    def work(size: int) -> int:
        said = messages([str(number) for number in range(size)])
        return opcodes(lambda: translate(messages=said, options={"repair_tool_pairs": True}))

    assert work(400) <= 2.2 * work(200)


def _short(message: dict[str, Any]) -> str:
    if message["role"] == "tool":
        return f"tool {message['tool_call_id']}: {message['content']}"
    if "tool_calls" in message:
        return "call " + " ".join(call["id"] for call in message["tool_calls"])
    return message["role"] + (f": {message['content']}" if str(message["content"]).startswith("[") else "")
