"""A check of the names in a body that is forwarded as the client's bytes.

The server must read what the gateway decided on, whatever JSON reader it has.  Readers agree only on bodies in which no
name can be taken for another one (RFC 8259 section 4).  Of a name that comes twice, some take the first value and some
the last; Go's encoding/json takes `Model` for `model` (https://pkg.go.dev/encoding/json#Unmarshal); readers in C may
end a name at U+0000.  So these are refused:

- in every object: a name that comes twice (after its escapes have been decoded), and a name with U+0000 in it;
- where the names are a protocol's: two names that differ only in case, and a protocol's name in another case;
- in `metadata`, whose names are labels: two names that differ only in case.

Maps whose names are the caller's own (a tool's input, a JSON schema) may hold both `Name` and `name`.

`unique_names` finds the names that come twice; the rest is here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sized
from types import MappingProxyType
from typing import Any, Literal

import msgspec
from msgspec import Raw

from asgi_llmgate.errors import InvalidRequest, StructureTooLarge
from asgi_llmgate.protocol.rawjson import objects as rawjson
from asgi_llmgate.protocol.rawjson.body import TOO_DEEP, OpenedBody, check_name_lengths
from asgi_llmgate.protocol.rawjson.member_names import CALLER_MAPS, OTHER_MODELS, PROTOCOL, PROTOCOL_AT_TOP
from asgi_llmgate.protocol.rawjson.objects import BRACE, BRACKET, Fields
from asgi_llmgate.protocol.rawjson.structure import Structure
from asgi_llmgate.protocol.rawjson.unique_names import Work, at_place, require_unique_names

Kind = Literal["protocol", "labels", "caller"]
"""Whose names an object has."""

_INNER_KIND: dict[Kind, Kind] = {"protocol": "protocol", "labels": "caller", "caller": "caller"}
"""The kind of the objects inside an object of a kind."""

_OPENING = (BRACE, BRACKET)

_TOP = 1
"""Depth of the body itself."""

_SMALL = 64 * 1024
"""Bytes.  A smaller map of the caller's is checked in one pass of the standard library's decoder, which needs several
times its size in memory."""

_FEW = 100
"""Members of one object in that pass."""

# Each level of a body is read once more than the level around it.  Long honest bodies have their length in texts and
# images four levels deep; what is read more often than this is nested to cost time.
_PASSES = 6
"""How often, on average, each byte of a body may be read."""
_SLACK = 8 * 2**20
"""Bytes that may be read beyond that."""

_COMPARED = 500_000
"""Characters of names beyond ASCII that are compared without regard to case, in one body.  That is slow."""

_STEPS = 20_000
"""Members that are walked one by one, in one body."""

_decode_objects = msgspec.json.Decoder(list[dict[str, Raw]]).decode
_decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode


def check_members(opened: OpenedBody, structure: Structure, lists: Mapping[str, str] = MappingProxyType({})) -> None:
    """Check every name in a body.  `lists` maps members of the body that are lists to the limit in `structure` for the
    number of their elements.

    Raises InvalidRequest, whose `client_message` has the place, and StructureTooLarge.
    """
    try:
        _Check(len(opened.body), structure, lists).check_body(opened.fields)
    except RecursionError:  # by a decoder: less of the stack is left here than when the body was opened
        raise InvalidRequest(TOO_DEEP) from None


def check_no_other_models(fields: Fields) -> None:
    """Raise InvalidRequest for a body that names models beside `model`, on which the gateway has decided."""
    for name in OTHER_MODELS:
        if rawjson.read_value(fields.get(name)):
            raise InvalidRequest(f"{name}: no other model than `model` can be asked for")
    # LiteLLM hands `extra_body` to OpenAI's SDK, which writes its members over the request.
    if rawjson.read_value(fields.get("extra_body")):
        raise InvalidRequest("extra_body: this is an argument of SDKs; put its members beside `model`")


def fold_case(name: str) -> str:
    """A key that is equal for names that a reader without regard to case may take for one another.

    Unicode's case folding, applied to the upper case, because some readers compare upper case.
    """
    return name.lower() if name.isascii() else name.upper().casefold()


class _Doubtful(Exception):
    """Raised inside the standard library's decoder to end its pass."""


def _check_pairs(pairs: list[tuple[str, Any]]) -> None:
    names = dict(pairs)
    if len(names) < len(pairs) or len(names) > _FEW or "\0" in "".join(names):
        raise _Doubtful


# `len` in place of `int` and `float`: the values are not needed, and converting long numbers is slow.
_check_in_one_pass = json.JSONDecoder(object_pairs_hook=_check_pairs, parse_int=len, parse_float=len).decode


