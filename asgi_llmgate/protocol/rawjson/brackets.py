"""Finding the end of a JSON value that arrives in pieces.

After each piece of a tool call's arguments the caller asks whether the arguments are complete.  Parsing everything that
has arrived each time would be quadratic: 40,000 pieces would block the event loop for a second.  So each character is
looked at once, to count brackets; the caller parses only when every bracket has been closed.
"""

from __future__ import annotations

import re

_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_BEFORE_OPEN_STRING = re.compile(r'(?:[^"]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)


class BracketScanner:
    """Counts brackets outside of strings.  `feed` must get every character of the value once, in order."""

    __slots__ = ("_begun", "_depth", "_resume")

    def __init__(self) -> None:
        self._depth = 0
        self._begun = False
        # Put in front of the next piece while a string is open: its quote, and a backslash that escapes what follows.
        # The rest of the open string is not needed again.
        self._resume = ""

    def feed(self, text: str) -> bool:
        """Take the next piece.  Returns whether something has arrived and every bracket has been closed."""
        text = self._resume + text
        found = _BEFORE_OPEN_STRING.match(text)
        assert found is not None  # the pattern also matches nothing
        closed, opened = text[: found.end()], text[found.end() :]
        escaped = (len(opened) - len(opened.rstrip("\\"))) % 2
        self._resume = opened[:1] + "\\" * escaped
        outside = _STRING.sub("", closed)
        self._depth += sum(map(outside.count, "{[")) - sum(map(outside.count, "}]"))
        self._begun = self._begun or (text != "" and not text.isspace())
        return self._begun and self._depth <= 0 and not opened
