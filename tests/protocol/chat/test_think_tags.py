from __future__ import annotations

import pytest

from asgi_llmgate.protocol.chat.think_tags import ThinkTags
from asgi_llmgate.protocol.rawjson.strings import escape, unescape


def split(*pieces: str) -> list[tuple[str, str]]:
    """What comes out, neighbours of one kind put together."""
    tags = ThinkTags()
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
    assert split(content) == passages
    assert split(*content) == passages
    for place in range(len(content)):
        assert split(content[:place], content[place:]) == passages


def test_an_escaped_tag_is_a_tag() -> None:
    assert list(ThinkTags().split(rb"\u003cthink\u003ehm")) == [("thinking", b"hm")]
