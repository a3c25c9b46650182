"""All keys that settings can have, from the structs that describe them."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from asgi_llmgate.config.schema import Settings


class Key(NamedTuple):
    """One key: its path (`auth.providers[].issuer`), the struct that it is in, its name there, and its type.

    `[]` stands for any element of a list, `*` for any key of a mapping.
    """

    path: str
    struct: type[msgspec.Struct]
    name: str
    kind: Any


def keys_of(kind: Any = Settings, place: str = "") -> Iterator[Key]:
    """The keys, the outer ones first; one that may stand at several places of a type comes several times."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        hints = typing.get_type_hints(kind)
        for field in msgspec.structs.fields(kind):
            name = field.encode_name
            path = f"{place}.{name}" if place else name
            yield Key(path, kind, name, hints[field.name])
            yield from keys_of(hints[field.name], path)
    elif typing.get_origin(kind) is tuple:
        yield from keys_of(typing.get_args(kind)[0], f"{place}[]")
    elif typing.get_origin(kind) is dict:
        yield from keys_of(typing.get_args(kind)[1], f"{place}.*")
    else:
        for part in typing.get_args(kind):
            yield from keys_of(part, place)
