"""Whether every name in an object comes once.

msgspec is fast but does not report repeated names.  So lengths are compared first (`body.compact_length`).  Only where
they differ is the JSON written anew without white space, or its members are walked one by one.  Both cost time, so the
work for one body is bounded (`Work`).
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from msgspec import Raw

from asgi_llmgate.errors import InvalidRequest, StructureTooLarge
from asgi_llmgate.protocol.rawjson.body import check_name_lengths, compact_length, locate_values
from asgi_llmgate.protocol.rawjson.objects import BRACKET, Fields, compact, first_byte

_LONG = 1000
"""Average bytes of a member from which on a walk is faster than writing the JSON anew."""

_decode_objects = msgspec.json.Decoder(list[dict[str, Raw]]).decode
_decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode


@dataclass(slots=True)
class Work:
    """What is left for the check of one body: bytes to read, letters of names to compare, members to walk."""

    bytes: int
    letters: int
    members: int


def require_unique_names(value: Raw, objects: list[Fields], work: Work, *, limited: bool) -> list[Fields]:
    """The objects that `value` is, or is a list of, opened.

    `objects` are these objects as msgspec opens them.  `limited`: their names are as short as a protocol's, or refused.
    Raises InvalidRequest where a name comes twice in one object, and StructureTooLarge where that takes too much work.
    """
    if _length_of_all(value, objects) == len(value):
        return objects
    if limited:
        for fields in objects:
            check_name_lengths(fields)
    members = sum(map(len, objects))
    if members > work.members or members * _LONG > len(value):
        # Without white space the lengths decide; a walk would look at each member.
        work.bytes -= len(value)
        value = Raw(compact(value))
        objects = _decode_objects(value) if first_byte(value) == BRACKET else [_decode_fields(value)]
        if _length_of_all(value, objects) == len(value):
            return objects
    work.members -= members
    if work.members < 0:
        raise StructureTooLarge("the request body has too many names that are escaped or come twice")
    _walk_members(bytes(value), objects)
    return objects


def at_place(place: str | int, wrong: InvalidRequest) -> InvalidRequest:
    """The error with a place in front of its `client_message`; `message` may not hold names from the request."""
    return InvalidRequest(wrong.message, client_message=f"{str(place)[:64]}.{wrong.client_message}")


def _length_of_all(value: Raw, objects: list[Fields]) -> int:
    """`compact_length` of the object that `value` is, or of the whole list."""
    around = len(objects) + 1 if first_byte(value) == BRACKET else 0
    return sum(map(compact_length, objects)) + around


def _walk_members(text: bytes, objects: list[Fields]) -> None:
    is_list = text.startswith(b"[")
    at = 0
    for index, fields in enumerate(objects):
        try:
            at = locate_values(text, text.index(b"{", at), fields, {})
        except InvalidRequest as wrong:
            raise (at_place(index, wrong) if is_list else wrong) from None
