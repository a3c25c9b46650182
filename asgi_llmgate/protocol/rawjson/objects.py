"""Readers of JSON objects that have been decoded one level.

A request is decoded one level at a time into names and `msgspec.Raw` values.  A `Raw` holds the bytes of a value as the
client wrote it.  Most values mean the same on both wires (an Anthropic `text` and an OpenAI `content` are the same JSON
string), so they are copied to the upstream request as those bytes and never parsed.

Three kinds of readers:

    require_*   the value must be there and of the type; raises InvalidRequest
    get_*       the value may be absent or null; of another type it is refused (get_raw takes any type)
    read_*      the value is taken if it is of the type; anything else reads as an empty value

Messages of `InvalidRequest` have Anthropic's wording and begin with the path of the value.  The path is built from the
inside out: a reader here raises `text: Field required`, and each loop around it adds its part (`content.0.`) while the
error passes (`InvalidRequest.at`).  No path is built while nothing is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, TypeAlias

import msgspec
from msgspec import Raw

from asgi_llmgate.errors import InvalidRequest
from asgi_llmgate.protocol.rawjson.structure import STRUCTURE, Structure

Fields: TypeAlias = dict[str, Raw]
"""A JSON object decoded one level: its names, decoded, and its values, as bytes."""

QUOTE, BRACE, BRACKET, NULL = b'"{[n'
"""First byte of a JSON string, object and array, and of `null`."""

_decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_objects = msgspec.json.Decoder(list[dict[str, Raw]]).decode
_decode_elements = msgspec.json.Decoder(list[Raw]).decode
_decode_str = msgspec.json.Decoder(str).decode
_decode_value = msgspec.json.Decoder().decode

to_json = msgspec.json.Encoder().encode
"""Any value as compact JSON; a `str` becomes a JSON string with its quotes."""

# Two patterns of one byte each: `re` finds a single byte ten times as fast as a set of two.
_BRACE, _BRACKET = re.compile(rb"\{"), re.compile(rb"\[")

_BLANK = re.compile(rb'"(?: |\\[nrtf]|\\u(?:00[aA]0|3000)|\xc2\xa0|\xe3\x80\x80)*+"')

_ELEMENT = re.compile(r"`\$\[(\d+)\]")
"""The index in msgspec's message about an element of a wrong type."""

_LARGEST_INTEGER = 2**53 - 1
"""RFC 8259 section 6: every reader takes integers up to here for the same number."""


def first_byte(value: bytes) -> int:
    """The first byte of a JSON value, which tells its type: QUOTE, BRACE, BRACKET or another."""
    return memoryview(value)[0]  # a Raw has no indexing of its own


def is_true(value: Raw | None) -> bool:
    """Whether a value is there and is `true`."""
    return value is not None and bytes(value) == b"true"


is_blank_str = _BLANK.fullmatch
"""A match where a JSON string, with its quotes, has nothing but white space in it."""


def is_flat(array: Raw) -> bool:
    """Whether an array has no `[` or `{` behind its first byte, not even inside a string."""
    return _BRACE.search(array) is None and _BRACKET.search(array, 1) is None


def require_raw_str(fields: Fields, name: str) -> Raw:
    """A required string as JSON, with its quotes."""
    value = fields.get(name)
    if value is None:
        raise InvalidRequest(f"{name}: Field required")
    if memoryview(value)[0] != QUOTE:
        raise InvalidRequest(f"{name}: Input should be a valid string")
    return value


def require_str(fields: Fields, name: str) -> str:
    """A required string, decoded."""
    try:
        return _decode_str(fields[name])
    except KeyError:
        raise InvalidRequest(f"{name}: Field required") from None
    except msgspec.ValidationError:
        raise InvalidRequest(f"{name}: Input should be a valid string") from None


