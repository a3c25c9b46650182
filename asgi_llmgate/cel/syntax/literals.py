"""Literals: what a token of the grammar stands for (langdef.md#values).

celpy's own decoding lets an unknown escape through as it stands and takes a code point for a byte.  Here what the
specification does not define is a ValueError.
"""

from __future__ import annotations

import re

from asgi_llmgate.cel.runtime.values import MAX_INT, MAX_UINT, MIN_INT, Uint

_ESCAPE = re.compile(
    r"""\\(?:(?P<letter>[abfnrtv\\?"'`])|[xX](?P<hex>[0-9a-fA-F]{2})|(?P<octal>[0-3][0-7]{2})"""
    r"""|u(?P<four>[0-9a-fA-F]{4})|U(?P<eight>[0-9a-fA-F]{8})|(?P<bad>.?))""",
    re.S,
)
_LETTERS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def integer(text: str) -> int:
    value = int(text, 16 if "x" in text.lower() else 10)
    if not MIN_INT <= value <= MAX_INT:
        raise ValueError("the number does not fit 64 bits")
    return value


def unsigned(text: str) -> Uint:
    value = int(text[:-1], 16 if "x" in text.lower() else 10)
    if not 0 <= value <= MAX_UINT:
        raise ValueError("the number does not fit 64 bits without a sign")
    return Uint(value)


def string(text: str) -> str:
    prefix, body = _unquote(text)
    return body if "r" in prefix else _ESCAPE.sub(_character, body)


def byte_string(text: str) -> bytes:
    prefix, body = _unquote(text)
    if "r" in prefix:
        return body.encode()
    out, end = bytearray(), 0
    for found in _ESCAPE.finditer(body):
        out += body[end : found.start()].encode()
        end = found.end()
        code = found["hex"] or found["octal"]
        if found["four"] or found["eight"]:
            raise ValueError(f"no {found[0][:2]} escape in bytes")
        out += bytes([int(code, 16 if found["hex"] else 8)]) if code else _character(found).encode()
    return bytes(out + body[end:].encode())


def _unquote(text: str) -> tuple[str, str]:
    quote = text.find(text[-1])
    width = 3 if text[quote : quote + 3] == text[-1] * 3 and len(text) >= quote + 6 else 1
    return text[:quote].lower(), text[quote + width : -width]


def _character(found: re.Match[str]) -> str:
    if letter := found["letter"]:
        return _LETTERS.get(letter, letter)
    if octal := found["octal"]:
        return chr(int(octal, 8))
    code = found["hex"] or found["four"] or found["eight"]
    if not code:
        raise ValueError(f"unknown escape {found[0]!r}")
    point = int(code, 16)
    if point > 0x10FFFF or 0xD800 <= point <= 0xDFFF:
        raise ValueError(f"{found[0]} is no character")
    return chr(point)
