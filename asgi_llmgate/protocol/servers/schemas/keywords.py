"""The keywords of JSON Schema: where schemas stand inside a schema, and which keywords belong to which type.

https://json-schema.org/draft/2020-12, with the older keywords that MCP servers still send.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from asgi_llmgate.protocol.rawjson.objects import to_json

Schema = dict[str, Any]
"""A schema that is an object; `true` and `false` are schemas, too."""

SCHEMA_MAPS = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
"""Keywords whose value maps names to schemas."""

SCHEMA_LISTS = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
"""Keywords whose value is a list of schemas."""

SCHEMAS = frozenset(
    {"items", "additionalItems", "unevaluatedItems", "contains", "additionalProperties", "unevaluatedProperties"}
    | {"propertyNames", "not", "if", "then", "else"}
)
"""Keywords whose value is a schema; `items` is a list of schemas before draft 2020-12."""

TYPES = ("string", "number", "integer", "boolean", "object", "array", "null")

TYPE_OF_KEYWORD: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("minLength", "maxLength", "pattern", "format"), "string"),
        **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"), "number"),
        **dict.fromkeys(("items", "prefixItems", "additionalItems", "unevaluatedItems", "contains"), "array"),
        **dict.fromkeys(("minItems", "maxItems", "uniqueItems", "minContains", "maxContains"), "array"),
        **dict.fromkeys(("properties", "required", "additionalProperties", "patternProperties"), "object"),
        **dict.fromkeys(("propertyNames", "minProperties", "maxProperties", "unevaluatedProperties"), "object"),
        **dict.fromkeys(("dependentRequired", "dependentSchemas", "propertyOrdering"), "object"),
    }
)
"""The type of value that a keyword says something about."""

ANNOTATIONS = frozenset({"title", "description", "default", "examples", "example", "$comment", "deprecated"})
"""Keywords that describe and do not restrict."""

_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "pattern": "matches the regular expression {}",
        "format": "format: {}",
        "minLength": "at least {} characters",
        "maxLength": "at most {} characters",
        "minimum": "at least {}",
        "maximum": "at most {}",
        "exclusiveMinimum": "more than {}",
        "exclusiveMaximum": "less than {}",
        "multipleOf": "a multiple of {}",
        "minItems": "at least {} elements",
        "maxItems": "at most {} elements",
        "uniqueItems": "no element twice: {}",
        "minProperties": "at least {} properties",
        "maxProperties": "at most {} properties",
        "enum": "one of {}",
        "const": "always {}",
        "default": "by default {}",
        "anyOf": "one of {}",
    }
)
"""What is written into a description for a keyword that is removed: a model reads descriptions."""

_LARGEST = 2**53 - 1
"""The bounds that zod gives to every integer; they tell a model nothing."""

_LONGEST_WORDS = 300
"""Characters of one keyword in words."""


def note(node: Schema, keyword: str, value: object) -> None:
    """Put a removed keyword into the description of its schema, if it restricts and is short."""
    if isinstance(value, int) and abs(value) >= _LARGEST:
        return
    if keyword in _WORDS and value is not None and len(written := to_json(value)) <= _LONGEST_WORDS:
        describe(node, f"({_WORDS[keyword].format(written.decode())})")


def describe(node: Schema, words: str) -> None:
    """Add words to the description of a schema."""
    before = node.get("description")
    node["description"] = f"{before} {words}" if isinstance(before, str) and before else words


def implied_type(node: Schema) -> str | None:
    """The type that the other keywords of a schema speak of; None where they speak of several or of none."""
    types = {TYPE_OF_KEYWORD[keyword] for keyword in node if keyword in TYPE_OF_KEYWORD}
    values = node["enum"] if isinstance(node.get("enum"), list) else [node["const"]] if "const" in node else []
    types |= {type_of_value(value) for value in values}
    return types.pop() if len(types) == 1 else None


def type_of_value(value: object) -> str:
    """The type of a JSON value."""
    if isinstance(value, bool):
        return "boolean"
    for kind, name in ((str, "string"), (int, "integer"), (float, "number"), (list, "array"), (dict, "object")):
        if isinstance(value, kind):
            return name
    return "null"
