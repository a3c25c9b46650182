"""Lists in a response, measured before their elements are decoded.

`[{},{},{}]` takes three bytes per element on the wire and about eighty in memory, so a long list in a large document
would cost much more than its bytes.  A list is therefore first decoded into a struct that is written as an array
(`array_like`): msgspec keeps one view per field and skips every element after the last field.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache

import msgspec
from msgspec import Raw

from asgi_llmgate.errors import Broken

MAX_ELEMENTS = 1024
"""Elements of one list in a response: choices, tool calls, content parts."""

UNCHECKED_SIZE = 64 * 1024
"""Bytes.  A shorter list cannot have enough elements to matter."""


def decode_array(array: bytes) -> list[Raw]:
    """The elements of a JSON array.

    Raises errors.Broken for more than MAX_ELEMENTS, and msgspec.DecodeError for what is not an array.
    """
    measured = _bounded_list().decode(array)
    # A field that the array does not reach keeps its default, an empty Raw.
    found = [element for name in measured.__struct_fields__ if (element := getattr(measured, name))]
    if len(found) > MAX_ELEMENTS:
        raise Broken(f"the model server's response has a list of more than {MAX_ELEMENTS} elements")
    return found


def check_length(array: bytes) -> None:
    """Raise errors.Broken for a list of more than MAX_ELEMENTS that is about to be decoded in another way.

    A short list, and what is not a list, passes.
    """
    if len(array) > UNCHECKED_SIZE:
        with suppress(msgspec.DecodeError):
            decode_array(array)


@cache
def _bounded_list() -> msgspec.json.Decoder[msgspec.Struct]:
    # One field more than allowed: when it is filled, the list is too long.  Made on first use: it takes milliseconds.
    fields = [(f"at_{number}", Raw, Raw(b"")) for number in range(MAX_ELEMENTS + 1)]
    return msgspec.json.Decoder(msgspec.defstruct("BoundedList", fields, array_like=True, gc=False))
