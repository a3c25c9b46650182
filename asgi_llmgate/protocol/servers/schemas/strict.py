"""Which schemas OpenAI accepts with `strict: true`.

https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from asgi_llmgate.protocol.servers.schemas.keywords import Schema

_SUPPORTED = frozenset(
    {"type", "properties", "required", "additionalProperties", "items", "enum", "const", "anyOf", "$ref", "$defs"}
    | {"definitions", "title", "description", "pattern", "format", "multipleOf", "minimum", "maximum"}
    | {"exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems", "$schema"}
)
"""Every other keyword "is not permitted": `oneOf`, `allOf`, `not`, `default`, `minLength`, `patternProperties`."""

_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"})

_MAX_DEPTH = 10
"""Levels of objects and arrays."""
_MAX_PROPERTIES = 5_000
_MAX_ENUM_VALUES = 1_000


def allows_strict(schema: Any) -> bool:
    """Whether OpenAI accepts a schema with `strict: true`: an object, with every object in it closed, every property
    required, and no other keyword than the supported ones."""
    if not isinstance(schema, dict) or schema.get("type") != "object" or "anyOf" in schema:
        return False
    judge = _Judge()
    return judge.accepts(schema, 1) and judge.properties <= _MAX_PROPERTIES and judge.values <= _MAX_ENUM_VALUES


class _Judge:
    def __init__(self) -> None:
        self.properties = self.values = 0

    def accepts(self, schema: Any, depth: int) -> bool:
        if not isinstance(schema, dict) or not schema.keys() <= _SUPPORTED or depth > _MAX_DEPTH:
            return False
        types = _as_list(schema.get("type"))
        if ("object" in types or "properties" in schema) and not self._is_closed(schema):
            return False
        if ("array" in types and "items" not in schema) or schema.get("format", "uuid") not in _FORMATS:
            return False
        self.values += len(_as_list(schema.get("enum")))
        says_something = types or not schema.keys().isdisjoint(("anyOf", "$ref", "enum", "const"))
        return bool(says_something) and all(self.accepts(each, depth + 1) for each in _inner(schema))

    def _is_closed(self, schema: Schema) -> bool:
        properties, required = schema.get("properties"), schema.get("required")
        if schema.get("additionalProperties") is not False or not isinstance(properties, dict):
            return False
        self.properties += len(properties)
        return isinstance(required, list) and {str(name) for name in required} == properties.keys()


def _inner(schema: Schema) -> Iterable[Any]:
    for keyword in ("properties", "$defs", "definitions"):
        values = schema.get(keyword, {})
        yield from values.values() if isinstance(values, dict) else [values]
    yield from _as_list(schema.get("anyOf"))
    if "items" in schema:
        yield schema["items"]


def _as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
