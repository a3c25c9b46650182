"""Lists in an answer, measured before anything is made of their elements.

`[{},{},{}]` is three bytes an element on the wire and eighty in memory, so a list of a large document is measured
first.  The measure is a struct that is written as a list: the decoder reads over what it has no field for.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache

import msgspec
from msgspec import Raw

from asgi_llmgate.errors import Broken

MOST = 1024
"""Elements that a list of an answer may have: choices, calls, parts."""

LARGE = 64 * 1024
"""Bytes up to which a list cannot be long enough to matter."""


def elements(array: bytes) -> list[Raw]:
    """The elements of a JSON array.  Raises errors.Broken where there are more than MOST, msgspec.DecodeError for what
    is no array."""
    measured = _measure().decode(array)
    found = [element for name in measured.__struct_fields__ if (element := getattr(measured, name))]
    if len(found) > MOST:
        raise Broken(f"the model server's answer has a list of more than {MOST} elements")
    return found


def check(array: bytes) -> None:
    """The same of a list that is decoded in another way afterwards, and only where it is large.  What is no array
    passes."""
    if len(array) > LARGE:
        with suppress(msgspec.DecodeError):
            elements(array)


@cache
def _measure() -> msgspec.json.Decoder[msgspec.Struct]:
    fields = [(f"at_{number}", Raw, Raw(b"")) for number in range(MOST + 1)]
    return msgspec.json.Decoder(msgspec.defstruct("Measure", fields, array_like=True, gc=False))
