"""JSON that is copied rather than understood.

Most of a request is text, tool schemas and tool inputs that mean the same on both wires: an Anthropic text and an
OpenAI content string are the same JSON string.  So a body is opened one level at a time into names and `msgspec.Raw`
values, and what needs no change goes out as the bytes that it came as.  msgspec checks the grammar of what it skips
(numbers, escapes, control characters) but neither UTF-8 nor repeated names; `open_body` does both, and before that it
looks how much there is to open (`structure`).

Every reader here raises `InvalidRequest` whose message starts with the place.  A place is put together only on the way
out of an error: the innermost reader says `text: Field required`, the loop around it adds `content.0.`, and so on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import msgspec
from msgspec import Raw

from asgi_llmgate.errors import InvalidRequest, StructureTooLarge
from asgi_llmgate.protocol.rawjson.strings import is_utf8, repaired
from asgi_llmgate.protocol.rawjson.structure import STRUCTURE, Structure

Fields: TypeAlias = dict[str, Raw]
"""A JSON object, opened one level."""

QUOTE, BRACE, BRACKET = b'"{['
"""How a JSON string, object and array begin."""

_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_objects = msgspec.json.Decoder(list[dict[str, Raw]]).decode
_elements = msgspec.json.Decoder(list[Raw]).decode
_string = msgspec.json.Decoder(str).decode
_value = msgspec.json.Decoder().decode

quote = msgspec.json.Encoder().encode
"""Any value as compact JSON; a `str` as a JSON string."""

_OPEN = re.compile(rb"[ \t\r\n]*\{[ \t\r\n]*")
_NAME = re.compile(rb'("[^"\\]*+(?:\\.[^"\\]*+)*+")[ \t\r\n]*:[ \t\r\n]*', re.DOTALL)
_BRACE, _BRACKET = re.compile(rb"\{"), re.compile(rb"\[")
"""Apart: the place of one byte is found ten times as fast as that of one of two."""
_COMMA = re.compile(rb"[ \t\r\n]*,[ \t\r\n]*")
_ELEMENT = re.compile(r"`\$\[(\d+)\]")

_LARGEST = 2**53 - 1
_LONGEST_NAME = 256

TOO_DEEP = "the request body is nested too deeply"


class Opened(NamedTuple):
    """A request body, opened: the bytes that `fields` are views of, and where in them each value starts."""

    body: bytes
    fields: Fields
    starts: dict[str, int]

    def rewritten(self, changes: Mapping[str, bytes]) -> bytes:
        """The body with some values replaced, each where it stands; names that it has not come last.  Every other byte
        is the client's own."""
        pieces: list[bytes] = []
        end = 0
        for name in sorted(changes.keys() & self.starts.keys(), key=self.starts.__getitem__):
            start = self.starts[name]
            pieces += (self.body[end:start], changes[name])
            end = start + len(self.fields[name])
        last = self.body.rindex(b"}")
        pieces.append(self.body[end:last])
        added = [b"%s:%s" % (quote(name), value) for name, value in changes.items() if name not in self.starts]
        if added:
            pieces += (b"," if self.starts else b"", b",".join(added))
        return b"".join((*pieces, self.body[last:]))

    def __repr__(self) -> str:
        return f"Opened({len(self.body)} bytes)"  # they are somebody's prompt


def open_body(body: bytes, structure: Structure = STRUCTURE, *, numbers: bool = True) -> Opened:
    """Open a request body.  Raises `StructureTooLarge` before more is opened than `structure` allows; `numbers` as in
    its `check`.

    The bytes in the result differ from `body` only where it held half a surrogate pair, which a client that cuts a text
    in the middle of an emoji sends and no server takes: U+FFFD stands there then.
    """
    if not is_utf8(body):
        raise InvalidRequest("the request body is not valid UTF-8")
    structure.check(body, numbers=numbers)
    try:
        try:
            fields = _fields(body)
        except msgspec.DecodeError:
            body = repaired(body)
            fields = _fields(body)
    except msgspec.ValidationError:
        raise InvalidRequest("the request body is not a JSON object") from None
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"the request body is not valid JSON: {error}") from None
    except RecursionError:
        raise InvalidRequest(TOO_DEEP) from None
    structure.check_size("names", fields, "the request body")
    check_names(fields)
    starts: dict[str, int] = {}
    step_over(body, 0, fields, starts)
    return Opened(body, fields, starts)


def step_over(text: bytes, at: int, fields: Fields, starts: dict[str, int]) -> int:
    """Find where the value of each name of an object starts, and where the object ends.  Raises `InvalidRequest` for a
    name that comes twice: msgspec keeps the last value, other readers the first, and what was decided on must be what
    the server reads.

    The values are known, so the walk steps over each by its length; where other bytes stand, the name comes again.
    """
    separator = _OPEN.match(text, at)
    while separator is not None:
        at = separator.end()
        if (name := _NAME.match(text, at)) is None:
            break
        key, start = _string(name[1]), name.end()
        value = fields[key]
        if key in starts or not text.startswith(value, start):
            raise InvalidRequest("a name is given more than once", told=f"{key[:64]}: given more than once")
        starts[key] = start
        at = start + len(value)
        separator = _COMMA.match(text, at)
    return text.index(b"}", at) + 1


