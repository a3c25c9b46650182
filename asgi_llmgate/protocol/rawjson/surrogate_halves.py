"""Characters that a server has cut in two: the halves of a surrogate pair at the end of one text and the beginning of
the next.

Servers in JavaScript and Java cut texts by UTF-16 units, so an emoji can come as `"...\\ud83d"` and `"\\ude00..."` in
two chunks (elizaOS/eliza#30904).  No JSON decoder that checks its input accepts either.  So a half at an edge of a
string is replaced by a mark that is valid, and `SurrogateJoiner` makes characters of the marks.  Halves anywhere else
are errors, and become U+FFFD, as in `strings.repair`.

A mark is U+FDD0, which is no character of any text, and the half moved from U+D800..DFFF to U+1800..1FFF.
"""

from __future__ import annotations

import re

from asgi_llmgate.protocol.rawjson.strings import is_utf8, lone_surrogates

_NONCHARACTER = "\ufdd0"
_MARK = re.compile(rb"\xef\xb7\x90(\xe1[\xa0-\xbf][\x80-\xbf])")
_MARK_SIZE = 6
"""Bytes of a mark, and of the escape that it replaces."""

_REPLACEMENT = "\ufffd".encode()
_MOVED = 0xD800 - 0x1800


def mark_halves(data: bytes) -> tuple[bytes, bool]:
    """JSON with marks for the halves at the edges of its strings, and U+FFFD for other halves and what is not UTF-8;
    and whether there is a mark in it."""
    text = data if is_utf8(data) else data.decode("utf-8", "replace").encode()
    pieces: list[bytes] = []
    end, is_marked = 0, False
    for start in lone_surrogates(text):
        half = int(text[start + 2 : start + 6], 16)
        is_high = half < 0xDC00
        # The quote at an edge is not itself escaped: behind an escaped one there is more of the string.
        at_edge = text[start + 6 : start + 7] == b'"' if is_high else _opens(text, start - 1)
        is_marked = is_marked or at_edge
        mark = (_NONCHARACTER + chr(half - _MOVED)).encode() if at_edge else _REPLACEMENT
        pieces += (text[end:start], mark)
        end = start + 6
    return b"".join((*pieces, text[end:])), is_marked


def _opens(text: bytes, at: int) -> bool:
    return text[at : at + 1] == b'"' and text[at - 1 : at] != b"\\"


class SurrogateJoiner:
    """Joins the halves of one response.  `place` is what a text belongs to: a kind of text, or a tool call.

    Every text of a place must go through `join`, in order.
    """

    __slots__ = ("_halves",)

    def __init__(self) -> None:
        self._halves: dict[object, int] = {}

    def join(self, place: object, raw: bytes) -> bytes:
        """The text without marks.  A half at its end is kept for the next text of the same place."""
        if not raw:
            return raw
        high = self._halves.pop(place, 0)
        first = _MARK.match(raw)
        low = _half(first[1]) if first else 0
        if high:
            if low >= 0xDC00:
                joined = chr(0x10000 + ((high - 0xD800) << 10) + low - 0xDC00)
                raw = joined.encode() + raw[_MARK_SIZE:]
            else:
                raw = _REPLACEMENT + raw
        last = _MARK.fullmatch(raw, max(0, len(raw) - _MARK_SIZE))
        if last and _half(last[1]) < 0xDC00:
            self._halves[place] = _half(last[1])
            raw = raw[:-_MARK_SIZE]
        return _MARK.sub(_REPLACEMENT, raw)

    def rest(self, place: object) -> bytes:
        """What is left of a place that has ended: U+FFFD for a half, or nothing."""
        return _REPLACEMENT if self._halves.pop(place, 0) else b""


def _half(moved: bytes) -> int:
    return ord(moved.decode()) + _MOVED
