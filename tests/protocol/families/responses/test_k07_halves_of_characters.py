"""K7: a character of two UTF-16 units is cut in two, by a server that slices texts by units."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.protocol.responses import call, calls, chunk, collected, sse, streamed, text, thinking, tool, whole

EMOJI = "a😀👩‍👩‍👧𝒳b🏳️‍🌈"


def units(words: str, size: int) -> list[str]:
    """A text in pieces of so many UTF-16 units; a half is a lone surrogate in Python's text."""
    data = words.encode("utf-16-le")
    return [
        data[start : start + 2 * size].decode("utf-16-le", "surrogatepass") for start in range(0, len(data), 2 * size)
    ]


FIELDS: dict[str, tuple[Any, list[dict[str, Any]]]] = {
    "content": (lambda piece: chunk(content=piece), [text(EMOJI)]),
    "reasoning": (lambda piece: chunk(reasoning=piece), [thinking(EMOJI)]),
    "reasoning_content": (lambda piece: chunk(reasoning_content=piece), [thinking(EMOJI)]),
    "details": (lambda piece: chunk(reasoning_details=[{"text": piece}]), [thinking(EMOJI)]),
    "refusal": (lambda piece: chunk(refusal=piece), [text(EMOJI)]),
    "parts": (lambda piece: chunk(content=[{"type": "text", "text": piece}]), [text(EMOJI)]),
    "strings": (lambda piece: chunk(content=[piece]), [text(EMOJI)]),
    "with a mistyped field": (lambda piece: chunk(content=piece, tool_calls="none"), [text(EMOJI)]),
}


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("field", FIELDS)
def test_a_text_in_units(field: str, size: int) -> None:
    make, content = FIELDS[field]
    data = sse(*map(make, units(EMOJI, size)), chunk(finish="stop"))
    for told in (streamed(data), streamed([data[at : at + 1] for at in range(len(data))]), collected(data)):
        assert told.content == content


@pytest.mark.parametrize("ascii", [False, True], ids=["characters", "escapes inside"])
@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("index", [0, None])
def test_arguments_in_units(size: int, ascii: bool, index: int | None) -> None:
    arguments = json.dumps({"x": EMOJI, EMOJI: [EMOJI]}, ensure_ascii=ascii)
    first, *rest = units(arguments, size)
    events = [calls(call(index, id="a", name="Write", args=first)), *(calls(call(index, args=piece)) for piece in rest)]
    data = sse(*events, chunk(finish="tool_calls"))
    for told in (streamed(data), collected(data)):
        assert told.content == [tool("a", "Write", **{"x": EMOJI, EMOJI: [EMOJI]})]
        assert "\ufffd" not in told.data.decode()


def test_interleaved_calls_and_text_in_units() -> None:
    arguments = [units(json.dumps({"x": words}, ensure_ascii=False), 1) for words in ("😀1", "👧2")]
    events = [calls(call(0, id="a", name="A", args="")), calls(call(1, id="b", name="B", args=""))]
    for one, two in zip(*arguments, strict=True):
        events += [calls(call(0, args=one)), calls(call(1, args=two))]
    told = streamed(sse(*events, chunk(finish="tool_calls")))
    assert told.content == [tool("a", "A", x="😀1"), tool("b", "B", x="👧2")]


def test_an_empty_delta_between_the_halves() -> None:
    first, second = units("😀", 1)
    between = [chunk(content=""), chunk(), {"choices": []}, chunk(role="assistant")]
    told = streamed(sse(chunk(content=first), *between, chunk(content=second), chunk(finish="stop")))
    assert told.content == [text("😀")]


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        (["a\ud83d"], "a\ufffd"),
        (["a\ud83d", "b"], "a\ufffdb"),
        (["\ude00a"], "\ufffda"),
        (["a", "\ude00"], "a\ufffd"),
        (["\ud83d", "\ud83d", "\ude00"], "\ufffd😀"),
        (["a\ud83db"], "a\ufffdb"),
        (["\ude00\ud83d", "\ude00"], "\ufffd😀"),
    ],
    ids=ascii,
)
def test_a_half_without_the_other_is_one_replacement(pieces: list[str], words: str) -> None:
    data = sse(*(chunk(content=piece) for piece in pieces), chunk(finish="stop"))
    for told in (streamed(data), collected(data)):
        assert told.content == [text(words)]


@pytest.mark.parametrize("arguments", [{"x": "\ud83d"}, {"x": "\ude00b"}, {"\ud83d": 1}], ids=ascii)
def test_a_half_inside_of_arguments_that_are_an_object(arguments: dict[str, Any]) -> None:
    told = streamed(sse(calls(call(0, id="a", name="A", args=arguments)), chunk(finish="tool_calls")))
    assert "\ufdd0" not in told.data.decode()
    assert "\ufffd" in told.data.decode()


def test_a_half_that_is_not_at_the_end_of_a_limited_call() -> None:
    half = units('{"x":"😀', 1)[:-1]
    events = [calls(call(0, id="a", name="A", args=piece)) for piece in half]
    told = streamed(sse(*events, chunk(finish="length")))
    assert told.content == [tool("a", "A")]


def test_a_whole_response_is_not_joined() -> None:
    body = {"choices": [{"message": {"content": "a\ud83d"}, "finish_reason": "stop"}]}
    assert whole(body).content == [text("a\ufffd")]