def check_names(fields: Fields) -> None:
    """Whether the names are short enough to be a protocol's.  Raises `StructureTooLarge`.

    Of a long one each letter would be looked at several times: escapes undone, and compared in another case.
    """
    if fields and max(map(len, fields)) > _LONGEST_NAME:
        raise StructureTooLarge(f"a name has more than {_LONGEST_NAME} characters")


def is_flat(array: Raw) -> bool:
    """Whether there is no bracket in an array behind its own, not even in a string."""
    return _BRACE.search(array) is None and _BRACKET.search(array, 1) is None


def opens_with(value: bytes) -> int:
    """The first byte, which tells the JSON type."""
    return memoryview(value)[0]


def given(fields: Fields, name: str) -> Raw | None:
    """A value, or None when it is absent or null."""
    value = fields.get(name)
    return None if value is None or (len(value) == 4 and bytes(value) == b"null") else value


def text(fields: Fields, name: str) -> Raw:
    """A required string, with its quotes, as it came."""
    value = fields.get(name)
    if value is None:
        raise InvalidRequest(f"{name}: Field required")
    if opens_with(value) != QUOTE:
        raise InvalidRequest(f"{name}: Input should be a valid string")
    return value


def filled(fields: Fields, name: str) -> Raw | None:
    """An optional string, as it came; None for an empty one and for anything that is no string."""
    value = fields.get(name)
    return None if value is None or opens_with(value) != QUOTE or is_blank(value) else value


def string(fields: Fields, name: str) -> str:
    """A required string, read."""
    try:
        return _string(fields[name])
    except KeyError:
        raise InvalidRequest(f"{name}: Field required") from None
    except msgspec.ValidationError:
        raise InvalidRequest(f"{name}: Input should be a valid string") from None


def integer(fields: Fields, name: str, least: int = 0) -> int | None:
    """An optional integer, small enough for every reader to take it for the same (RFC 8259 section 6); None where it
    is absent or null."""
    value = given(fields, name)
    if value is None:
        return None
    found = read(value)
    if type(found) is not int:
        raise InvalidRequest(f"{name}: Input should be a valid integer")
    if not least <= found <= _LARGEST:
        limit = f"greater than or equal to {least}" if found < least else f"less than or equal to {_LARGEST}"
        raise InvalidRequest(f"{name}: Input should be {limit}")
    return found


def boolean(fields: Fields, name: str) -> bool:
    """An optional boolean, false where it is absent or null."""
    value = given(fields, name)
    if value is not None and bytes(value) not in (b"true", b"false"):
        raise InvalidRequest(f"{name}: Input should be a valid boolean")
    return is_true(value)


def objects(value: Raw, name: str) -> list[Fields]:
    """A list of objects, each opened one level."""
    try:
        return _objects(value)
    except msgspec.ValidationError as error:
        place = _ELEMENT.search(str(error))
        if place is None:
            raise InvalidRequest(f"{name}: Input should be a valid list") from None
        raise InvalidRequest(f"{name}.{place[1]}: Input should be an object") from None


def opened(value: Raw | None) -> Fields | None:
    """An object opened one level, or None for anything else."""
    return None if value is None or opens_with(value) != BRACE else _fields(value)


def read_string(value: Raw | None) -> str:
    """A string, or "" for anything else."""
    return "" if value is None or opens_with(value) != QUOTE else _string(value)


def read_objects(value: Raw | None) -> list[Fields]:
    """A list of objects, or an empty one for anything else."""
    try:
        return [] if value is None else _objects(value)
    except msgspec.ValidationError:
        return []


def elements(value: Raw | None, structure: Structure = STRUCTURE) -> list[Raw]:
    """The elements of a list, or none of anything else.  Raises `StructureTooLarge`."""
    if value is None or opens_with(value) != BRACKET:
        return []
    structure.check_elements(bytes(value))
    return _elements(value)


def objects_in(value: Raw | None, structure: Structure = STRUCTURE) -> list[Fields]:
    """The objects in a list, whatever else is in it.  Raises `StructureTooLarge`."""
    if value is None or opens_with(value) != BRACKET or _BRACE.search(value) is None:
        return []
    try:
        return _objects(value)
    except msgspec.ValidationError:
        return [fields for each in elements(value, structure) if (fields := opened(each)) is not None]


def is_true(value: Raw | None) -> bool:
    return value is not None and bytes(value) == b"true"


def read(value: Raw | None) -> Any:
    """The value itself; None when there is none, or it is a number that no machine holds."""
    try:
        return None if value is None else _value(value)
    except msgspec.ValidationError:
        return None


def is_blank(string: bytes) -> bool:
    """Whether a JSON string is empty."""
    return len(string) == 2


def joined(strings: Sequence[bytes], separator: bytes) -> bytes:
    """Several JSON strings as one; `separator` is escaped already."""
    return strings[0] if len(strings) == 1 else b'"%s"' % separator.join([bytes(string)[1:-1] for string in strings])


def compact(value: Raw) -> bytes:
    """The same JSON without white space between its tokens; names keep their order, numbers their spelling."""
    return msgspec.json.format(bytes(value), indent=-1)
