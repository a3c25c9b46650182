"""JSON that breaks off: the beginning of an error whose rest was not read, or never came.

What matters stands in front as a rule (`{"error": {"message": "...`).  So what is open at the end is closed, and of a
member whose value is missing or a half number the value is null.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from string import ascii_letters, digits

from asgi_llmgate.protocol.rawjson.strings import loads

_TOKEN = re.compile(r'"(?:[^"\\]|\\u[0-9a-fA-F]{4}|\\[^u])*+("?)|[{\[]|[}\]]')
"""A string ends, if not in a quote, in front of half an escape."""

_HALF_VALUE = ascii_letters + digits + ".+-"
_BETWEEN = " \t\r\n,"
_CLOSING = {"{": "}", "[": "]"}


def read(text: str) -> object:
    """The value that a JSON text begins; None where it begins none.  Takes time in proportion to the text."""
    open_ones: list[str] = []
    begun = ""
    for token in _TOKEN.finditer(text):
        first = token[0][0]
        if first == '"':
            if not token[1]:
                text, begun = text[: token.start()], token[0] + '"'
                break
        elif first in _CLOSING:
            open_ones.append(_CLOSING[first])
        elif open_ones:
            open_ones.pop()
    closing = "".join(reversed(open_ones))
    values = (loads(f"{text}{closing}".encode()) for text in _completed(text, begun))
    return next((value for value in values if value is not None), None)


def _completed(text: str, begun: str) -> Iterator[str]:
    """The ways to go on, up to the closing brackets.  `begun` is half a string at the end of the text: if it is a value
    it stays, if it is a name it goes, since with a value it could take the place of another."""
    yield text + begun
    for rest in (text.rstrip(_BETWEEN), text.rstrip(_HALF_VALUE).rstrip(_BETWEEN)):
        for missing in ("", ":null", "null"):
            yield rest + missing
