"""Reasoning as `<think>...</think>` at the start of the content.

That is what a server without a reasoning parser sends of a reasoning model.  Only the very beginning counts: a tag
further down is text about tags.  Either tag may be split between two chunks and may be escaped (`\\u003c`), so the
content is unescaped until the end tag has passed; from then on it is copied.

    phase       until                       what passes is
    ----------  --------------------------  --------------------------------
    BEFORE      the tag, or anything else   white space, buffered
    LEADING     anything but a line break   dropped: it is the template's
    INSIDE      the end tag                 thinking
    TRAILING    anything but a line break   dropped: it is the template's
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from asgi_llmgate.protocol.chat.delta_content import Passage
from asgi_llmgate.protocol.rawjson.strings import escape, unescape

_OPEN, _CLOSE = "<think>", "</think>"

_MAX_BLANK = 1024
"""Characters of white space that are buffered because a tag may follow."""


class ThinkTags:
    """Splits the content of one response.  Once it is `settled`, all further content is text."""

    __slots__ = ("_held", "_phase", "settled")

    def __init__(self) -> None:
        self.settled = False
        self._phase: Literal["BEFORE", "LEADING", "INSIDE", "TRAILING"] = "BEFORE"
        self._held = ""

    def split(self, raw: bytes) -> Iterator[Passage]:
        """The passages that are certain so far.  Must be iterated."""
        self._held += unescape(raw)
        if self._phase == "BEFORE":
            content = self._held.lstrip()
            if _OPEN.startswith(content) and len(self._held) <= _MAX_BLANK:
                return
            if not content.startswith(_OPEN):
                yield self.rest()
                return
            self._held = content.removeprefix(_OPEN)
            self._phase = "LEADING"
        if self._phase == "LEADING":
            self._held = self._held.lstrip("\n")
            if not self._held:
                return
            self._phase = "INSIDE"
        if self._phase == "INSIDE":
            thinking, end, rest = self._held.partition(_CLOSE)
            if not end:
                thinking, rest = _split_before_partial_tag(thinking)
            self._held = rest
            if thinking:
                yield "thinking", escape(thinking)
            if not end:
                return
            self._phase = "TRAILING"
        self._held = self._held.lstrip("\n")
        if self._held:
            yield self.rest()

    def rest(self) -> Passage:
        """The buffered text, where nothing more can change its kind."""
        self.settled = True
        held, self._held = self._held, ""
        return ("thinking" if self._phase == "INSIDE" else "text"), escape(held)


def _split_before_partial_tag(text: str) -> tuple[str, str]:
    """The text, and its last characters that may be the beginning of an end tag."""
    for size in range(len(_CLOSE) - 1, 0, -1):
        if text.endswith(_CLOSE[:size]):
            return text[:-size], text[-size:]
    return text, ""
