"""Rewrites of one schema node, whose inner schemas have been rewritten already.

Each changes the node in place.  Each allows at least what the node allowed, but where its comment says otherwise.
"""

from __future__ import annotations

import re
from typing import Any

from asgi_llmgate.protocol.rawjson.objects import to_json
from asgi_llmgate.protocol.servers.schemas.keywords import (
    TYPE_OF_KEYWORD,
    Schema,
    describe,
    implied_type,
    note,
    type_of_value,
)
from asgi_llmgate.protocol.servers.schemas.patterns import for_grammar

_FORMATS = {"string": frozenset({"enum", "date-time"}), "integer": frozenset({"int32", "int64"})}
_FORMATS["number"] = frozenset({"float", "double"})
"""Formats that Gemini knows for a type."""

_LARGEST_COUNT = 1_000
"""The largest length or number of elements that a grammar can hold: llama.cpp writes each one out."""

_COUNTS = ("minLength", "maxLength", "minItems", "maxItems")

_TYPES_ELSEWHERE = ("type", "anyOf", "oneOf", "allOf", "$ref")

_property_name = re.compile(r"[a-zA-Z0-9_.-]{1,64}").fullmatch

_ANY_NAMES = {"any_name": {"type": "string", "description": "Any names and values are allowed here."}}

_ANYTHING: tuple[Schema, ...] = (
    *({"type": kind} for kind in ("string", "number", "boolean")),
    {"type": "object", "properties": _ANY_NAMES},
    {"type": "array", "items": {"type": "string"}},
)


def const_to_enum(node: Schema) -> None:
    """An `enum` of one value for `const`."""
    if "const" in node:
        node.setdefault("enum", [node.pop("const")])
        node.pop("const", None)


def inclusive_bounds(node: Schema) -> None:
    """`minimum` and `maximum` for the exclusive bounds; for an integer the next one."""
    for exclusive, inclusive, step in (("exclusiveMinimum", "minimum", 1), ("exclusiveMaximum", "maximum", -1)):
        bound = node.pop(exclusive, None)
        if type(bound) not in (int, float):
            continue  # in draft 4 a boolean beside the bound: the bound itself stays
        if node.get("type") == "integer" and type(bound) is int:
            bound += step
        else:
            note(node, exclusive, bound)
        own = node.get(inclusive)
        node[inclusive] = bound if type(own) not in (int, float) else max(own, bound) if step > 0 else min(own, bound)


def single_types(node: Schema) -> None:
    """One type and `nullable` for a list of types; alternatives for several types."""
    types = node.get("type")
    if isinstance(types, list):
        filled = [kind for kind in types if kind != "null"]
        if len(filled) < len(types):
            node["nullable"] = True
        del node["type"]
        if len(filled) == 1:
            node["type"] = filled[0]
        elif filled and "anyOf" not in node:
            node["anyOf"] = [_only_for(node, kind) for kind in filled]
            for keyword in [keyword for keyword in node if keyword in TYPE_OF_KEYWORD or keyword == "enum"]:
                del node[keyword]
    branches = node.get("anyOf")
    if isinstance(branches, list):
        filled = [each for each in branches if not (isinstance(each, dict) and each.get("type") == "null")]
        if 0 < len(filled) < len(branches):
            node["anyOf"], node["nullable"] = filled, True
        if len(filled) == 1 and isinstance(filled[0], dict):
            del node["anyOf"]
            for keyword, value in filled[0].items():
                node.setdefault(keyword, value)


def _only_for(node: Schema, kind: str) -> Schema:
    """What a node says about one type."""
    said = {keyword: value for keyword, value in node.items() if _speaks_of(keyword, kind)}
    values = node.get("enum")
    if isinstance(values, list) and (own := [value for value in values if type_of_value(value) == kind]):
        said["enum"] = own
    return {"type": kind, **said}


def _speaks_of(keyword: str, kind: str) -> bool:
    return TYPE_OF_KEYWORD.get(keyword) == ("number" if kind == "integer" else kind)


def string_enums(node: Schema) -> None:
    """An `enum` of filled strings only, of a string; any other one is put into words."""
    values = node.get("enum")
    if values is None:
        return
    is_text = node.get("type", "string") == "string"
    if not (is_text and isinstance(values, list) and all(isinstance(value, str) and value for value in values)):
        known = {type_of_value(value) for value in values} if isinstance(values, list) else set()
        filled = known - {"null"}
        if "type" not in node and len(filled) == 1:
            node["type"] = filled.pop()
        if "null" in known:
            node["nullable"] = True
        note(node, "enum", node.pop("enum"))
    elif values:
        node.setdefault("type", "string")
    else:
        del node["enum"]


