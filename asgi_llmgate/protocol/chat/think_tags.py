"""Reasoning as `<think>...</think>` at the start of the content.

That is what a server without a reasoning parser sends of a reasoning model.  Only the very beginning counts: a tag
further down is text about tags.  Either tag may be split between two chunks and may be escaped (`\\u003c`), so the
content is unescaped until the end tag has passed; from then on it is copied.

Many chat templates write `<think>` themselves, so that only `</think>` comes (open-webui#11259, ollama#18044).  What
stands before it cannot be told from a text until it comes.  vLLM's parser for such a model calls everything thinking
until then, and a response without an end tag has no text.  Here the beginning is kept back instead, where thinking was
asked for: a response that did not think arrives late, and is not lost.

    phase       until                       what passes is
    ----------  --------------------------  --------------------------------
    BEFORE      the tag, or anything else   white space, buffered
    UNOPENED    the end tag                 thinking, or text if there is none; buffered
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

_MAX_UNOPENED = 2**16
"""Characters that are buffered because an end tag may follow.  A longer beginning is text."""


class ThinkTags:
    """Splits the content of one response.  Once it is `settled`, all further content is text.

    `holds`: a beginning without a tag is kept back until the end tag, which may have no begin tag.
    """

    __slots__ = ("_held", "_holds", "_phase", "_size", "_unopened", "settled")

    def __init__(self, *, holds: bool = False) -> None:
        self.settled = False
        self._phase: Literal["BEFORE", "UNOPENED", "LEADING", "INSIDE", "TRAILING"] = "BEFORE"
        self._held = ""
        self._holds = holds
        self._unopened: list[str] = []
        self._size = 0  # of these

    def split(self, raw: bytes) -> Iterator[Passage]:
        """The passages that are certain so far.  Must be iterated."""
        self._held += unescape(raw)
        if self._phase == "BEFORE":
            content = self._held.lstrip()
            if _OPEN.startswith(content) and len(self._held) <= _MAX_BLANK:
                return
            if content.startswith(_OPEN):
                self._held = content.removeprefix(_OPEN)
                self._phase = "LEADING"
            else:
                self._phase = "UNOPENED"
        if self._phase == "UNOPENED":
            before, end, rest = self._held.partition(_CLOSE)
            if not end and self._holds and self._size + len(before) <= _MAX_UNOPENED:
                # What may be the beginning of the tag stays in front of the next piece.
                self._held = before[-len(_CLOSE) :]
                self._unopened.append(before[: -len(_CLOSE)])
                self._size += len(self._unopened[-1])
                return
            thinking = "".join([*self._unopened, before])
            if not end or _OPEN in thinking:
                yield self.rest()
                return
            self._unopened.clear()
            self._size = 0
            self._held = rest
            self._phase = "TRAILING"
            if thinking.strip():
                yield "thinking", escape(thinking.strip("\n"))
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

    @property
    def is_unopened(self) -> bool:
        """Whether a text without a tag at its beginning is buffered."""
        return self._phase == "UNOPENED" and not self.settled

    @property
    def is_holding(self) -> bool:
        """Whether something other than white space is buffered."""
        return self._size > 0 or bool(self._held.strip())

    def rest(self) -> Passage:
        """The buffered text, where nothing more can change its kind."""
        self.settled = True
        held, self._held = "".join([*self._unopened, self._held]), ""
        self._unopened.clear()
        self._size = 0
        return ("thinking" if self._phase == "INSIDE" else "text"), escape(held)


def _split_before_partial_tag(text: str) -> tuple[str, str]:
    """The text, and its last characters that may be the beginning of an end tag."""
    for size in range(len(_CLOSE) - 1, 0, -1):
        if text.endswith(_CLOSE[:size]):
            return text[:-size], text[-size:]
    return text, ""