def require_objects(value: Raw, name: str) -> list[Fields]:
    """A list of objects, each decoded one level.  `name` is what messages call the list."""
    try:
        return _decode_objects(value)
    except msgspec.ValidationError as error:
        place = _ELEMENT.search(str(error))
        if place is None:
            raise InvalidRequest(f"{name}: Input should be a valid list") from None
        raise InvalidRequest(f"{name}.{place[1]}: Input should be an object") from None


def get_raw(fields: Fields, name: str) -> Raw | None:
    """A value of any type as JSON; None where it is absent or null."""
    value = fields.get(name)
    return None if value is None or memoryview(value)[0] == NULL else value


def get_int(fields: Fields, name: str, least: int = 0) -> int | None:
    """An optional integer between `least` and 2**53 - 1; None where it is absent or null.

    Raises InvalidRequest for another type and for a number out of that range.
    """
    value = fields.get(name)
    if value is None or memoryview(value)[0] == NULL:
        return None
    found = read_value(value)
    if type(found) is not int:  # not isinstance: a bool is an int
        raise InvalidRequest(f"{name}: Input should be a valid integer")
    if not least <= found <= _LARGEST_INTEGER:
        limit = f"greater than or equal to {least}" if found < least else f"less than or equal to {_LARGEST_INTEGER}"
        raise InvalidRequest(f"{name}: Input should be {limit}")
    return found


def get_bool(fields: Fields, name: str) -> bool:
    """An optional boolean; false where it is absent or null.  Raises InvalidRequest for another type."""
    value = fields.get(name)
    if value is None or (said := bytes(value)) in (b"false", b"null"):
        return False
    if said != b"true":
        raise InvalidRequest(f"{name}: Input should be a valid boolean")
    return True


def read_raw_str(fields: Fields, name: str) -> Raw | None:
    """A string as JSON, with its quotes; None for an empty string and for anything else."""
    value = fields.get(name)
    # Two bytes are the quotes.
    return None if value is None or memoryview(value)[0] != QUOTE or len(value) == 2 else value


def read_str(value: Raw | None) -> str:
    """A string, decoded; "" for anything else."""
    return "" if value is None or memoryview(value)[0] != QUOTE else _decode_str(value)


def read_object(value: Raw | None) -> Fields | None:
    """An object decoded one level; None for anything else."""
    return None if value is None or memoryview(value)[0] != BRACE else _decode_fields(value)


def read_objects(value: Raw | None) -> list[Fields]:
    """A list that holds objects only, each decoded one level; an empty list for anything else."""
    try:
        return [] if value is None else _decode_objects(value)
    except msgspec.ValidationError:
        return []


def read_elements(value: Raw | None, structure: Structure = STRUCTURE) -> list[Raw]:
    """The elements of a list; none for anything else.  Raises StructureTooLarge."""
    if value is None or first_byte(value) != BRACKET:
        return []
    structure.check_elements(bytes(value))
    return _decode_elements(value)


def find_objects(value: Raw | None, structure: Structure = STRUCTURE) -> list[Fields]:
    """The objects in a list, each decoded one level; other elements are skipped.  Raises StructureTooLarge."""
    # A list without a brace is not opened at all: token ids are sent as lists of a million numbers.
    if value is None or first_byte(value) != BRACKET or _BRACE.search(value) is None:
        return []
    try:
        return _decode_objects(value)
    except msgspec.ValidationError:
        return [fields for each in read_elements(value, structure) if (fields := read_object(each)) is not None]


def read_value(value: Raw | None) -> Any:
    """Any value, decoded; None where it is absent, null, or a number out of the range of a 64-bit float."""
    try:
        return None if value is None else _decode_value(value)
    except msgspec.ValidationError:
        return None


def join_strs(strings: Sequence[bytes], separator: bytes) -> bytes:
    """Several JSON strings as one.  `separator` is in escaped form (`rb"\\n"`)."""
    return strings[0] if len(strings) == 1 else b'"%s"' % separator.join([bytes(string)[1:-1] for string in strings])


def compact(value: Raw) -> bytes:
    """The same JSON without white space between its tokens.  Names keep their order, numbers their spelling."""
    return msgspec.json.format(value, indent=-1)