def tuples(node: Schema) -> None:
    """One schema for all elements instead of one for each position."""
    positions = node.pop("prefixItems", None)
    rest = node.pop("additionalItems", None)
    if isinstance(node.get("items"), list):
        positions, node["items"] = node["items"], rest
    if not isinstance(positions, list):
        return
    rest = node.pop("items", None)
    schemas: list[Any] = []
    for each in [*positions, rest]:
        if isinstance(each, dict) and each not in schemas:
            schemas.append(each)
    # Without a schema for the rest anything may follow, but a tuple is hardly ever meant so.
    node["items"] = schemas[0] if len(schemas) == 1 else {"anyOf": schemas} if schemas else {}


def array_items(node: Schema) -> None:
    """`items` for every array."""
    if "array" in _types(node) and not isinstance(node.get("items"), dict) and "prefixItems" not in node:
        node["items"] = {}


def object_properties(node: Schema) -> None:
    """`properties` for every object."""
    if "object" in _types(node) and not isinstance(node.get("properties"), dict):
        node["properties"] = {}


def known_required(node: Schema) -> None:
    """`required` with names of `properties` only."""
    if "required" in node:
        names, known = node["required"], node.get("properties")
        kept = [name for name in names if isinstance(known, dict) and name in known] if isinstance(names, list) else []
        if kept:
            node["required"] = kept
        else:
            del node["required"]


def own_keywords(node: Schema) -> None:
    """Only the keywords that say something about the type of the node."""
    kind = node.get("type")
    if isinstance(kind, str):
        for keyword in [each for each in node if each in TYPE_OF_KEYWORD and not _speaks_of(each, kind)]:
            if keyword != "format" or kind not in _FORMATS:
                del node[keyword]


def property_names(node: Schema) -> None:
    """Only properties with 1 to 64 letters, digits, `_`, `.` and `-`; others are put into words."""
    properties = node.get("properties")
    if not isinstance(properties, dict) or all(map(_property_name, properties)):
        return
    for name in [name for name in properties if not _property_name(name)]:
        schema = properties.pop(name)
        about = to_json(schema).decode()
        describe(node, f"Further property {name[:200]!r}: {about[:300]}.")
        node["required"] = [each for each in node.get("required") or () if each != name]
    if not node["required"]:
        del node["required"]
    for closing in ("additionalProperties", "unevaluatedProperties"):
        if node.get(closing) is not True:
            node.pop(closing, None)


def implied_types(node: Schema) -> None:
    """The type of which the other keywords of the node speak."""
    if not any(keyword in node for keyword in _TYPES_ELSEWHERE):
        kind = implied_type(node)
        if kind is not None and kind != "null":
            node["type"] = kind


def typed(node: Schema) -> None:
    """A type for every node; for a node that allows anything, all types as alternatives."""
    implied_types(node)
    if not any(keyword in node for keyword in _TYPES_ELSEWHERE):
        node["anyOf"], node["nullable"] = list(_ANYTHING), True


def filled_objects(node: Schema) -> None:
    """At least one property for every object: an optional one that says that any are allowed."""
    if node.get("type") == "object" and not node.get("properties"):
        node["properties"] = _ANY_NAMES


def known_formats(node: Schema) -> None:
    """Only the formats that Gemini knows."""
    if "format" in node and node["format"] not in _FORMATS.get(str(node.get("type")), ()):
        note(node, "format", node.pop("format"))


def anchored_patterns(node: Schema) -> None:
    """Patterns that llama.cpp can make a grammar of; others are put into words."""
    pattern = node.get("pattern")
    if pattern is None:
        return
    written = for_grammar(pattern) if isinstance(pattern, str) else None
    if written is None:
        note(node, "pattern", node.pop("pattern"))
    else:
        node["pattern"] = written


def small_counts(node: Schema) -> None:
    """No large lengths and numbers of elements; they are put into words."""
    for keyword in _COUNTS:
        count = node.get(keyword)
        if isinstance(count, int) and count > _LARGEST_COUNT:
            note(node, keyword, node.pop(keyword))


def _types(node: Schema) -> list[Any]:
    types = node.get("type")
    return types if isinstance(types, list) else [types]
