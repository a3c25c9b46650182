from __future__ import annotations

import json
from typing import Any

import pytest

from asgi_llmgate.protocol.servers.schemas.rewrites import rewrite

TEXT = {"type": "string"}


def rewritten(name: str, node: Any) -> Any:
    schema = {"type": "object", "properties": {"p": node}}
    return json.loads(rewrite(json.dumps(schema).encode(), frozenset({name})))["properties"]["p"]


@pytest.mark.parametrize(
    ("name", "node", "sent"),
    [
        ("-const", {"const": None}, {"enum": [None]}),
        ("-const", {"const": 1, "enum": [1, 2]}, {"enum": [1, 2]}),
        ("-exclusiveMinimum", {"type": "integer", "exclusiveMinimum": 0}, {"type": "integer", "minimum": 1}),
        ("-exclusiveMaximum", {"type": "integer", "exclusiveMaximum": 9}, {"type": "integer", "maximum": 8}),
        (
            "-exclusiveMinimum",
            {"type": "number", "exclusiveMinimum": 0.5, "minimum": 0},
            {"type": "number", "minimum": 0.5, "description": "(more than 0.5)"},
        ),
        (
            "-exclusiveMaximum",
            {"type": "number", "exclusiveMaximum": 5, "maximum": 4},
            {"type": "number", "maximum": 4, "description": "(less than 5)"},
        ),
        ("-exclusiveMinimum", {"exclusiveMinimum": True, "minimum": 3}, {"minimum": 3}),
        (
            "single_types",
            {"type": ["string", "null"], "minLength": 1},
            {"type": "string", "nullable": True, "minLength": 1},
        ),
        ("single_types", {"type": ["null"]}, {"nullable": True}),
        ("single_types", {"type": ["integer"]}, {"type": "integer"}),
        (
            "single_types",
            {"type": ["string", "integer", "null"], "minLength": 1, "minimum": 2, "enum": ["a", 3]},
            {
                "nullable": True,
                "anyOf": [
                    {"type": "string", "minLength": 1, "enum": ["a"]},
                    {"type": "integer", "minimum": 2, "enum": [3]},
                ],
            },
        ),
        ("single_types", {"type": ["string", "array"], "anyOf": [{}, TEXT]}, {"anyOf": [{}, TEXT]}),
        (
            "single_types",
            {"anyOf": [TEXT, {"type": "null"}], "title": "T"},
            {"type": "string", "nullable": True, "title": "T"},
        ),
        ("single_types", {"anyOf": [{"type": "null"}]}, {"anyOf": [{"type": "null"}]}),
        ("single_types", {"anyOf": [True, {"type": "null"}]}, {"anyOf": [True], "nullable": True}),
        ("string_enums", {"enum": ["a", "b"]}, {"type": "string", "enum": ["a", "b"]}),
        ("string_enums", {"enum": ["a", ""]}, {"type": "string", "description": '(one of ["a",""])'}),
        (
            "string_enums",
            {"enum": [True, None]},
            {"type": "boolean", "nullable": True, "description": "(one of [true,null])"},
        ),
        ("string_enums", {"enum": [1, "a"], "type": "string"}, {"type": "string", "description": '(one of [1,"a"])'}),
        ("string_enums", {"enum": []}, {}),
        ("string_enums", {"enum": ["a"], "type": "array"}, {"type": "array", "description": '(one of ["a"])'}),
        ("string_enums", {"enum": "a"}, {"description": '(one of "a")'}),
        ("string_enums", {"enum": ["x" * 400, 1]}, {}),
        ("tuples", {"items": [TEXT, {"type": "number"}]}, {"items": {"anyOf": [TEXT, {"type": "number"}]}}),
        ("tuples", {"items": [TEXT], "additionalItems": TEXT}, {"items": TEXT}),
        ("tuples", {"prefixItems": [TEXT], "items": False}, {"items": TEXT}),
        ("tuples", {"prefixItems": [True]}, {"items": {}}),
        ("tuples", {"items": TEXT, "additionalItems": False}, {"items": TEXT}),
        ("array_items", {"type": "array"}, {"type": "array", "items": {}}),
        ("array_items", {"type": "array", "items": True}, {"type": "array", "items": {}}),
        ("array_items", {"type": "array", "prefixItems": [TEXT]}, {"type": "array", "prefixItems": [TEXT]}),
        ("array_items", {"minItems": 1}, {"minItems": 1}),
        ("object_properties", {"type": ["object", "null"]}, {"type": ["object", "null"], "properties": {}}),
        ("object_properties", {"required": ["a"]}, {"required": ["a"]}),
        (
            "known_required",
            {"required": ["a"], "properties": {"a": TEXT}},
            {"required": ["a"], "properties": {"a": TEXT}},
        ),
        (
            "known_required",
            {"required": ["a", "b"], "properties": {"a": TEXT}},
            {"required": ["a"], "properties": {"a": TEXT}},
        ),
        ("known_required", {"required": ["a"]}, {}),
        ("known_required", {"required": True, "type": "string"}, TEXT),
        (
            "own_keywords",
            {"type": "string", "items": TEXT, "minLength": 1, "title": "T"},
            {**TEXT, "minLength": 1, "title": "T"},
        ),
        (
            "own_keywords",
            {"type": "integer", "minimum": 1, "format": "int32"},
            {"type": "integer", "minimum": 1, "format": "int32"},
        ),
        ("own_keywords", {"type": "boolean", "format": "x"}, {"type": "boolean"}),
        ("own_keywords", {"type": ["string"], "items": TEXT}, {"type": ["string"], "items": TEXT}),
        (
            "property_names",
            {
                "properties": {"a/b": TEXT, "": {}, "c": TEXT},
                "required": ["a/b"],
                "additionalProperties": False,
                "description": "d",
            },
            {
                "properties": {"c": TEXT},
                "description": "d Further property 'a/b': {\"type\":\"string\"}. Further property '': {}.",
            },
        ),
        (
            "property_names",
            {"properties": {"a b": {}}, "required": ["x"], "additionalProperties": True},
            {
                "properties": {},
                "required": ["x"],
                "additionalProperties": True,
                "description": "Further property 'a b': {}.",
            },
        ),
        ("property_names", {"properties": {"a.b-c_1": TEXT}}, {"properties": {"a.b-c_1": TEXT}}),
        ("implied_types", {"pattern": "a"}, {"type": "string", "pattern": "a"}),
        ("implied_types", {"const": 1.5}, {"type": "number", "const": 1.5}),
        ("implied_types", {"enum": [[1]]}, {"type": "array", "enum": [[1]]}),
        ("implied_types", {"enum": [{}]}, {"type": "object", "enum": [{}]}),
        ("implied_types", {"const": None}, {"const": None}),
        ("implied_types", {"pattern": "a", "minimum": 1}, {"pattern": "a", "minimum": 1}),
        ("implied_types", {"anyOf": [TEXT]}, {"anyOf": [TEXT]}),
        (
            "filled_objects",
            {"type": "object", "properties": {"a": TEXT}},
            {"type": "object", "properties": {"a": TEXT}},
        ),
        ("known_formats", {"type": "string", "format": "date-time"}, {"type": "string", "format": "date-time"}),
        (
            "known_formats",
            {"type": "string", "format": "uri", "description": ""},
            {**TEXT, "description": '(format: "uri")'},
        ),
        ("known_formats", {"type": "number", "format": "double"}, {"type": "number", "format": "double"}),
        ("anchored_patterns", {"pattern": "^a$"}, {"pattern": "^a$"}),
        ("anchored_patterns", {"pattern": 7}, {"description": "(matches the regular expression 7)"}),
        (
            "small_counts",
            {"maxLength": 1000, "maxItems": 1001},
            {"maxLength": 1000, "description": "(at most 1001 elements)"},
        ),
        ("small_counts", {"maxLength": "many"}, {"maxLength": "many"}),
        ("-enum", {"enum": ["a"], "description": 7}, {"description": '(one of ["a"])'}),
        ("-readOnly", {"readOnly": True}, {}),
        ("-maximum", {"maximum": 2**53 - 1}, {}),
        ("-not", {"anyOf": [{"not": {}}, TEXT], "title": "T"}, {**TEXT, "title": "T"}),
        ("-not", {"oneOf": [False, TEXT, {}]}, {"oneOf": [TEXT, {}]}),
        ("-not", {"anyOf": [{"not": {}}]}, {"anyOf": [{}]}),
        ("-not", {"anyOf": [{"not": {}}, True]}, {"anyOf": [True]}),
        ("-not", {"not": TEXT}, {}),
        ("-default", {"default": None}, {}),
    ],
)
def test_what_a_rewrite_makes_of_a_schema(name: str, node: Any, sent: Any) -> None:
    assert rewritten(name, node) == sent
