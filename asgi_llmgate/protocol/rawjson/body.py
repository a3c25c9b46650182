"""A request body, decoded one level and kept as the client's bytes.

`open_body` checks what msgspec does not: UTF-8, repeated names, and, before anything is opened, how much there is to
open (`structure`).  msgspec itself checks the grammar of the values that it skips (numbers, escapes, control
characters).  An `OpenedBody` knows where each value starts, so a body can be forwarded with some values replaced and
every other byte unchanged.

msgspec keeps the last of several values of one name and says nothing.  So lengths are compared: in JSON without white
space, an object whose names all come once and have no escapes is exactly as long as its names, values and punctuation
together.  Only where the lengths differ are the names walked one by one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property

import msgspec

from asgi_llmgate.errors import InvalidRequest, StructureTooLarge
from asgi_llmgate.protocol.rawjson.objects import Fields, to_json
from asgi_llmgate.protocol.rawjson.strings import is_utf8, repair
from asgi_llmgate.protocol.rawjson.structure import STRUCTURE, Structure

_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_str = msgspec.json.Decoder(str).decode

_OPEN = re.compile(rb"[ \t\r\n]*\{[ \t\r\n]*")
_NAME = re.compile(rb'("[^"\\]*+(?:\\.[^"\\]*+)*+")[ \t\r\n]*:[ \t\r\n]*', re.DOTALL)
_COMMA = re.compile(rb"[ \t\r\n]*,[ \t\r\n]*")

_LONGEST_NAME = 256
"""Characters."""

TOO_DEEP = "the request body is nested too deeply"


class OpenedBody:
    """`fields` are views of `body`."""

    def __init__(self, body: bytes, fields: Fields) -> None:
        self.body = body
        self.fields = fields

    @cached_property
    def starts(self) -> dict[str, int]:
        """The offset of each value in `body`, by name.  Raises InvalidRequest for a name that comes twice."""
        starts: dict[str, int] = {}
        locate_values(self.body, 0, self.fields, starts)
        return starts

    def replace_values(self, changes: Mapping[str, bytes]) -> bytes:
        """The body with some values (as JSON) replaced where they stand.  Names that the body does not have are added
        at its end; every other byte is the client's own."""
        pieces: list[bytes] = []
        end = 0
        for name in sorted(changes.keys() & self.starts.keys(), key=self.starts.__getitem__):
            start = self.starts[name]
            pieces += (self.body[end:start], changes[name])
            end = start + len(self.fields[name])
        last = self.body.rindex(b"}")
        pieces.append(self.body[end:last])
        added = [b"%s:%s" % (to_json(name), value) for name, value in changes.items() if name not in self.starts]
        if added:
            pieces += (b"," if self.starts else b"", b",".join(added))
        return b"".join((*pieces, self.body[last:]))

    def __repr__(self) -> str:
        return f"OpenedBody({len(self.body)} bytes)"  # the bytes are a prompt, and a repr may reach a log


def open_body(body: bytes, structure: Structure = STRUCTURE, *, numbers: bool = True) -> OpenedBody:
    """Decode a request body one level.  `numbers` as in `Structure.check`.

    The body in the result differs from `body` only where that held half a surrogate pair, as clients send that cut a
    text in the middle of an emoji: U+FFFD takes its place, because no server accepts the half.

    Raises InvalidRequest, and StructureTooLarge before more is opened than `structure` allows.
    """
    if not is_utf8(body):
        raise InvalidRequest("the request body is not valid UTF-8")
    structure.check(body, numbers=numbers)
    try:
        try:
            fields = _decode_fields(body)
        except msgspec.DecodeError:
            # Repaired only now: looking for halves costs a pass over the body, and almost none has one.
            body = repair(body)
            fields = _decode_fields(body)
    except msgspec.ValidationError:
        raise InvalidRequest("the request body is not a JSON object") from None
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"the request body is not valid JSON: {error}") from None
    except RecursionError:
        raise InvalidRequest(TOO_DEEP) from None
    if len(fields) > structure.names:
        structure.check_size("names", fields, "the request body")
    check_name_lengths(fields)
    opened = OpenedBody(body, fields)
    if compact_length(fields) != len(body):
        _ = opened.starts  # there is white space, or an escape in a name, or a name that comes twice
    return opened


def compact_length(fields: Fields) -> int:
    """Bytes of an object that has no white space, no escapes in its names and no name twice; any other is longer."""
    if not fields:
        return 2
    joined = "".join(fields)
    names = len(joined) if joined.isascii() else len(joined.encode())
    # Per member two quotes, a colon and a comma; two braces, and one comma less.
    return names + sum(map(len, fields.values())) + 4 * len(fields) + 1


def locate_values(text: bytes, at: int, fields: Fields, starts: dict[str, int]) -> int:
    """Write the offset of each value of an object into `starts`; return the offset of the object's end.

    `text` holds the object at offset `at`, `fields` is the object opened.  Raises InvalidRequest for a name that comes
    twice: msgspec keeps the last value and other readers the first one, and the upstream must read what the gateway
    decided on.
    """
    separator = _OPEN.match(text, at)
    while separator is not None:
        at = separator.end()
        if (name := _NAME.match(text, at)) is None:
            break
        key, start = _decode_str(name[1]), name.end()
        value = fields[key]
        # The values are known, so each is skipped by its length.  Other bytes here are an earlier value of the name.
        if key in starts or not text.startswith(value, start):
            raise InvalidRequest("a name is given more than once", client_message=f"{key[:64]}: given more than once")
        starts[key] = start
        at = start + len(value)
        separator = _COMMA.match(text, at)
    return text.index(b"}", at) + 1


def check_name_lengths(fields: Fields) -> None:
    """Raise StructureTooLarge for a name that is longer than any name of a protocol.

    Later checks look at each character of a name several times: they decode escapes and compare in another case.
    """
    if len("".join(fields)) > _LONGEST_NAME and max(map(len, fields)) > _LONGEST_NAME:
        raise StructureTooLarge(f"a name has more than {_LONGEST_NAME} characters")
