"""Whether the words of a refusal are the server's own, or those of the request that it refuses.

Servers repeat in their errors what they did not like, and whoever writes a request can write a refusal into it.  So
what is learnt from a refusal, and then holds for everybody, must not rest on words that stand in the request.  They are
compared as words, since a quotation may be cut, folded, escaped once more or less, or a Python repr().

A doubt counts as a quotation: then a correction serves the call that met it, and no other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeAlias

Phrase: TypeAlias = tuple[bytes, ...]
"""Words in lower case."""

MAX_SEARCHED = 4 * 2**20
"""Bytes of a request that are searched; a larger one teaches nothing."""

_MOST_ESCAPES = 20_000
_AROUND = 2
"""Words that must be quoted together with one or two telling ones: "not supported" alone is in every long prompt."""
_NEAR = 300
"""Characters in which to look for them, and for quotation marks."""

_MARKS = "'\"`\u2018\u2019\u201c\u201d\u00ab\u00bb"
_FILLING = b"type text role user content amp quot apos lt gt nbsp 34 39 x22 x27".split()
"""What stands between the words of two content parts that a server has joined, and what HTML makes of quotation
marks."""

_GAP = rb" ++(?:(?:%s) ++){0,12}" % b"|".join(_FILLING)
_SPACES = (rb"\n", rb"\r", rb"\t", rb"\b", rb"\f")
_ESCAPED = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2}))")
_PLAIN = bytes(ord(chr(code).lower()) if chr(code).isascii() and chr(code).isalnum() else 0x20 for code in range(256))

_FETCHED = re.compile(rb'"url"\s*:\s*"(?!data:)')


def telling_phrases(text: str, match: tuple[int, int], telling: tuple[int, int]) -> tuple[Phrase, ...]:
    """What must not stand in the request for a sentence of a refusal to be the server's own.

    `match` is the sentence's place, `telling` that of its words without which it would say nothing (the complaint, the
    number).  They are the phrases that a quotation would have brought along: the whole sentence; the telling words with
    their neighbours, where only they are quoted; and all of what quotation marks enclose together with them.
    """
    start, end = telling
    while start and text[start - 1].isalnum():
        start -= 1
    while end < len(text) and text[end].isalnum():
        end += 1
    told = _words(text[start:end])
    before, after = _words(text[max(0, start - _NEAR) : start])[-_AROUND:], _words(text[end : end + _NEAR])[:_AROUND]
    line, length = before + told + after, len(told) + _AROUND
    found = {_words(text[match[0] : match[1]]), _enclosed(text, start, end)}
    if len(told) > _AROUND:
        found.add(told)
    found.update(line[at : at + length] for at in range(len(before) + 1) if at == 0 or at + length <= len(line))
    return tuple(phrase for phrase in found if b"".join(phrase).strip(b"0123456789"))


def may_come_from_request(said: Iterable[Phrase], request: bytes) -> bool:
    """Whether one of the phrases stands in a request, or was put into the server's mouth through it."""
    if len(request) > MAX_SEARCHED or request.count(b"\\u") + request.count(b"\\x") > _MOST_ESCAPES:
        return True
    if _FETCHED.search(request) is not None:  # what the address answers is repeated, too: "400, message='...'"
        return True
    plain = _plain(request)
    return any(
        all(word in plain for word in phrase) and re.search(_GAP.join(phrase), plain) is not None for phrase in said
    )


def _enclosed(text: str, start: int, end: int) -> Phrase:
    left = max(text.rfind(mark, max(0, start - _NEAR), start) for mark in _MARKS)
    right = [at for mark in _MARKS if (at := text.find(mark, end, end + _NEAR)) >= 0]
    return _words(text[left + 1 : min(right)]) if left >= 0 and right else ()


def _words(text: str) -> Phrase:
    return tuple(word for word in _plain(text.encode("utf-8", "replace")).split() if word not in _FILLING)


def _plain(data: bytes) -> bytes:
    """ASCII letters and digits in lower case, and spaces; escapes are undone, of JSON's and of Python's kind."""
    if b"\\" in data:
        while b"\\\\" in data:
            data = data.replace(b"\\\\", b"\\")
        for space in _SPACES:
            data = data.replace(space, b"  ")
        data = _ESCAPED.sub(_unescaped, data)
    return data.translate(_PLAIN)


def _unescaped(escape: re.Match[bytes]) -> bytes:
    code = int(escape[1] or escape[2], 16)
    return b"%c" % code if code < 0x80 else b" "
