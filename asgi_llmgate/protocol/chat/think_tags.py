"""Reasoning that stands inline, as `<think>...</think>` at the start of the content.

That is how a server without a reasoning parser hands on what a reasoning model says.  Only the very beginning counts:
a tag further down is text that somebody writes about tags.  Either tag may be cut anywhere between two pieces, and
may be escaped (`\\u003c`), so pieces are decoded until the end tag has passed; from then on nobody needs to look any
more.

    phase       until                       what passes is
    ----------  --------------------------  -----------------------------
    BEFORE      the tag, or anything else   held back; white space
    LEADING     anything but a line break   dropped: the template's own
    INSIDE      the end tag                 thinking
    TRAILING    anything but a line break   dropped: the template's own
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from asgi_llmgate.protocol.chat.delta_content import Passage
from asgi_llmgate.protocol.rawjson.strings import escape, unescape

_OPEN, _CLOSE = "<think>", "</think>"

_BLANK = 1024
"""Characters of white space that are held back for a tag that may follow them."""


class ThinkTags:
    """Splits the pieces of one answer's content.  Once it is `settled`, all further content is text: copy it."""

    __slots__ = ("_held", "_phase", "settled")

    def __init__(self) -> None:
        self.settled = False
        self._phase: Literal["BEFORE", "LEADING", "INSIDE", "TRAILING"] = "BEFORE"
        self._held = ""

    def split(self, raw: bytes) -> Iterator[Passage]:
        """What is certain about the content so far.  Must be iterated."""
        self._held += unescape(raw)
        if self._phase == "BEFORE":
            begin = self._held.lstrip()
            if _OPEN.startswith(begin) and len(self._held) <= _BLANK:
                return
            if not begin.startswith(_OPEN):
                yield self.rest()
                return
            self._held = begin.removeprefix(_OPEN)
            self._phase = "LEADING"
        if self._phase == "LEADING":
            self._held = self._held.lstrip("\n")
            if not self._held:
                return
            self._phase = "INSIDE"
        if self._phase == "INSIDE":
            thought, end, rest = self._held.partition(_CLOSE)
            if not end:
                thought, rest = _split_overlap(thought)
            self._held = rest
            if thought:
                yield "thinking", escape(thought)
            if not end:
                return
            self._phase = "TRAILING"
        self._held = self._held.lstrip("\n")
        if self._held:
            yield self.rest()

    def rest(self) -> Passage:
        """What is held back, when no more can change what it is."""
        self.settled = True
        held, self._held = self._held, ""
        return ("thinking" if self._phase == "INSIDE" else "text"), escape(held)


def _split_overlap(text: str) -> tuple[str, str]:
    """The text, and those of its last characters that may be the beginning of an end tag."""
    for size in range(len(_CLOSE) - 1, 0, -1):
        if text.endswith(_CLOSE[:size]):
            return text[:-size], text[-size:]
    return text, ""