class _Check:
    """One check of one body, with the work that is left for it."""

    def __init__(self, size: int, structure: Structure, lists: Mapping[str, str]) -> None:
        self._structure = structure
        self._lists = lists
        self._work = Work(bytes=_PASSES * size + _SLACK, letters=_COMPARED, members=_STEPS)

    def check_body(self, fields: Fields) -> None:
        self._check_names(fields, "protocol")
        for name, value in fields.items():
            if name == "metadata":
                kind: Kind = "labels"
            else:
                kind = "caller" if name in CALLER_MAPS and name not in PROTOCOL_AT_TOP else "protocol"
            self._check_value(name, value, kind, _TOP)

    def _check_value(self, name: str | int, value: Raw, kind: Kind, depth: int) -> None:
        """Check a member, or an element at an index, of something at a depth."""
        first = memoryview(value)[0]
        if first != BRACE and first != BRACKET:
            return
        depth += 1
        self._check_depth(depth)
        if len(value) == 2 or (first == BRACKET and rawjson.is_flat(value)):
            return  # empty, or an array without objects
        if kind == "caller" and len(value) <= _SMALL and self._is_plain(bytes(value), depth - 1):
            return
        self._work.bytes -= len(value)
        if self._work.bytes < 0:
            raise StructureTooLarge("the request body is nested too deeply for its length")
        try:
            if first == BRACE:
                [fields] = require_unique_names(value, [_decode_fields(value)], self._work, limited=kind != "caller")
                self._check_object(fields, kind, depth)
            else:
                self._check_array(name, value, kind, depth)
        except InvalidRequest as wrong:
            raise at_place(name, wrong) from None

    def _is_plain(self, value: bytes, outer_depth: int) -> bool:
        """Whether nothing is wrong with a small value of the caller's own.

        One pass of the standard library's decoder.  It does not tell the place of what is wrong, so a value that fails
        is checked again level by level.
        """
        self._structure.check_depth(value, outer_depth)
        try:
            _check_in_one_pass(value.decode())
        except _Doubtful:
            return False
        return True

    def _check_array(self, name: str | int, value: Raw, kind: Kind, depth: int) -> None:
        try:
            objects = _decode_objects(value)
        except msgspec.ValidationError:  # not all of its elements are objects
            elements = rawjson.read_elements(value, self._structure)
            self._check_list(name, elements, depth)
            for index, element in enumerate(elements):
                self._check_value(index, element, kind, depth)
            return
        self._check_list(name, objects, depth)
        objects = require_unique_names(value, objects, self._work, limited=kind != "caller")
        self._check_depth(depth + 1)
        for index, fields in enumerate(objects):
            try:
                self._check_object(fields, kind, depth + 1)
            except InvalidRequest as wrong:
                raise at_place(index, wrong) from None

    def _check_object(self, fields: Fields, kind: Kind, depth: int) -> None:
        if len(fields) > self._structure.names:
            self._structure.check_size("names", fields, "an object")
        self._check_names(fields, kind)
        inner = _INNER_KIND[kind]
        for name, value in fields.items():
            if memoryview(value)[0] in _OPENING:
                self._check_value(name, value, inner if name not in CALLER_MAPS else "caller", depth)

    def _check_names(self, fields: Fields, kind: Kind) -> None:
        if fields.keys() <= PROTOCOL:
            return
        names = "".join(fields)
        if "\0" in names:
            raise InvalidRequest("a name has U+0000 in it")
        if kind == "caller":
            return
        check_name_lengths(fields)
        if not names.isascii():
            self._work.letters -= len(names)
            if self._work.letters < 0:
                raise StructureTooLarge("the names of the request have too many letters to be compared")
        _check_cases(fields, kind)

    def _check_list(self, name: str | int, elements: Sized, depth: int) -> None:
        if depth == _TOP + 1 and isinstance(name, str) and name in self._lists:
            self._structure.check_size(self._lists[name], elements, name)

    def _check_depth(self, depth: int) -> None:
        if depth > self._structure.depth:
            raise StructureTooLarge(f"the request body is nested more than {self._structure.depth} levels deep")


def _check_cases(fields: Fields, kind: Kind) -> None:
    seen: set[str] = set()
    for name in fields:
        if kind == "protocol" and name in PROTOCOL:
            continue
        key = fold_case(name)
        if kind == "protocol" and key in PROTOCOL:
            raise InvalidRequest(
                "a name in another case", client_message=f"{name[:64]}: names are in lower case: {key}"
            )
        if key in seen:
            message = "given more than once, in different cases"
            raise InvalidRequest(f"a name is {message}", client_message=f"{name[:64]}: {message}")
        seen.add(key)
