from __future__ import annotations

from typing import Any

import pytest

from asgi_llmgate.protocol.servers.schemas.validity import valid_keywords

TEXT = {"type": "string"}


@pytest.mark.parametrize(
    ("node", "valid"),
    [
        (TEXT, TEXT),
        ({"type": "any"}, {}),
        ({"type": ["string", "None", "string"]}, {"type": ["string"]}),
        ({"type": ["any"]}, {}),
        ({"type": 7, "title": 7, "description": None}, {}),
        ({"exclusiveMinimum": True, "minimum": 1}, {"exclusiveMinimum": 1}),
        ({"exclusiveMaximum": True, "maximum": 1.5}, {"exclusiveMaximum": 1.5}),
        ({"exclusiveMinimum": False, "minimum": 1}, {"minimum": 1}),
        ({"exclusiveMinimum": True}, {}),
        ({"items": [TEXT]}, {"prefixItems": [TEXT]}),
        ({"items": [TEXT], "additionalItems": False}, {"prefixItems": [TEXT], "items": False}),
        ({"items": [TEXT], "additionalItems": 7}, {"prefixItems": [TEXT]}),
        ({"items": "string"}, {}),
        ({"properties": {"a": TEXT, "b": "string", "c": True}}, {"properties": {"a": TEXT, "c": True}}),
        ({"properties": [], "$defs": None}, {}),
        ({"required": ["a", "a", 1]}, {"required": ["a"]}),
        ({"required": True}, {}),
        ({"anyOf": [TEXT, True], "oneOf": [], "allOf": [1]}, {"anyOf": [TEXT, True]}),
        ({"enum": "a", "examples": "a"}, {}),
        ({"enum": [], "examples": [1]}, {"examples": [1]}),
        ({"enum": [None]}, {"enum": [None]}),
        ({"multipleOf": 0, "minimum": "1", "maximum": True}, {}),
        ({"multipleOf": 2, "minLength": 1, "maxItems": -1, "minItems": 1.5}, {"multipleOf": 2, "minLength": 1}),
        ({"uniqueItems": "yes", "deprecated": False}, {"deprecated": False}),
        ({"pattern": ["a"], "format": "x", "x-vendor": [1]}, {"format": "x", "x-vendor": [1]}),
    ],
)
def test_what_json_schema_does_not_allow_is_left_out(node: Any, valid: Any) -> None:
    node = dict(node)
    valid_keywords(node)
    assert node == valid
