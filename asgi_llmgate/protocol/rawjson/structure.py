"""How much a request body may hold, looked at before it is opened.

A body of one-letter messages is small in bytes and large in work: what JSON costs to open is decided by its values, not
by its length.  So they are counted first, in slices, and counting stops where there are too many; what is opened after
that, level by level, is bounded by them, and each level's own limits are checked before the next one is opened.

A value takes two bytes at least, so a short body cannot have too many and is not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Sized
from dataclasses import dataclass
from itertools import accumulate

from asgi_llmgate.errors import InvalidRequest, StructureTooLarge

_SLICE = 256 * 1024
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"{}[]")
_NO_MARKS = bytes(byte for byte in range(256) if byte not in b"{}[],")
_DIGITS = bytes.maketrans(b"123456789", b"0" * 9)
_STEPS = {ord("{"): 1, ord("["): 1, ord("}"): -1, ord("]"): -1}
_NUMBERS = 20
_FLAT = re.compile(rb"\[[^\[\]{}]*+\]")


@dataclass(frozen=True, slots=True)
class Structure:
    """The limits.  `values`: elements and members of all arrays and objects together; `depth`: of arrays and objects in
    one another; `names`: in one object; `blocks`: of content, in all messages together; `model`: characters."""

    depth: int = 64
    values: int = 100_000
    names: int = 5_000
    messages: int = 20_000
    blocks: int = 10_000
    tools: int = 3_000
    model: int = 256

    def check(self, body: bytes, *, numbers: bool = True) -> None:
        """Count the values of a body, which need not be JSON.  Raises `StructureTooLarge` for them and for its depth,
        and `InvalidRequest` where it closes what it has not opened.

        Without `numbers`, those in arrays count a twentieth: texts are embedded as the numbers of their tokens.
        """
        if len(body) > 2 * self.values:
            self._count(body, numbers=numbers)

    def check_depth(self, value: bytes, outside: int = 0) -> None:
        """The depth of a value that is handed on, or walked, without being opened level by level; so many levels are
        around it."""
        most = self.depth - outside
        if len(value) > 2 * most and value.count(b"{") + value.count(b"[") > most:
            self._count(value, outside=outside)

    def check_elements(self, value: bytes) -> None:
        """How many elements an array has, where numbers were not counted; the numbers of inner arrays are not opened
        with it."""
        if len(value) > 2 * self.values and value.count(b",") >= self.values:
            outside = b"".join(_between_quotes(value)[::2]).translate(None, _NO_MARKS)
            if _FLAT.sub(b"", outside[1:]).count(b",") >= self.values:
                raise StructureTooLarge(f"the request body has more than {self.values} values")

    def check_size(self, limit: str, counted: Sized, place: str = "") -> None:
        """Whether there are not more than one of the limits says."""
        most: int = getattr(self, limit)
        if len(counted) > most:
            raise StructureTooLarge(f"{place or limit}: {len(counted)} {limit}, and no more than {most} are taken")

    def check_model(self, name: str) -> None:
        if len(name) > self.model:
            raise StructureTooLarge(f"model: {len(name)} characters, and no more than {self.model} are taken")

    def _count(self, body: bytes, *, numbers: bool = True, outside: int = 0) -> None:
        values = quotes = uncounted = start = 0
        depth = outside
        inside = False
        while start < len(body):
            piece = _slice(body, start)
            parts = _between_quotes(piece)
            between = b"".join(parts[inside::2])
            start, inside = start + len(piece), inside != (len(parts) % 2 == 0)
            values += between.count(b",") + between.count(b"{") + between.count(b"[")
            found = 0 if numbers else _numbers_in_arrays(between)
            values, uncounted = values - found, uncounted + found
            quotes += len(parts) - 1
            if values > self.values or quotes > 4 * self.values or uncounted > _NUMBERS * self.values:
                raise StructureTooLarge(f"the request body has more than {self.values} values")
            if not (brackets := between.translate(None, _NO_BRACKETS)):
                continue
            depths = list(accumulate(map(_STEPS.__getitem__, brackets), initial=depth))
            depth = depths[-1]
            if min(depths) < 0:  # closing brackets are no values, so nothing else would end the count
                raise InvalidRequest("the request body is not valid JSON: it closes more brackets than it opens")
            if max(depths) > self.depth:
                raise StructureTooLarge(f"the request body is nested more than {self.depth} levels deep")


STRUCTURE = Structure()
"""What a body may hold by default.  A turn of today's Claude Code has 820 values, 12 names in an object, 8 messages,
22 tools, 13 blocks, and is 11 levels deep; a conversation that fills a window of a million tokens has some 20,000."""


def _numbers_in_arrays(outside: bytes) -> int:
    """Those with another element behind them; the next member of an object would begin with its name."""
    plain = outside.translate(_DIGITS, b" \t\r\n")
    return plain.count(b"0,") - (plain.count(b"0,:") if b":" in plain else 0)


def _slice(body: bytes, start: int) -> bytes:
    """The next piece of a body: not cut between a backslash and what it escapes."""
    end = start + _SLICE
    piece = body[start:end]
    backslashes = len(piece) - len(piece.rstrip(b"\\"))
    return body[start : end + 1] if backslashes % 2 else piece


def _between_quotes(piece: bytes) -> list[bytes]:
    """What stands before, between and behind the quotes that begin or end a string: in one, and in none, in turns."""
    if b'"' not in piece:
        return [piece]
    if b"\\" in piece:
        piece = piece.replace(rb"\\", b"  ").replace(rb"\"", b"  ")
    return piece.split(b'"')
