"""K2: one tool call that is told twice, and two that look like one.  A call is its id, where the server gives one."""

from __future__ import annotations

from typing import Any

import pytest

from tests.protocol.responses import Told, call, calls, chunk, collected, completion, sse, streamed, whole

LS, PWD = '{"x":"ls"}', '{"x":"pwd"}'

ONE: dict[str, list[dict[str, Any]]] = {
    "under another index": [call(0, id="c", name="Bash", args=LS), call(1, id="c", name="Bash", args=LS)],
    "under another index, announced first": [
        call(0, id="c", name="Bash", args=""), call(1, id="c", name="Bash", args=LS),
    ],
    "under another index, with a placeholder first": [
        call(0, id="c", name="Bash", args="{}"), call(1, id="c", name="Bash", args=LS),
    ],
    "under another index, with a placeholder last": [
        call(0, id="c", name="Bash", args=LS), call(1, id="c", name="Bash", args="{}"),
    ],
    "under another index, in pieces": [
        call(0, id="c", name="Bash", args=LS), call(1, id="c", name="Bash", args='{"x"'), call(1, args=':"ls"}'),
    ],
    "under another index, in pieces, with other spaces": [
        call(0, id="c", name="Bash", args=LS), call(1, id="c", name="Bash", args='{ "x"'), call(1, args=': "ls" }'),
    ],
    "under another index, only the rest": [
        call(0, id="c", name="Bash", args='{"x"'), call(1, id="c", name="Bash", args=':"ls"}'),
    ],
    "under another index, without the name": [
        call(0, id="c", name="Bash", args='{"x"'), call(1, id="c", args=':"ls"}'),
    ],
    "under another index, while the first is not complete": [
        call(0, id="c", name="Bash", args='{"x": "ls"'), call(1, id="c", name="Bash", args=LS),
    ],
    "arguments under another index than the name": [call(0, id="c", name="Bash"), call(1, args=LS)],
    "three times": [call(n, id="c", name="Bash", args=LS) for n in range(3)],
    "at the end, without an index": [call(0, id="c", name="Bash", args=LS), call(None, id="c", name="Bash", args=LS)],
    "at the end, in pieces": [
        call(0, id="c", name="Bash", args=LS), call(0, id="c", name="Bash"), call(0, args='{"x"'),
        call(0, args=':"ls"}'),
    ],
    "its name alone at the end": [call(0, id="c", name="Bash", args=LS), call(0, id="c", name="Bash", args="")],
    "without an id": [call(0, name="Bash", args=LS), call(0, name="Bash", args=LS)],
    "without id and index": [call(None, name="Bash", args=LS), call(None, name="Bash", args=LS)],
    "an id for each chunk": [
        call(0, id="c", name="Bash", args=""), call(0, id="d", args='{"x":'), call(0, id="e", args='"ls"}'),
    ],
    "an id for each chunk, with the name": [
        call(0, id="c", name="Bash", args='{"x":'), call(0, id="d", name="Bash", args='"ls"'),
        call(0, id="e", name="Bash", args="}"),
    ],
    "an id for each chunk, without an index": [
        call(None, id="c", name="Bash", args='{"x":'), call(None, id="d", args='"ls"}'),
    ],
    "a late id": [call(0, name="Bash", args='{"x":'), call(0, id="c", args='"ls"}')],
}  # fmt: skip

