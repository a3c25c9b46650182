"""What is no JSON Schema in a schema: left out, so that what remains is one.

Servers that check a schema against draft 2020-12 refuse older drafts and mistakes alike, and do not say where:
"JSON schema is invalid. It must match JSON Schema draft 2020-12" (anthropics/claude-code#7365, kintone/mcp-server#553).
"""

from __future__ import annotations

from typing import Any

from asgi_llmgate.protocol.servers.schemas.keywords import SCHEMA_LISTS, SCHEMA_MAPS, SCHEMAS, TYPES, Schema

_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_COUNTS = tuple(f"{bound}{what}" for bound in ("min", "max") for what in ("Length", "Items", "Properties", "Contains"))
_TEXTS = ("$ref", "$id", "$schema", "$anchor", "$comment", "title", "description", "format", "pattern")
_LISTS = ("required", "examples")
_BOOLEANS = ("uniqueItems", "deprecated", "readOnly", "writeOnly")


def valid_keywords(node: Schema) -> None:
    """Leave out the keywords of one node whose values JSON Schema does not allow."""
    for exclusive, inclusive in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if node.get(exclusive) is True and _is_number(node.get(inclusive)):  # draft 4
            node[exclusive] = node.pop(inclusive)
    positions = node.get("items")
    if isinstance(positions, list):  # before draft 2020-12
        node["prefixItems"] = node.pop("items")
        rest = node.pop("additionalItems", None)
        if isinstance(rest, (dict, bool)):
            node["items"] = rest
    for keyword in list(node):
        value = node[keyword]
        if keyword == "type":
            _repair_type(node)
        elif keyword in SCHEMA_MAPS and isinstance(value, dict):
            node[keyword] = {name: each for name, each in value.items() if isinstance(each, (dict, bool))}
        elif keyword == "required" and isinstance(value, list):
            node[keyword] = list(dict.fromkeys(name for name in value if isinstance(name, str)))
        elif not _is_valid(keyword, value):
            del node[keyword]


def _repair_type(node: Schema) -> None:
    value = node["type"]
    types = [each for each in (value if isinstance(value, list) else [value]) if each in TYPES]
    if not types:
        del node["type"]
    elif isinstance(value, list):
        node["type"] = list(dict.fromkeys(types))


def _is_valid(keyword: str, value: Any) -> bool:
    if keyword in SCHEMA_LISTS:
        return isinstance(value, list) and bool(value) and all(isinstance(each, (dict, bool)) for each in value)
    if keyword in SCHEMA_MAPS:
        return False  # no object
    if keyword in SCHEMAS:
        return isinstance(value, (dict, bool))
    if keyword in _NUMBERS:
        return _is_number(value) and (keyword != "multipleOf" or value > 0)
    if keyword in _COUNTS:
        return type(value) is int and value >= 0
    if keyword in _TEXTS:
        return isinstance(value, str)
    if keyword in _BOOLEANS:
        return isinstance(value, bool)
    if keyword == "enum":
        return isinstance(value, list) and bool(value)  # allowed, but nothing would be
    return isinstance(value, list) or keyword not in _LISTS


def _is_number(value: object) -> bool:
    return type(value) in (int, float)
