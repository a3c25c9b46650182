"""JSON strings in their escaped form.

The text of an OpenAI `content` and of an Anthropic `text` is the same JSON string, so the characters of a response are
copied with their escapes and never decoded.  Everywhere in this package `raw` means the escaped characters between the
quotes, as bytes.

What is copied must be valid.  msgspec checks escapes but not UTF-8 in the values that it skips, and it refuses an
escaped surrogate without its other half, which servers send when they cut an emoji in two.  `repair` corrects both.
"""

from __future__ import annotations

import codecs
import json
import re

import msgspec

_SURROGATE = re.compile(rb"\\u[dD](?:([89abAB])|[c-fC-F])[0-9a-fA-F]{2}")
"""An escaped surrogate; group 1 is set for a first half.  Its backslash may itself be escaped (`_is_escaped`)."""

_MAX_SURROGATES = 20_000
"""A text with more is not repaired: texts are cut in the middle of an emoji now and then, not thousands of times."""

_MAX_BACKSLASHES = 256
"""Backslashes that are looked at in front of one character."""


class _Object(msgspec.Struct):
    """Any object: msgspec checks the members and builds nothing, since this struct has no fields."""


_str_decoder = msgspec.json.Decoder(str)
_object_decoder = msgspec.json.Decoder(_Object)

DECODE_ERRORS = (ValueError, RecursionError)
"""What decoders raise: for another type or invalid JSON msgspec.DecodeError, which is a ValueError; for invalid UTF-8
and for a number that is too long for Python other ValueErrors; for lists nested very deeply RecursionError."""

_SLICE = 16 * 1024
"""Bytes that are checked for UTF-8 at a time.  Python holds a text with one emoji in four bytes per character: of a
whole body that could be four times its size, and memory that is asked of the kernel costs more than the check."""


def escape(text: str) -> bytes:
    """The raw form of a text: escaped, without quotes."""
    return msgspec.json.encode(text)[1:-1]


def unescape(raw: bytes) -> str:
    """The text of a raw form.  Raises msgspec.DecodeError."""
    return _str_decoder.decode(b'"%b"' % raw)


def escape_json(value: bytes) -> bytes:
    """JSON as the raw form of a string that holds it: `{"x":1}` gives `{\\"x\\":1}`."""
    return escape(value.decode())


def is_utf8(data: bytes) -> bool:
    """Whether bytes are valid UTF-8.  Decodes at most _SLICE bytes at a time."""
    if data.isascii():
        return True
    at, size = 0, len(data)
    try:
        while at < size:
            piece = data[at : at + _SLICE]
            # A character that is cut by the end of a piece is left to the next one.
            at += len(piece) if piece.isascii() else codecs.utf_8_decode(piece, "strict", at + _SLICE >= size)[1]
    except UnicodeDecodeError:
        return False
    return True


def repair(data: bytes) -> bytes:
    """JSON with U+FFFD in place of bytes that are not UTF-8, and of escaped surrogates without their other half."""
    text = data if is_utf8(data) else data.decode("utf-8", "replace").encode()
    pieces: list[bytes] = []
    end = 0
    for start in lone_surrogates(text):
        pieces += (text[end:start], rb"\ufffd")
        end = start + 6
    return b"".join((*pieces, text[end:])) if pieces else text


def lone_surrogates(text: bytes) -> list[int]:
    """Offsets of the escaped surrogates without their other half; none in a text with more than _MAX_SURROGATES."""
    lone: list[int] = []
    expected = -1  # where the second half of the pair that has begun must stand, or -1
    for number, half in enumerate(_SURROGATE.finditer(text)):
        if number == _MAX_SURROGATES:
            return []
        start = half.start()
        if _is_escaped(text, start):
            continue
        is_first = half[1] is not None
        if expected == start and not is_first:
            expected = -1
            continue
        if expected >= 0:
            lone.append(expected - 6)  # six bytes: \uXXXX
        if is_first:
            expected = half.end()
        else:
            expected = -1
            lone.append(start)
    return lone if expected < 0 else [*lone, expected - 6]


def _is_escaped(text: bytes, at: int) -> bool:
    """Whether the character at an offset is escaped: an odd number of backslashes stands before it."""
    before = text[max(0, at - _MAX_BACKSLASHES) : at]
    run = len(before) - len(before.rstrip(b"\\"))
    # JSON inside JSON doubles backslashes each time.  After a run this long the character counts as escaped, so that
    # the whole run need not be walked again for each surrogate behind it.
    return run % 2 == 1 or run == _MAX_BACKSLASHES


def embedded_object(raw: bytes) -> bytes | None:
    """The JSON object that a raw string holds, as JSON; None where it holds anything else or an incomplete object.

    Lone surrogates in it are replaced: a client may accept them in a string, but a JSON decoder may not.
    """
    try:
        text = unescape(raw).strip().encode()
        if not text.startswith(b"{"):
            return None
        try:
            _object_decoder.decode(text)
        except msgspec.DecodeError:
            text = repair(text)
            _object_decoder.decode(text)
        return text
    except DECODE_ERRORS:
        return None


def raw_text(value: msgspec.Raw) -> bytes:
    """Any JSON value in raw form: a string without its quotes, nothing for null, and anything else as JSON, escaped."""
    text = bytes(value)
    if text.startswith(b'"'):
        return text[1:-1]
    if not text or text == b"null":
        return b""
    return escape_json(text)


def parse_or_none(data: bytes) -> object:
    """Any JSON value, decoded by the standard library, which accepts more than msgspec (lone surrogates, NaN); None for
    what is not JSON."""
    try:
        return json.loads(data)
    except DECODE_ERRORS:
        return None