TWO: dict[str, list[dict[str, Any]]] = {
    "one id, other names": [call(0, id="c", name="Bash", args=LS), call(1, id="c", name="Read", args=LS)],
    "one id, other arguments": [call(0, id="c", name="Bash", args=LS), call(1, id="c", name="Bash", args=PWD)],
    "one id, other arguments, in pieces": [
        call(0, id="c", name="Bash"), call(0, args=LS), call(1, id="c", name="Bash"), call(1, args='{"x":'),
        call(1, args='"pwd"}'),
    ],
    "one id, interleaved": [
        call(0, id="c", name="Bash", args='{"x":'), call(1, id="c", name="Bash", args='{"x":'), call(0, args='"ls"}'),
        call(1, args='"pwd"}'),
    ],
    "one id on each piece": [
        call(0, id="c", name="Bash", args='{"x":'), call(0, id="c", args='"ls"}'),
        call(1, id="c", name="Bash", args='{"x":'), call(1, id="c", args='"pwd"}'),
    ],
    "one id and one index": [call(0, id="c", name="Bash", args=LS), call(0, id="c", name="Bash", args=PWD)],
    "one id, no index": [call(None, id="c", name="Bash", args=LS), call(None, id="c", name="Bash", args=PWD)],
    "one id, no index, in pieces": [
        call(None, id="c", name="Bash", args=LS), call(None, id="c", name="Bash", args='{"x"'),
        call(None, id="c", args=':"pwd"}'),
    ],
    "no id, one index": [call(0, name="Bash", args=LS), call(0, name="Bash", args=PWD)],
    "no id, one index, names first": [
        call(0, name="Bash", args=LS), call(0, name="Read", args=""), call(0, args=PWD),
    ],
    "other ids, one index": [call(0, id="c", name="Bash", args=LS), call(0, id="d", name="Bash", args=PWD)],
    "other ids, the same call": [call(0, id="c", name="Bash", args=LS), call(1, id="d", name="Bash", args=LS)],
    "an empty id": [call(0, id="", name="Bash", args=LS), call(1, id="", name="Bash", args=PWD)],
}  # fmt: skip


def check(told: Told, count: int) -> None:
    assert told.translator.error is None
    assert told.message["stop_reason"] == "tool_use"
    assert len(set(told.call_ids)) == len(told.content) == count
    assert told.content[0]["name"] == "Bash"
    assert told.content[0]["input"] == {"x": "ls"}


@pytest.mark.parametrize("told_as", ONE)
def test_one_call(told_as: str) -> None:
    data = sse(*map(calls, ONE[told_as]), chunk(finish="tool_calls"))
    for told in (streamed(data), streamed([data[at : at + 1] for at in range(len(data))]), collected(data)):
        check(told, 1)
        assert told.translator.changed == []
        assert told.translator.metadata.tools == ("Bash",)
    check(streamed(sse(calls(*ONE[told_as]), chunk(finish="tool_calls"))), 1)


@pytest.mark.parametrize("told_as", TWO)
def test_two_calls(told_as: str) -> None:
    data = sse(*map(calls, TWO[told_as]), chunk(finish="tool_calls"))
    for told in (streamed(data), collected(data)):
        check(told, 2)
        assert told.content[1]["input"] in ({"x": "pwd"}, {"x": "ls"})
        assert told.content[1] != told.content[0]


@pytest.mark.parametrize("index", [0, None])
def test_a_whole_response_lists_a_call_twice(index: int | None) -> None:
    entry = call(index, id="c", name="Bash", args=LS)
    spaced = call(index, id="c", name="Bash", args='{"x": "ls"}')
    for entries in ([entry, entry], [entry, spaced], [entry, entry, entry]):
        told = whole(completion("tool_calls", tool_calls=entries))
        check(told, 1)
    other = call(index, id="c", name="Bash", args=PWD)
    assert [block["input"]["x"] for block in whole(completion(tool_calls=[entry, other])).content] == ["ls", "pwd"]


def test_a_call_of_the_old_kind_beside_the_new_one_is_the_same() -> None:
    entry = call(0, id="c", name="Bash", args=LS)
    told = whole(completion("tool_calls", tool_calls=[entry], function_call=entry["function"]))
    check(told, 1)


def test_a_repetition_after_another_call_and_text() -> None:
    first, second = call(0, id="c", name="Bash", args=LS), call(1, id="d", name="Read", args=PWD)
    told = streamed(sse(calls(first), calls(second), chunk(content="So."), calls(first), calls(second, finish="stop")))
    assert [block["type"] for block in told.content] == ["tool_use", "tool_use", "text"]


def test_half_a_repetition_at_a_limit_is_none() -> None:
    first, again = call(0, id="c", name="Bash", args=LS), call(1, id="c", name="Bash", args='{"x"')
    told = streamed(sse(calls(first), calls(again), chunk(finish="length")))
    assert [block["input"] for block in told.content] == [{"x": "ls"}]


def test_half_a_call_with_the_id_of_another_is_passed_on() -> None:
    first, other = call(0, id="c", name="Bash", args=LS), call(1, id="c", name="Bash", args='{"y":')
    told = streamed(sse(calls(first), calls(other), chunk(finish="tool_calls")), any_input=True)
    assert [block["input"] for block in told.content] == [{"x": "ls"}, {"INVALID_JSON": '{"y":'}]
