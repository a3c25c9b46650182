"""JSON strings as they stand on the wire.

The text of an OpenAI `content` and of an Anthropic `text` is the same JSON string, so an answer's characters are copied
as they came, escapes and all, and never decoded.  `raw` means, everywhere in this package: the escaped characters
between the quotes, as bytes.  What is copied must be right to begin with.  The decoder checks escapes but not UTF-8
inside what it skips, and refuses escaped lone surrogates, which servers do send when they cut an emoji in two:
`repaired` mends both.
"""

from __future__ import annotations

import codecs
import json
import re

import msgspec

_HALF = re.compile(rb"\\u[dD](?:([89abAB])|[c-fC-F])[0-9a-fA-F]{2}")
"""Half of a surrogate pair, the first half or the second, unless its backslash is itself escaped."""
_MOST_HALVES = 20_000
"""Where there are more, none is mended: a text is cut in the middle of an emoji now and then, not all the time."""

_MOST_BACKSLASHES = 256


class _Object(msgspec.Struct):
    """Any object: names that it does not have are read over, and nothing is made of them."""


_text = msgspec.json.Decoder(str)
_object = msgspec.json.Decoder(_Object)

UNREADABLE = (ValueError, RecursionError)
"""What decoders raise for what they cannot read: another type or no JSON at all (msgspec.DecodeError), bytes that are
no UTF-8, a number too long for Python (both ValueError), and lists in one another without end."""

_SLICE = 64 * 1024
"""Bytes that are checked at a time: one emoji makes a text in memory four times as long as its bytes."""


def quoted(text: str) -> bytes:
    """The raw form of `text`, without the quotes."""
    return msgspec.json.encode(text)[1:-1]


def plain(raw: bytes) -> str:
    """The text that a raw form stands for."""
    return _text.decode(b'"%b"' % raw)


def nested(value: bytes) -> bytes:
    """A JSON value written into a JSON string (raw form): `{"x":1}` gives `{\\"x\\":1}`."""
    return quoted(value.decode())


def is_utf8(data: bytes) -> bool:
    """In pieces: one emoji makes the text of it four times as large."""
    if data.isascii():
        return True
    try:
        if len(data) <= _SLICE:
            data.decode()
            return True
        decoder = codecs.getincrementaldecoder("utf-8")()
        for start in range(0, len(data), _SLICE):
            decoder.decode(data[start : start + _SLICE])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def repaired(data: bytes) -> bytes:
    """JSON with U+FFFD in place of bytes that are no UTF-8 and of surrogates that have lost their other half."""
    text = data if is_utf8(data) else data.decode("utf-8", "replace").encode()
    pieces: list[bytes] = []
    end = 0
    for start in _lost(text):
        pieces += (text[end:start], rb"\ufffd")
        end = start + 6
    return b"".join((*pieces, text[end:])) if pieces else text


def _lost(text: bytes) -> list[int]:
    """Where the halves stand that have lost their other half."""
    lost: list[int] = []
    first = -1
    """Where the second half would have to stand of a pair that has begun, or -1."""
    for number, half in enumerate(_HALF.finditer(text)):
        if number == _MOST_HALVES:
            return []
        start = half.start()
        if _is_escaped(text, start):
            continue
        is_first = half[1] is not None
        if first == start and not is_first:
            first = -1
            continue
        if first >= 0:
            lost.append(first - 6)
        if is_first:
            first = half.end()
        else:
            first = -1
            lost.append(start)
    return lost if first < 0 else [*lost, first - 6]


def _is_escaped(text: bytes, at: int) -> bool:
    """Whether an odd number of backslashes stands before a place.  So is what stands behind very many: JSON in JSON
    doubles them each time."""
    before = text[max(0, at - _MOST_BACKSLASHES) : at]
    run = len(before) - len(before.rstrip(b"\\"))
    return run % 2 == 1 or run == _MOST_BACKSLASHES


def object_in(raw: bytes) -> bytes | None:
    """The JSON object that a raw string holds, as JSON text; None when it holds anything else, or half of one.

    Half surrogates inside it are mended: a client that reads the string itself takes them, a JSON decoder may not.
    """
    try:
        text = plain(raw).strip().encode()
        if not text.startswith(b"{"):
            return None
        try:
            _object.decode(text)
        except msgspec.DecodeError:
            text = repaired(text)
            _object.decode(text)
        return text
    except UNREADABLE:
        return None


def describe(value: msgspec.Raw) -> bytes:
    """A JSON value as raw characters: a string is taken as it is, null is nothing, anything else is written out."""
    text = bytes(value)
    if text.startswith(b'"'):
        return text[1:-1]
    if not text or text == b"null":
        return b""
    return nested(text)


def loads(data: bytes) -> object:
    """Any JSON value, also one that the fast decoder refuses; None when it is no JSON at all."""
    try:
        return json.loads(data)
    except UNREADABLE:
        return None
