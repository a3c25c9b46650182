from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from asgi_llmgate.protocol.chat.leaked_calls.reader import MAX_NAME, Reader, Steps


def read(words: str, size: int, *steps: Callable[[Reader], Steps[Any]], ended: bool = True) -> list[Any]:
    """What the steps read, of words that arrive in pieces; the last one is None if it waits for more."""
    reader, results = Reader(), list[Any]()

    def run() -> Steps[None]:
        for step in steps:
            results.append(None)
            results[-1] = yield from step(reader)

    running = run()
    for at in range(0, len(words), size):
        reader.add(words[at : at + size])
        if next(running, True):
            return results
    reader.ended = ended
    next(running, None)
    return results


@pytest.fixture(params=[1, 2, 5, 1000])
def size(request: pytest.FixtureRequest) -> int:
    number: int = request.param
    return number


def test_names_and_space(size: int) -> None:
    assert read(" \n a.b:0 /c", size, Reader.name, Reader.skip_space, Reader.name, Reader.peek) == [
        "a.b:0",
        None,
        "/c",
        "",
    ]


@pytest.mark.parametrize("words", ["", "{", "x" * (MAX_NAME + 1)])
def test_no_name(words: str, size: int) -> None:
    with pytest.raises(ValueError, match="no name"):
        read(words, size, Reader.name)


def test_the_longest_choice(size: int) -> None:
    def step(reader: Reader) -> Steps[str]:
        return reader.literal("<a", "<ab>", "b")

    assert read("<ab><ax", size, step, step) == ["<ab>", "<a"]
    with pytest.raises(ValueError, match="something else"):
        read("<c", size, step)


def test_no_choice(size: int) -> None:
    assert read("abc", size, lambda reader: reader.optional(("abd",)), Reader.name) == ["", "abc"]


def test_until(size: int) -> None:
    assert read("a</b</a>c", size, lambda reader: reader.until("</a>"), Reader.name) == ["a</b", "c"]
    with pytest.raises(ValueError, match="too long"):
        read("a" * 40, size, lambda reader: reader.until(">", limit=20))
    with pytest.raises(ValueError, match="ends before"):
        read("a</a", size, lambda reader: reader.until("</a>"))


def test_a_value_with_its_own_end_inside(size: int) -> None:
    words = "1</v> 2</v>\n\n</end>"
    assert read(words, size, lambda reader: reader.value("</v>", ("<v>", "</end>")), Reader.skip_space) == [
        "1</v> 2",
        None,
    ]


@pytest.mark.parametrize("value", ["{}", "[[], {}]", r'{"a}": "\"]\\", "b": [1, {"c": "\\\""}]}', "{]"])
def test_json(value: str, size: int) -> None:
    assert read(value + "} x", size, lambda reader: reader.json(), Reader.peek) == [value, "}"]


def test_json_is_checked_while_it_arrives() -> None:
    seen: list[str] = []
    words = '{"name": "' + "x" * MAX_NAME + '"}'
    read(words, 10, lambda reader: reader.json(lambda beginning: seen.append(beginning) or False))
    assert seen == [words[: at + 10] for at in range(0, MAX_NAME, 10)] + [words[: MAX_NAME + 10]]
    seen.clear()
    read(words, 10, lambda reader: reader.json(lambda beginning: seen.append(beginning) or True))
    assert seen == [words[:10]]


def test_what_is_not_json(size: int) -> None:
    with pytest.raises(ValueError, match="no JSON"):
        read("5", size, lambda reader: reader.json())
    with pytest.raises(ValueError, match="ends before"):
        read('{"a": "}', size, lambda reader: reader.json())
