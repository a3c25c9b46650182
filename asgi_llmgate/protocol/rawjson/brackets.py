"""Finding the end of a JSON value that arrives in pieces.

After each piece of a tool call's arguments the caller asks whether the arguments are complete.  Parsing everything that
has arrived each time would be quadratic: 40,000 pieces would block the event loop for a second.  So each character is
looked at once, to count brackets; the caller parses only when every bracket has been closed.
"""

from __future__ import annotations

import re

import msgspec

from asgi_llmgate.protocol.rawjson.strings import DECODE_ERRORS

_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_BEFORE_OPEN_STRING = re.compile(r'(?:[^"]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]++|\\.)*+"|[{\[]|([}\]])', re.DOTALL)
_SPACE_BETWEEN = re.compile(r'("(?:[^"\\]++|\\.)*+"?)|\s++', re.DOTALL)


class BracketScanner:
    """Counts brackets outside of strings.  `feed` must get every character of the value once, in order.

    `takes_value`: what comes next may be an object or a list, after all that has been fed.  Inside of a string, and
    after a value, it cannot be.
    """

    __slots__ = ("_depth", "_last", "_resume")

    def __init__(self) -> None:
        self._depth = 0
        self._last = ""  # the last character outside of strings that is no white space; a quote for a whole string
        # Put in front of the next piece while a string is open: its quote, and a backslash that escapes what follows.
        # The rest of the open string is not needed again.
        self._resume = ""

    @property
    def takes_value(self) -> bool:
        return not self._resume and self._last in ("", ":", ",", "[")

    def feed(self, text: str) -> int:
        """Take the next piece.  Returns where in it the last open bracket is closed, as the offset behind it; -1 if it
        is not closed in this piece.  After that the scanner is not used again."""
        if self._resume and '"' not in text and not text.endswith("\\"):
            self._resume = '"' if text else self._resume
            return -1  # all of it is inside of the open string
        resumed = len(self._resume)
        text = self._resume + text
        found = _BEFORE_OPEN_STRING.match(text)
        assert found is not None  # the pattern also matches nothing
        closed, opened = text[: found.end()], text[found.end() :]
        escaped = (len(opened) - len(opened.rstrip("\\"))) % 2
        self._resume = opened[:1] + "\\" * escaped
        outside = _STRING.sub('"', closed)
        self._last = outside.rstrip()[-1:] or self._last
        ends = sum(map(outside.count, "}]"))
        if ends and ends >= self._depth and (end := self._find_end(closed)) >= 0:
            return end - resumed
        self._depth += sum(map(outside.count, "{[")) - ends
        return -1

    def _find_end(self, text: str) -> int:
        depth = self._depth
        for token in _STRING_OR_BRACKET.finditer(text):
            if token[1]:
                depth -= 1
                if depth <= 0:
                    return token.end()
            elif token[0] in "{[":
                depth += 1
        return -1


def compact(text: str) -> str:
    """JSON, or the beginning of it, without the white space outside of strings."""
    try:
        return msgspec.json.format(text, indent=-1)  # several times as fast; takes complete JSON only
    except DECODE_ERRORS:
        return _SPACE_BETWEEN.sub(r"\1", text)
