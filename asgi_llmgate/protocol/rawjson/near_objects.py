"""JSON objects in what is nearly one: arguments that models write and servers pass on as they are.

Only what has one meaning is made into an object:

- a JSON string that holds the object (`"{\\"x\\": 1}"`), also more than once, and an object in a Markdown code block;
- Python's and JavaScript's way to write it: single quotes, `True`, `None`, names without quotes, a comma before the
  last bracket, line breaks and tabs inside of strings;
- `null`, `None` and an empty string for no arguments.

An object that is cut, or has a quote too many, is not repaired: that would be a guess, and the client tells the model.
"""

from __future__ import annotations

import re

import msgspec

from asgi_llmgate.lazy_pattern import lazy_pattern
from asgi_llmgate.protocol.rawjson.strings import DECODE_ERRORS, embedded_object, escape

_MAX_SIZE = 2**17
"""Characters.  A longer text is not repaired."""

_MAX_WRAPPED = 3
"""Strings in strings, and code blocks in strings."""

_FENCE = lazy_pattern(r"```[a-zA-Z0-9]*[ \t]*\n?(.*?)\n?[ \t]*```", re.DOTALL)

_TOKEN = lazy_pattern(
    r"""
      "(?P<double>(?:[^"\\]|\\.)*+)"
    | '(?P<single>(?:[^'\\]|\\.)*+)'
    | (?P<word>[A-Za-z_$][\w$-]*+)
    | (?P<number>-?\d[\d.eE+-]*+)
    | (?P<mark>[{}\[\]:,])
    | (?P<space>\s++)
    | (?P<other>.)
    """,
    re.DOTALL | re.VERBOSE,
)
_ESCAPE = lazy_pattern(r"""\\(?:u[0-9a-fA-F]{4}|["\\/bfnrt]|x([0-9a-fA-F]{2})|(['\n]))|(["\x00-\x1f])""")
_WORDS = {"true": "true", "True": "true", "false": "false", "False": "false", "null": "null", "None": "null"}


def repair_object(text: str) -> str | None:
    """The object that a text holds, as JSON; None where it holds none, or more than one reading is possible."""
    if len(text) > _MAX_SIZE:
        return None
    for _ in range(_MAX_WRAPPED):
        text = text.strip()
        if text in ("", "null", "None"):
            return "{}"
        if fenced := _FENCE.fullmatch(text):
            text = fenced[1]
        elif text.startswith('"'):
            try:
                text = msgspec.json.decode(text, type=str)
            except DECODE_ERRORS:
                return None
        else:
            break
    if not text.startswith("{"):
        return None
    return _as_object(text) or _as_object(_rewrite(text))


def _as_object(text: str) -> str | None:
    found = embedded_object(escape(text))
    return None if found is None else found.decode()


def _rewrite(text: str) -> str:
    """The text with JSON's quotes, words and commas; nothing where a part of it has no counterpart."""
    pieces: list[str] = []
    for token in _TOKEN.finditer(text):
        kind, piece = token.lastgroup, token[0]
        if kind == "other":
            return ""
        if kind == "space":
            continue
        if kind in ("double", "single"):
            piece = '"' + _ESCAPE.sub(_rewrite_escape, token[kind]) + '"'
        elif kind == "word":
            piece = _WORDS.get(piece) or f'"{piece}"'
            if piece.startswith('"') and not text[token.end() : token.end() + 8].lstrip().startswith(":"):
                return ""
        elif piece in ("}", "]") and pieces[-1:] == [","]:
            pieces.pop()
        pieces.append(piece)
    return "".join(pieces)


def _rewrite_escape(found: re.Match[str]) -> str:
    if found[1]:
        return f"\\u00{found[1]}"
    if found[2]:
        return "'" if found[2] == "'" else ""
    if found[3]:
        return '\\"' if found[3] == '"' else f"\\u{ord(found[3]):04x}"
    return found[0]
