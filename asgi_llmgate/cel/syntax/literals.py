"""Decodes literals (langdef.md#values).

The functions take the text of a token and raise ValueError for what the specification does not define.
"""
# celpy's own functions keep an unknown escape as it is, and take a code point for a byte.

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from asgi_llmgate.cel.runtime.values import MAX_INT, MAX_UINT, MIN_INT, Uint

_ESCAPE = re.compile(
    r"""\\(?:(?P<letter>[abfnrtv\\?"'`])|[xX](?P<hex>[0-9a-fA-F]{2})|(?P<octal>[0-3][0-7]{2})"""
    r"""|u(?P<four>[0-9a-fA-F]{4})|U(?P<eight>[0-9a-fA-F]{8})|(?P<bad>.?))""",
    re.S,
)
_LETTERS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def decode_int(text: str) -> int:
    value = int(text, 16 if "x" in text.lower() else 10)
    if not MIN_INT <= value <= MAX_INT:
        raise ValueError("the number does not fit into a 64-bit integer")
    return value


def decode_uint(text: str) -> Uint:
    value = int(text[:-1], 16 if "x" in text.lower() else 10)
    if not 0 <= value <= MAX_UINT:
        raise ValueError("the number does not fit into an unsigned 64-bit integer")
    return Uint(value)


def decode_string(text: str) -> str:
    prefix, body = _unquote(text)
    return body if "r" in prefix else _ESCAPE.sub(_character, body)


def decode_bytes(text: str) -> bytes:
    prefix, body = _unquote(text)
    if "r" in prefix:
        return body.encode()
    out, end = bytearray(), 0
    for found in _ESCAPE.finditer(body):
        out += body[end : found.start()].encode()
        end = found.end()
        code = found["hex"] or found["octal"]
        if found["four"] or found["eight"]:
            raise ValueError(f"a bytes literal cannot have an escape with {found[0][:2]}")
        out += bytes([int(code, 16 if found["hex"] else 8)]) if code else _character(found).encode()
    return bytes(out + body[end:].encode())


def _unquote(text: str) -> tuple[str, str]:
    """The prefix (`r`, `b`, `br`, or none) in lower case, and what is between the quotes."""
    quote = text.find(text[-1])
    width = 3 if text[quote : quote + 3] == text[-1] * 3 and len(text) >= quote + 6 else 1
    return text[:quote].lower(), text[quote + width : -width]


def _character(found: re.Match[str]) -> str:
    """The character of an escape sequence."""
    if letter := found["letter"]:
        return _LETTERS.get(letter, letter)
    if octal := found["octal"]:
        return chr(int(octal, 8))
    code = found["hex"] or found["four"] or found["eight"]
    if not code:
        raise ValueError(f"unknown escape {found[0]!r}")
    point = int(code, 16)
    if point > 0x10FFFF or 0xD800 <= point <= 0xDFFF:
        raise ValueError(f"{found[0]} is not a character")
    return chr(point)


DECODERS: Mapping[str, Callable[[str], Any]] = {
    "INT_LIT": decode_int,
    "UINT_LIT": decode_uint,
    "FLOAT_LIT": float,
    "STRING_LIT": decode_string,
    "MLSTRING_LIT": decode_string,
    "BYTES_LIT": decode_bytes,
    "BOOL_LIT": lambda text: text == "true",
    "NULL_LIT": lambda text: None,
}
"""Type of a token -> the function that decodes it."""
