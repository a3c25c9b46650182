from __future__ import annotations

import pytest

from asgi_llmgate.protocol.chat.think_tags import ThinkTags
from asgi_llmgate.protocol.rawjson.strings import escape, unescape


def split(*pieces: str, holds: bool = False) -> list[tuple[str, str]]:
    """What comes out, neighbours of one kind put together."""
    tags = ThinkTags(holds=holds)
    passages = []
    for piece in pieces:
        passages += [("text", escape(piece))] if tags.settled else list(tags.split(escape(piece)))
    if not tags.settled:
        passages.append(tags.rest())
    joined: list[tuple[str, str]] = []
    for kind, raw in passages:
        if joined and joined[-1][0] == kind:
            joined[-1] = (kind, joined[-1][1] + unescape(raw))
        elif raw:
            joined.append((kind, unescape(raw)))
    return joined


@pytest.mark.parametrize(
    ("content", "passages"),
    [
        ("<think>hm</think>Hi", [("thinking", "hm"), ("text", "Hi")]),
        ("\n <think>\n\nhm\n</think>\n\nHi\n", [("thinking", "hm\n"), ("text", "Hi\n")]),
        ("<think>\n\n</think>\n\nHi", [("text", "Hi")]),
        ("<think></think>", []),
        ("<think>a < b </thin </think>Hi", [("thinking", "a < b </thin "), ("text", "Hi")]),
        ("<think>hm", [("thinking", "hm")]),
        ("<think>hm</thi", [("thinking", "hm</thi")]),
        ("<thinking>hm", [("text", "<thinking>hm")]),
        ("<thi", [("text", "<thi")]),
        ("  Hi <think>no</think>", [("text", "  Hi <think>no</think>")]),
        ("", []),
    ],
)
def test_reasoning_at_the_beginning_is_split_off_however_it_is_cut(
    content: str, passages: list[tuple[str, str]]
) -> None:
    for holds in (False, True):
        assert split(content, holds=holds) == passages
        assert split(*content, holds=holds) == passages
        for place in range(len(content)):
            assert split(content[:place], content[place:], holds=holds) == passages


@pytest.mark.parametrize(
    ("content", "passages"),
    [
        ("hm</think>Hi", [("thinking", "hm"), ("text", "Hi")]),
        ("\nhm\n\n</think>\n\nHi", [("thinking", "hm"), ("text", "Hi")]),
        ("hm </thin </think>Hi</think>", [("thinking", "hm </thin "), ("text", "Hi</think>")]),
        ("\n</think>Hi", [("text", "Hi")]),
        ("hm</think>", [("thinking", "hm")]),
        ("Hi", [("text", "Hi")]),
        ("Hi </thin", [("text", "Hi </thin")]),
        ("It is <think>a</think>.", [("text", "It is <think>a</think>.")]),
        ("x" * 2**17 + "y</think>Hi", [("text", "x" * 2**17 + "y</think>Hi")]),
    ],
    ids=lambda value: str(value)[:20],
)
def test_an_end_tag_without_its_beginning(content: str, passages: list[tuple[str, str]]) -> None:
    size = max(1, len(content) // 40)
    assert split(*(content[at : at + size] for at in range(0, len(content), size)), holds=True) == passages
    if len(content) < 100:
        assert split(content) == split(content, holds=True) == passages
        for place in range(len(content)):
            assert split(content[:place], content[place:], holds=True) == passages


def test_what_is_kept_back_is_known() -> None:
    tags = ThinkTags(holds=True)
    assert not tags.is_holding
    for piece in (b"Hello, ", b"world"):
        assert list(tags.split(piece)) == []
        assert tags.is_holding
    assert tags.rest() == ("text", b"Hello, world")
    assert not tags.is_holding


def test_a_beginning_that_is_not_kept_back_is_text() -> None:
    assert split("hm", "</think>Hi") == [("text", "hm</think>Hi")]


def test_an_escaped_tag_is_a_tag() -> None:
    assert list(ThinkTags().split(rb"\u003cthink\u003ehm")) == [("thinking", b"hm")]
