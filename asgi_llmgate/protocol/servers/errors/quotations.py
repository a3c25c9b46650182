"""Whether the words of an error are the server's own, or a quotation of the request.

Servers repeat in their errors what they did not accept, and a caller can write the words of an error into a request.
A correction that is kept for other calls must therefore not be based on words of the request.  The search
compares words, because a quotation may be cut, in another case, escaped once more or once less, or a Python repr().

A doubt counts as a quotation: the correction then serves the call that met the error, and no other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeAlias

Phrase: TypeAlias = tuple[bytes, ...]
"""Words in lower case."""

MAX_SEARCHED = 4 * 2**20
"""Bytes of a request that are searched.  No correction of a larger request is kept."""

_MAX_ESCAPES = 20_000
"""`\\u` and `\\x` escapes that are undone; with more, a request counts as one that holds the words."""

_AROUND = 2
"""Words beside one or two words that matter, which must be quoted together with them: "not supported" alone stands in
every long prompt."""

_NEAR = 300
"""Characters in which these words, and quotation marks, are looked for."""

_MARKS = "'\"`\u2018\u2019\u201c\u201d\u00ab\u00bb"

_FILLERS = b"type text role user content amp quot apos lt gt nbsp 34 39 x22 x27".split()
"""What may stand between the words of two content parts that a server has joined, and what HTML makes of quotation
marks."""

_GAP = rb" ++(?:(?:%s) ++){0,12}" % b"|".join(_FILLERS)
_SPACES = (rb"\n", rb"\r", rb"\t", rb"\b", rb"\f")
_ESCAPED = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2}))")

_NORMAL = bytes(ord(chr(code).lower()) if chr(code).isascii() and chr(code).isalnum() else 0x20 for code in range(256))
"""Each byte's replacement: letters and digits in lower case, spaces for the rest."""

_FETCHED = re.compile(rb'"url"\s*:\s*"(?!data:)')
"""An address whose content the server fetches itself."""


_QUOTED_VALUE = re.compile(r"[{,]\s*['\"]input['\"]\s*:|\binput(?:_value)?=|\braw=|```")
"""Where pydantic, vLLM and Ollama begin to quote a value of the request or of the model's response."""

_OWN_WORDS = 1000
"""Characters at the beginning of an error that count as the server's own."""


def own_words(text: str) -> str:
    """The beginning of an error text, before it quotes the request."""
    start = text[:_OWN_WORDS]
    found = _QUOTED_VALUE.search(start)
    return start[: found.start()] if found else start


def telling_phrases(text: str, match: tuple[int, int], telling: tuple[int, int]) -> tuple[Phrase, ...]:
    """Phrases of which at least one would be in the request if an error had quoted a sentence from it.

    `match` is the start and end of the sentence in `text`; `telling` is the start and end of its key words (the
    complaint, the number).  The phrases are: the whole sentence; the key words with their neighbours, in case only
    they are quoted; and everything that is in quotation marks together with them.
    """
    start, end = telling
    while start and text[start - 1].isalnum():
        start -= 1
    while end < len(text) and text[end].isalnum():
        end += 1
    words = _split_words(text[start:end])
    before = _split_words(text[max(0, start - _NEAR) : start])[-_AROUND:]
    after = _split_words(text[end : end + _NEAR])[:_AROUND]
    line, length = before + words + after, len(words) + _AROUND
    found = {_split_words(text[match[0] : match[1]]), _enclosed_words(text, start, end)}
    if len(words) > _AROUND:
        found.add(words)
    if len(words) > 2 * _AROUND:
        # The quotation may end within the last word, with a letter of the server's behind it.  Without the last word
        # fewer words would be in many prompts.
        found.add(words[:-1])
    # Every run of the words with two neighbours: both before, one on each side, both behind.
    found.update(line[at : at + length] for at in range(len(before) + 1) if at == 0 or at + length <= len(line))
    # A phrase of numbers alone is in many requests by chance.
    return tuple(phrase for phrase in found if b"".join(phrase).strip(b"0123456789"))


def may_come_from_request(phrases: Iterable[Phrase], request: bytes) -> bool:
    """Whether one of the phrases is in a request body, or in something that the server fetches because of it."""
    if len(request) > MAX_SEARCHED or request.count(b"\\u") + request.count(b"\\x") > _MAX_ESCAPES:
        return True
    # Servers also repeat the response of an address in the request: "400, message='...'".
    if _FETCHED.search(request) is not None:
        return True
    normal = _normalize(request)
    # All words first: `in` is much faster than the pattern, and a phrase rarely has all of its words in a request.
    return any(
        all(word in normal for word in phrase) and re.search(_GAP.join(phrase), normal) is not None
        for phrase in phrases
    )


def _enclosed_words(text: str, start: int, end: int) -> Phrase:
    """The words between the quotation marks around a place; none where there are no marks near it."""
    left = max(text.rfind(mark, max(0, start - _NEAR), start) for mark in _MARKS)
    right = [at for mark in _MARKS if (at := text.find(mark, end, end + _NEAR)) >= 0]
    return _split_words(text[left + 1 : min(right)]) if left >= 0 and right else ()


def _split_words(text: str) -> Phrase:
    return tuple(word for word in _normalize(text.encode("utf-8", "replace")).split() if word not in _FILLERS)


def _normalize(data: bytes) -> bytes:
    """ASCII letters and digits in lower case, spaces for the rest; JSON's and Python's escapes are undone."""
    if b"\\" in data:
        while b"\\\\" in data:  # JSON in JSON in JSON
            data = data.replace(b"\\\\", b"\\")
        for space in _SPACES:
            data = data.replace(space, b"  ")
        data = _ESCAPED.sub(_decode_escape, data)
    return data.translate(_NORMAL)


def _decode_escape(escape: re.Match[bytes]) -> bytes:
    code = int(escape[1] or escape[2], 16)
    return b"%c" % code if code < 0x80 else b" "
