"""JSON that arrives in pieces, and where its end is.

A piece of a tool call's arguments may be the last one, and then the next block may begin.  To read all that has come
with every piece would be work that grows with its square: 40,000 pieces would stop everybody else for a second.  So
each character is looked at once, here, and only to count brackets; whether it is good JSON is read when they match.
"""

from __future__ import annotations

import re

_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_UNTIL_AN_OPEN_STRING = re.compile(r'(?:[^"]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)


class BracketScanner:
    """Counts brackets outside of strings.  `feed` must get every character once."""

    __slots__ = ("_begun", "_depth", "_resume")

    def __init__(self) -> None:
        self._depth = 0
        self._begun = False
        self._resume = ""  # what brings a string that is open back: its quote, and a backslash without what it escapes

    def feed(self, text: str) -> bool:
        """Whether something has come, and every bracket of it has been closed."""
        text = self._resume + text
        found = _UNTIL_AN_OPEN_STRING.match(text)
        assert found is not None  # it may be empty
        closed, opened = text[: found.end()], text[found.end() :]
        escaped = (len(opened) - len(opened.rstrip("\\"))) % 2
        self._resume = opened[:1] + "\\" * escaped
        outside = _STRING.sub("", closed)
        self._depth += sum(map(outside.count, "{[")) - sum(map(outside.count, "}]"))
        self._begun = self._begun or (text != "" and not text.isspace())
        return self._begun and self._depth <= 0 and not opened
