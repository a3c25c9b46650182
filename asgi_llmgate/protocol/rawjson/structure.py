"""Limits on the structure of a request body, checked before it is opened.

The cost of opening JSON depends on the number of its values, not on its length: a body of one-letter messages is small
and expensive.  So the values are counted first, a slice of the body at a time, until there are too many.  What is
opened afterwards, level by level, is bounded by that count, and each level has limits of its own that are checked
before the next level is opened.

A value takes at least two bytes, so a short body cannot have too many values and is not counted.  Nor is one with fewer
commas and opening brackets, wherever they stand, than it may have values.

The depth is checked where a value is not opened level by level: it is forwarded, or decoded as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Sized
from itertools import accumulate
from typing import Annotated

import msgspec

from asgi_llmgate.errors import InvalidRequest, StructureTooLarge

_SLICE = 256 * 1024
"""Bytes that are counted at a time; counting needs several copies of a slice."""

_NUMBERS = 20
"""How many numbers in arrays count as one value, where `numbers` is false."""

# Bytes to delete with `bytes.translate`, so that only some marks remain.
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"{}[]")
_NO_BEGINNINGS = bytes(byte for byte in range(256) if byte not in b"{[,")
_NO_MARKS = bytes(byte for byte in range(256) if byte not in b"{}[],")
_DIGITS = bytes.maketrans(b"123456789", b"0" * 9)
_STEPS = {ord("{"): 1, ord("["): 1, ord("}"): -1, ord("]"): -1}
_FLAT = re.compile(rb"\[[^\[\]{}]*+\]")


_Limit = Annotated[int, msgspec.Meta(ge=1)]


class Structure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits for one request body.

    `depth`: levels of arrays and objects inside one another.  `values`: elements and members of all arrays and objects
    together.  `names`: members of one object.  `messages`, `tools`: elements of these lists.  `blocks`: content blocks
    of all messages together.  `model`: characters of the model's name.
    """

    depth: _Limit = 64
    values: _Limit = 100_000
    names: _Limit = 5_000
    messages: _Limit = 20_000
    blocks: _Limit = 10_000
    tools: _Limit = 3_000
    model: _Limit = 256

    def check(self, body: bytes, *, numbers: bool = True) -> None:
        """Check the number of values in a body, which need not be valid JSON.

        With `numbers=False` a number in an array counts a twentieth: texts are embedded as lists of token ids.
        Raises StructureTooLarge, and InvalidRequest for a body that closes more brackets than it opens.
        """
        if len(body) > 2 * self.values and _count_beginnings(body) > self.values:
            self._count(body, numbers=numbers)

    def check_depth(self, value: bytes, outer_depth: int = 0) -> None:
        """Check the depth of a value that is forwarded or decoded without being opened level by level.

        `outer_depth` is the number of levels around it.  Raises StructureTooLarge.
        """
        most = self.depth - outer_depth
        if len(value) > 2 * most:
            value = bytes(value)  # a Raw cannot count
            if value.count(b"{") + value.count(b"[") > most:
                self._count(value, outer_depth=outer_depth)

    def check_elements(self, value: bytes) -> None:
        """Check the number of elements of an array in a body that was checked with `numbers=False`.

        The numbers in inner arrays of numbers do not count.  Raises StructureTooLarge.
        """
        if len(value) > 2 * self.values and value.count(b",") >= self.values:
            outside = b"".join(_between_quotes(value)[::2]).translate(None, _NO_MARKS)
            if _FLAT.sub(b"", outside[1:]).count(b",") >= self.values:
                raise StructureTooLarge(f"the request body has more than {self.values} values")

    def check_size(self, limit: str, counted: Sized, place: str = "") -> None:
        """Raise StructureTooLarge for more than the limit of a name (`messages`, `names`, ...) allows."""
        most: int = getattr(self, limit)
        if len(counted) > most:
            raise StructureTooLarge(f"{place or limit}: {len(counted)} {limit}; at most {most} are allowed")

    def check_model(self, name: str) -> None:
        """Raise StructureTooLarge for a model's name that is too long."""
        if len(name) > self.model:
            raise StructureTooLarge(f"model: {len(name)} characters; at most {self.model} are allowed")

    def _count(self, body: bytes, *, numbers: bool = True, outer_depth: int = 0) -> None:
        values = quotes = uncounted = start = 0
        depth = outer_depth
        inside = False  # whether the slice begins inside a string
        while start < len(body):
            piece = _slice(body, start)
            parts = _between_quotes(piece)
            between = b"".join(parts[inside::2])
            start, inside = start + len(piece), inside != (len(parts) % 2 == 0)
            # Each value follows a comma or an opening bracket; so an empty array or object counts as one value more.
            values += between.count(b",") + between.count(b"{") + between.count(b"[")
            found = 0 if numbers else _numbers_in_arrays(between)
            values, uncounted = values - found, uncounted + found
            quotes += len(parts) - 1  # a text of quotes only has no commas, but is expensive to split
            if values > self.values or quotes > 4 * self.values or uncounted > _NUMBERS * self.values:
                raise StructureTooLarge(f"the request body has more than {self.values} values")
            if not (brackets := between.translate(None, _NO_BRACKETS)):
                continue
            depths = list(accumulate(map(_STEPS.__getitem__, brackets), initial=depth))
            depth = depths[-1]
            if min(depths) < 0:  # closing brackets are not values, so nothing else would end the count
                raise InvalidRequest("the request body is not valid JSON: it closes more brackets than it opens")
            if max(depths) > self.depth:
                raise StructureTooLarge(f"the request body is nested more than {self.depth} levels deep")


STRUCTURE = Structure()
"""The default limits.  A request of Claude Code (November 2026) has about 820 values, 12 names in an object, 8
messages, 22 tools and 13 blocks, and is 11 levels deep.  A conversation that fills a window of a million tokens has
about 20,000 values."""


def _count_beginnings(body: bytes) -> int:
    """Commas and opening brackets, one of which stands before each value; also those in strings."""
    count = 0
    for start in range(0, len(body), _SLICE):
        piece = body[start : start + _SLICE]
        # Quicker than `translate`, which an image need not go through.
        if b"," in piece or b"{" in piece or b"[" in piece:
            count += len(piece.translate(None, _NO_BEGINNINGS))
    return count


def _numbers_in_arrays(outside: bytes) -> int:
    """Numbers in arrays that are followed by another element.  `outside` is JSON without its strings."""
    plain = outside.translate(_DIGITS, b" \t\r\n")
    # In an object a number is followed by the next name, of which only the colon is left.
    return plain.count(b"0,") - (plain.count(b"0,:") if b":" in plain else 0)


def _slice(body: bytes, start: int) -> bytes:
    """The next slice of a body, not cut between a backslash and the character that it escapes."""
    end = start + _SLICE
    piece = body[start:end]
    backslashes = len(piece) - len(piece.rstrip(b"\\"))
    return body[start : end + 1] if backslashes % 2 else piece


def _between_quotes(piece: bytes) -> list[bytes]:
    """The parts of a slice before, between and behind the quotes of its strings: outside and inside in turns."""
    if b'"' not in piece:
        return [piece]
    if b"\\" in piece:
        piece = piece.replace(rb"\\", b"  ").replace(rb"\"", b"  ")
    return piece.split(b'"')
