"""K1: `choices[].index` is not 0, counts the chunks, or numbers alternatives that nobody asked for."""

from __future__ import annotations

from typing import Any

import pytest

from asgi_llmgate.errors import Broken
from tests.protocol.responses import A, call, chunk, collected, completion, sse, streamed, text, tool, whole


def at(index: int | None, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    made = chunk(finish=finish, **delta)
    made["choices"][0]["index"] = index
    return made


def several(*choices: dict[str, Any]) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "model": "gpt-x", "choices": list(choices)}


def choice(index: int | None, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"index": index, "delta": delta, "finish_reason": finish}


SAID = {
    "all of them 1": [at(1, content="He"), at(1, content="llo"), at(1, "stop")],
    "all of them 7": [at(7, content="He"), at(7, content="llo", finish="stop")],
    "counted from 0": [at(0, content="H"), at(1, content="el"), at(2, content="lo"), at(3, "stop")],
    "counted from 1": [at(1, content="H"), at(2, content="el"), at(3, content="lo"), at(4, "stop")],
    "counted, two chunks": [at(0, content="Hello"), at(1, "stop")],
    "counted, all in the first": [at(0, content="Hello"), at(1, ""), at(2, ""), at(3, "stop")],
    "counted, usage at the end": [at(0, content="He"), at(1, content="llo"), at(2, "stop"), at(3), several()],
    "the role is another one": [at(0, role="assistant", content=""), at(1, content="Hello"), at(1, "stop")],
    "the role is counted": [at(0, role="assistant"), at(1, content="He"), at(2, content="llo"), at(3, "stop")],
    "no index": [at(None, content="He"), at(None, content="llo"), at(None, "stop")],
    "an index now and then": [at(0, content="He"), at(None, content="llo"), at(0, "stop")],
    "a negative one": [at(-1, content="He"), at(-1, content="llo"), at(-1, "stop")],
    "a text as index": [at("0", content="He"), at("0", content="llo", finish="stop")],  # type: ignore[arg-type]
    "two in turn": [
        at(0, content="He"), at(1, content="Bye"), at(0, content="llo"), at(1, content="!"),
        at(1, "stop"), at(0, "stop"),
    ],
    "two in turn, roles first": [
        at(0, role="assistant"), at(1, role="assistant"), at(0, content="He"), at(1, content="Bye"),
        at(0, content="llo"), at(1, content="!"), at(0, "stop"), at(1, "stop"),
    ],
    "two without an order": [
        at(0, content="He"), at(1, content="Bye"), at(1, content="!"), at(0, content="llo"), at(0, "stop"),
    ],
    "one after the other": [
        at(0, content="He"), at(0, content="llo"), at(0, "stop"), at(1, content="Bye"), at(1, "length"),
    ],
    "two in one chunk": [
        several(choice(0, content="He"), choice(1, content="Bye")),
        several(choice(0, content="llo"), choice(1, content="!")),
        several(choice(0, "stop"), choice(1, "length")),
    ],
    "two in one chunk, the second first": [
        several(choice(1, content="He"), choice(0, content="Bye")),
        several(choice(0, content="!"), choice(1, content="llo")),
        several(choice(0, "length"), choice(1, "stop")),
    ],
    "two in one chunk, without an index": [several(choice(None, content="He"), choice(None, "stop", content="llo"))],
}  # fmt: skip


@pytest.mark.parametrize("said", SAID)
def test_one_choice_is_told_and_all_of_it(said: str) -> None:
    data = sse(*SAID[said])
    for told in (streamed(data), streamed([data[at : at + 1] for at in range(len(data))]), collected(data)):
        assert told.translator.error is None
        assert told.content == [text("Hello")]
        assert told.message["stop_reason"] == "end_turn"


def test_a_call_whose_pieces_are_counted() -> None:
    pieces = [call(0, id="a", name="A", args='{"x"'), call(0, args=":1"), call(0, args="}")]
    events = [at(number, tool_calls=[piece]) for number, piece in enumerate(pieces)]
    told = streamed(sse(*events, at(3, "tool_calls")))
    assert told.content == [tool("a", "A", x=1)]
    assert told.message["stop_reason"] == "tool_use"


@pytest.mark.parametrize("index", [0, 1, 3, None])
def test_a_whole_response_with_any_index(index: int | None) -> None:
    body = completion(content="Hello", choice={"index": index})
    assert whole(body).content == [text("Hello")]


def test_of_two_whole_choices_the_first_is_told() -> None:
    body = completion(content="Hello")
    body["choices"].append({**completion(content="Bye")["choices"][0], "index": 1})
    assert whole(body).content == [text("Hello")]


def test_an_empty_first_choice_does_not_hide_the_second() -> None:
    body = completion(content=None)
    body["choices"].append({**completion(content="Hello")["choices"][0], "index": 1})
    assert whole(body).content == [text("Hello")]


def test_text_in_one_choice_and_calls_in_another_are_one_response() -> None:
    # GitHub Copilot, for Anthropic's models: neither choice has an index.
    first = {"message": {"role": "assistant", "content": "I look."}, "finish_reason": "tool_calls"}
    second = {"message": {"role": "assistant", "tool_calls": [call(None, **A)]}, "finish_reason": "tool_calls"}
    assert whole(several(first, second)).content == [text("I look."), tool("a", "A", x=1)]


def test_where_only_another_choice_ends_the_response_is_not_complete() -> None:
    told = streamed(sse(at(0, content="He"), at(1, content="x"), at(0, content="l"), at(1, "stop")))
    assert isinstance(told.translator.error, Broken)
    assert told.content == [text("Hel")]
