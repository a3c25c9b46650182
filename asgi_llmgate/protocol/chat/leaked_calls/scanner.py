"""Finds leaked calls in the text and the reasoning of one response, while they arrive.

Text passes as it comes.  Only what may be a call is kept back: from its first character on, as long as it can still be
one.  What is kept back at the end of the response is calls; if anything else follows, it goes out as it came, and
nothing is looked for any more, because a response that speaks of calls explains them.

Reasoning that ends with a call is one only if the response has no text: the model forgot to end its reasoning
(MoonshotAI/Kimi-K2#89, vllm-project/vllm#39056).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from asgi_llmgate.lazy_pattern import lazy_pattern
from asgi_llmgate.protocol.chat.delta_content import Kind, Passage
from asgi_llmgate.protocol.chat.leaked_calls.found import DeclaredTools, LeakedCall
from asgi_llmgate.protocol.chat.leaked_calls.parser import (
    ANYWHERE,
    END_TOKENS,
    MARKERS,
    OPENINGS,
    SPOKEN_OF,
    LeakParser,
)
from asgi_llmgate.protocol.chat.leaked_calls.places import Place
from asgi_llmgate.protocol.rawjson.strings import escape, unescape

_MAY_BEGIN = re.compile(rb"[<\[{]|\\n *[ca]|\\u00")
"""A raw piece that has none of these, and does not begin with the `c` or `a` of `commentary` or `assistant` at the
beginning of a line, does not hold the beginning of a call.  `\\u00` is an escaped `<`."""

_WORDS = lazy_pattern("|".join(map(re.escape, sorted((*SPOKEN_OF, *END_TOKENS), key=len, reverse=True))))
_BEGINNINGS = frozenset(word[:size] for word in (*OPENINGS, *END_TOKENS) for size in range(1, len(word)))
"""Proper ones, of each word."""

_AT_LINE = (*OPENINGS, *END_TOKENS)
_BEHIND_SENTENCE = (*ANYWHERE, *END_TOKENS)
_BARE = frozenset("{[")

_MAX_UNREAD = 4096
"""Bytes that are passed on before they are looked at for the end of the line."""

_LONGEST = max(map(len, OPENINGS))


class _Scanner:
    """One kind of text of a response.

    `parser` reads what is kept back, None where that is nothing; `off`: nothing is looked for any more.
    """

    __slots__ = ("_formats", "_held", "_in_reasoning", "_place", "_tools", "_unread", "off", "parser")

    def __init__(self, tools: DeclaredTools, formats: frozenset[str], *, in_reasoning: bool) -> None:
        self.off = False
        self._tools = tools
        self._formats = formats
        self._in_reasoning = in_reasoning
        self._place = Place()
        self._unread = bytearray()  # passed on without a look
        self.parser: LeakParser | None = None
        self._held: list[bytes] = []

    @property
    def is_blank(self) -> bool:
        """Whether nothing but white space has been passed on."""
        return self._place.is_empty and not unescape(bytes(self._unread)).strip()

    def passes(self, raw: bytes) -> bool:
        """Whether a text is passed on without a look; where it is not, it has to be fed."""
        if self.off:
            return True
        unread = self._unread
        if self.parser is not None or len(unread) > _MAX_UNREAD or _MAY_BEGIN.search(raw):
            return False
        if raw.startswith((b"c", b"a")) and (not unread or unread.endswith(b"\\n")):
            return False
        unread += raw
        return True

    def feed(self, raw: bytes) -> bytes:
        """What can be passed on."""
        if self.passes(raw):
            return raw
        if self.parser is None:
            return self._look(raw, 0)
        self._held.append(raw)
        return b"" if self.parser.feed(unescape(raw)) else self._give_up()

    def release(self) -> bytes:
        """What is kept back, because something else follows.  Nothing is looked for any more."""
        self.off = True
        self.parser = None
        held, self._held = self._held, []
        return b"".join(held)

    def end(self) -> list[LeakedCall] | None:
        """The calls, at the end of the response: none where only end tokens were kept back, None where it was anything
        else."""
        return None if self.parser is None else self.parser.end()

    def _give_up(self) -> bytes:
        """What is kept back turned out to be something else."""
        assert self.parser is not None
        has_begun = self.parser.begun
        raw = self.release()
        if has_begun or MARKERS.match(unescape(raw)):
            return raw
        self.off = False
        return self._look(raw, 1)

    def _look(self, raw: bytes, start: int) -> bytes:
        """Look for a beginning from the character `start` on.  What follows it is kept back."""
        place, unread = self._place, unescape(bytes(self._unread))
        text, passed = unescape(raw), 0
        self._unread.clear()
        seam = place.seen[-_LONGEST:] + unread
        place.add(unread)
        # A word that was not kept back when it began, because no call may stand there.
        split = MARKERS.search(seam + text[:_LONGEST])
        self.off = split is not None and split.start() < len(seam)
        for at, word in _candidates(text, start, is_first=place.is_empty):
            if self.off:
                break
            place.add(text[passed:at])
            passed = at
            parser = self._parser_at(text[at])
            if parser is not None and parser.feed(text[at:]):
                self.parser = parser
                self._held.append(escape(text[at:]))
                return escape(text[:at])
            self.off = word in SPOKEN_OF or (parser is not None and parser.begun)
        place.add(text[passed:])
        return raw

    def _parser_at(self, character: str) -> LeakParser | None:
        """The parser of what begins with a character here; None where no call may stand."""
        place, is_bare = self._place, False
        if place.begins_line():
            first = _AT_LINE
            is_bare = character in _BARE and place.is_empty and "json" in self._formats and not self._in_reasoning
        elif place.ends_sentence():
            first = _BEHIND_SENTENCE
        elif place.ends_word():
            first = END_TOKENS
        else:
            return None
        if "<s>" in place.seen:  # HTML: text that is struck out
            first = tuple(word for word in first if word != "</s>")
        # Reasoning is for the model itself, and explains nothing to anyone.
        if not self._in_reasoning and place.explains():
            return None
        return LeakParser(self._tools, self._formats, first, is_bare=is_bare)


def _candidates(text: str, start: int, *, is_first: bool) -> list[tuple[int, str]]:
    """The places from `start` on where a call may begin: where, and its word; "" where only the beginning of a word has
    arrived, and for a JSON object at the beginning of a response (`is_first`)."""
    found = [(match.start(), match[0]) for match in _WORDS.finditer(text, start)]
    if is_first:
        at = len(text) - len(text.lstrip())
        if text[at : at + 1] in _BARE and at >= start:
            found.insert(0, (at, ""))
    found += [(at, "") for at in range(max(start, len(text) - _LONGEST), len(text)) if text[at:] in _BEGINNINGS]
    return found


class LeakedCalls:
    """Finds the calls in the passages of one response."""

    __slots__ = ("_blank", "_text", "_thinking")

    def __init__(self, tools: bytes, formats: frozenset[str]) -> None:
        declared = DeclaredTools(tools)
        self._text = _Scanner(declared, formats, in_reasoning=False)
        self._thinking = _Scanner(declared, formats, in_reasoning=True)
        self._blank: list[Passage] = []  # white space behind reasoning that is kept back

    @property
    def holds(self) -> bool:
        """Whether something is kept back."""
        return self._text.parser is not None or self._thinking.parser is not None

    def passes(self, kind: Kind, raw: bytes) -> bool:
        """Whether a text is passed on without a look; where it is not, `read` has to be called with it."""
        if kind == "text":
            return self._thinking.parser is None and self._text.passes(raw)
        return kind == "thinking" and self._text.parser is None and self._thinking.passes(raw)

    def read(self, passages: Iterable[Passage]) -> list[Passage]:
        """What can be passed on."""
        passed: list[Passage] = []
        for kind, raw in passages:
            if kind == "text":
                if self._thinking.parser is not None:
                    if not unescape(raw).strip():
                        self._blank.append((kind, raw))
                        continue
                    passed += self._release_thinking()
                raw = self._text.feed(raw)
            elif kind == "thinking":
                if self._text.parser is not None:
                    passed.append(("text", self._text.release()))
                raw = self._thinking.feed(raw)
            else:
                passed += self.release()
            passed.append((kind, raw))
        return passed

    def release(self) -> list[Passage]:
        """What is kept back, because something else follows.  Nothing is looked for any more."""
        return [*self._release_thinking(), ("text", self._text.release())]

    def end(self) -> list[LeakedCall] | None:
        """The calls, at the end of the response; none where only end tokens were kept back; None where it was anything
        else, which `release` returns."""
        if self._thinking.parser is not None:
            return self._thinking.end() if self._text.is_blank else None
        return self._text.end()

    def _release_thinking(self) -> list[Passage]:
        passages: list[Passage] = [("thinking", self._thinking.release()), *self._blank]
        self._blank = []
        return passages
