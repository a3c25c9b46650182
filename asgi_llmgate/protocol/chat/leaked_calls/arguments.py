"""The arguments of a call in a text: reading them as models write them, and checking them against the tool's schema.

Arguments are accepted if the required ones are there, none is unknown where the schema is closed, and each has the
type, and one of the values, that the schema states for it.  What is nested deeper is not checked: the client does that
for every call.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw

from asgi_llmgate.protocol.rawjson.objects import to_json
from asgi_llmgate.protocol.rawjson.strings import DECODE_ERRORS

_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}
_WORDS = {"true": True, "false": False, "none": None, "null": None}
"""As Python writes them as well, which models confuse."""


def read_fields(text: str) -> dict[str, Raw]:
    """The members of an object, each as JSON; none for what is not an object."""
    try:
        return msgspec.json.decode(text, type=dict[str, Raw])
    except msgspec.DecodeError:
        decoded, _ = decode_leniently(text.encode())
        return {key: Raw(to_json(value)) for key, value in as_dict(decoded).items()}


def decode(text: bytes) -> Any:
    """The value of a JSON text."""
    return msgspec.json.decode(text)


def decode_leniently(text: bytes) -> tuple[Any, bool]:
    """JSON, and whether it is exactly that: small models write line breaks into strings as they are."""
    try:
        return decode(text), True
    except msgspec.DecodeError:
        return json.loads(text, strict=False, parse_constant=_refuse), False


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def convert(text: str, schema: Mapping[str, Any], *, is_string: bool | None) -> Any:
    """The value of a text, by the schema's types: a string stays as it is, where the schema allows one."""
    types = _types(schema)
    if "null" in types and text.strip().lower() in ("null", "none"):
        return None
    if is_string is None and ("string" in types or ("enum" in schema and not types)):
        return text
    try:
        return decode(text.strip().encode())
    except DECODE_ERRORS:
        word = text.strip().lower()
        if word in _WORDS:
            return _WORDS[word]
        if types or is_string is False:
            raise
        return text


def check(schema: Mapping[str, Any], arguments: Any) -> None:
    """Raises ValueError for arguments that the schema does not accept."""
    if not isinstance(arguments, dict):
        raise ValueError("arguments that are not an object")
    properties = as_dict(schema.get("properties"))
    required = schema.get("required")
    if isinstance(required, list) and any(isinstance(name, str) and name not in arguments for name in required):
        raise ValueError("a required argument is missing")
    if schema.get("additionalProperties") is False and not arguments.keys() <= properties.keys():
        raise ValueError("an unknown argument")
    for name, value in arguments.items():
        if not _fits(as_dict(properties.get(name)), value):
            raise ValueError("an argument of another type")


def _fits(schema: Mapping[str, Any], value: Any) -> bool:
    types = _types(schema)
    if types and not any(_is_a(value, kind) for kind in types):
        return False
    allowed = schema.get("enum")
    return not isinstance(allowed, list) or value in allowed


def _is_a(value: Any, kind: str) -> bool:
    if kind not in _TYPES:
        return True
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, _TYPES[kind]) or (kind == "integer" and isinstance(value, float) and value.is_integer())


def _types(schema: Mapping[str, Any]) -> set[str]:
    """The types that a schema allows, also in its alternatives; none where it allows any."""
    stated = schema.get("type")
    if isinstance(stated, str):
        return {stated}
    if isinstance(stated, list):
        return {kind for kind in stated if isinstance(kind, str)}
    types: set[str] = set()
    alternatives = schema.get("anyOf") or schema.get("oneOf")
    for alternative in alternatives if isinstance(alternatives, list) else ():
        kinds = _types(as_dict(alternative))
        if not kinds:
            return set()
        types |= kinds
    return types


def as_dict(value: Any) -> dict[str, Any]:
    """A value that should be an object; an empty one in place of any other."""
    return value if isinstance(value, dict) else {}
