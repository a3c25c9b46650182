"""Reads text that arrives in pieces.

A syntax is written down as a generator: it asks the reader for its next part, and is suspended while that part has not
arrived.  So a text that cannot be a call is known as soon as the first wrong character is there.  Each character is
looked at a bounded number of times.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable
from typing import TypeAlias, TypeVar

T = TypeVar("T")

Steps: TypeAlias = Generator[None, None, T]
"""Something that is read step by step: suspended while more text is needed."""

MAX_NAME = 300
"""Characters of the name of a tool or a parameter, with a prefix and a number."""

_LONGEST = 64
"""Characters of the longest choice that `optional` is asked for."""

_SPACE = re.compile(r"\s*")
_NAME = re.compile(r"[\w.:/-]*")
_OUTSIDE = re.compile(r'["{}\[\]]')
_INSIDE = re.compile(r'["\\]')


class Reader:
    """The steps raise ValueError where the text is not what they expect.

    `ended` is set when no more text will come; then a step that still needs some fails.
    """

    __slots__ = ("_at", "_text", "ended")

    def __init__(self) -> None:
        self.ended = False
        self._text = ""
        self._at = 0

    def add(self, piece: str) -> None:
        """The next piece of the text."""
        self._text = self._text[self._at :] + piece
        self._at = 0

    def peek(self) -> Steps[str]:
        """The next character, which is not taken; nothing at the end."""
        while self._at == len(self._text) and not self.ended:
            yield
        return self._text[self._at : self._at + 1]

    def skip_space(self) -> Steps[None]:
        yield from self._space()

    def optional(self, choices: Iterable[str]) -> Steps[str]:
        """Take the longest of the choices that comes next; nothing if none does."""
        while True:
            rest = self._text[self._at : self._at + _LONGEST]
            if self.ended or not any(len(choice) > len(rest) and choice.startswith(rest) for choice in choices):
                found = max((choice for choice in choices if rest.startswith(choice)), key=len, default="")
                self._at += len(found)
                return found
            yield

    def literal(self, *choices: str) -> Steps[str]:
        """Take the longest of the choices that comes next."""
        found = yield from self.optional(choices)
        if not found:
            raise ValueError("something else")
        return found

    def name(self) -> Steps[str]:
        """A name, behind white space: letters, digits and `_ . : / -`."""
        yield from self.skip_space()
        parts: list[str] = []
        while (yield from self.peek()):
            found = _NAME.match(self._text, self._at)
            assert found is not None  # the pattern also matches nothing
            self._at = found.end()
            parts.append(found[0])
            if sum(map(len, parts)) > MAX_NAME or self._at < len(self._text):
                break
        name = "".join(parts)
        if not 0 < len(name) <= MAX_NAME:
            raise ValueError("no name")
        return name

    def until(self, end: str, *, limit: int | None = None) -> Steps[str]:
        """The text before `end`, which is taken as well."""
        parts: list[str] = []
        while True:
            at = self._text.find(end, self._at)
            # What may be the beginning of `end` stays.
            stop = at if at >= 0 else max(self._at, len(self._text) - len(end) + 1)
            parts.append(self._text[self._at : stop])
            self._at = stop
            if limit is not None and sum(map(len, parts)) > limit:
                raise ValueError("too long")
            if at >= 0:
                self._at += len(end)
                return "".join(parts)
            yield from self._wait()

    def value(self, end: str, following: tuple[str, ...]) -> Steps[str]:
        """The text before an `end` that, with or without white space, one of `following` comes after.

        Values are not escaped, so a value may contain `end` (vllm-project/vllm#44060).
        """
        parts: list[str] = []
        while True:
            parts.append((yield from self.until(end)))
            space = yield from self._space()
            if (yield from self._is_next(following)):
                return "".join(parts)
            parts += (end, space)

    def json(self, check: Callable[[str], bool] | None = None) -> Steps[str]:
        """A JSON object or list.  Only its brackets are checked.

        `check` gets its beginning as often as there is more of it, until it returns True or raises ValueError.
        """
        if (yield from self.peek()) not in ("{", "["):
            raise ValueError("no JSON")
        parts: list[str] = []
        depth, in_string, escaped = 0, False, False
        while True:
            start = at = self._at
            if escaped and at < len(self._text):
                at, escaped = at + 1, False
            while found := (_INSIDE if in_string else _OUTSIDE).search(self._text, at):
                at = found.end()
                if found[0] == '"':
                    in_string = not in_string
                elif found[0] == "\\":
                    escaped = at == len(self._text)
                    at += 1
                else:
                    depth += 1 if found[0] in "{[" else -1
                    if not depth:
                        self._at = at
                        return "".join((*parts, self._text[start:at]))
            parts.append(self._text[start:])
            self._at = len(self._text)
            if check is not None:
                beginning = "".join(parts)
                if check(beginning) or len(beginning) > MAX_NAME:
                    check = None
            yield from self._wait()

    def _space(self) -> Steps[str]:
        parts: list[str] = []
        while (yield from self.peek()).isspace():
            found = _SPACE.match(self._text, self._at)
            assert found is not None  # the pattern also matches nothing
            self._at = found.end()
            parts.append(found[0])
        return "".join(parts)

    def _is_next(self, choices: tuple[str, ...]) -> Steps[bool]:
        found = yield from self.optional(choices)
        self._at -= len(found)
        return found != ""

    def _wait(self) -> Steps[None]:
        if self.ended:
            raise ValueError("the text ends before the call does")
        yield
