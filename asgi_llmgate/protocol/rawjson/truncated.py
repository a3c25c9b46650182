"""JSON that breaks off: the beginning of an error body whose rest was not read or did not arrive.

The message of an error usually stands in front (`{"error": {"message": "...`).  So what is open at the end is closed;
a member that has no value, or only the beginning of a number or a word, gets null.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from string import ascii_letters, digits

from asgi_llmgate.protocol.rawjson.strings import parse_or_none

_TOKEN = re.compile(r'"(?:[^"\\]|\\u[0-9a-fA-F]{4}|\\[^u])*+("?)|[{\[]|[}\]]')
"""A string or a bracket.  A string without its end stops before an incomplete escape; then group 1 is empty."""

_HALF_VALUE = ascii_letters + digits + ".+-"
"""Characters of an incomplete number, `true`, `false` or `null`."""

_BETWEEN = " \t\r\n,"
_CLOSING = {"{": "}", "[": "]"}


def parse_truncated(text: str) -> object:
    """The value that a JSON text begins; None where it begins none.  Linear in the length of the text."""
    open_brackets: list[str] = []
    half_string = ""
    for token in _TOKEN.finditer(text):
        first = token[0][0]
        if first == '"':
            if not token[1]:
                text, half_string = text[: token.start()], token[0] + '"'
                break
        elif first in _CLOSING:
            open_brackets.append(_CLOSING[first])
        elif open_brackets:
            open_brackets.pop()
    closing = "".join(reversed(open_brackets))
    values = (parse_or_none(f"{text}{closing}".encode()) for text in _completions(text, half_string))
    return next((value for value in values if value is not None), None)


def _completions(text: str, half_string: str) -> Iterator[str]:
    """Texts to try, each to be followed by the closing brackets.

    A string that is cut is kept if it is a value.  If it is a name it is removed: with a made-up value it could replace
    an earlier member of that name.
    """
    yield text + half_string
    for rest in (text.rstrip(_BETWEEN), text.rstrip(_HALF_VALUE).rstrip(_BETWEEN)):
        for missing in ("", ":null", "null"):
            yield rest + missing
