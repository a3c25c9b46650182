from __future__ import annotations

from typing import Any

import pytest

from asgi_llmgate.protocol.servers.schemas.composition import collapse, distribute, flat_root, merge_all_of

TEXT, NUMBER, NULL = {"type": "string"}, {"type": "number"}, {"type": "null"}


def of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


@pytest.mark.parametrize(
    ("root", "flat"),
    [
        (of(a=TEXT), of(a=TEXT)),
        ({"anyOf": [of(a=TEXT), of(b=TEXT)]}, {"properties": {"a": TEXT, "b": TEXT}}),
        ({"oneOf": [of(a=TEXT), of(a=NUMBER)]}, {"properties": {"a": {"anyOf": [TEXT, NUMBER]}}}),
        ({**of(a=TEXT), "anyOf": [of(a=NUMBER)]}, of(a={"anyOf": [TEXT, NUMBER]})),
        (
            {"anyOf": [{**of(a=TEXT), "required": ["a", "t"]}, {**of(t=TEXT), "required": ["t"]}]},
            {"properties": {"a": TEXT, "t": TEXT}, "required": ["t"]},
        ),
        (
            {"allOf": [{**of(a=TEXT), "required": ["a"]}, {"required": ["b", 1]}], "required": ["c"]},
            {"properties": {"a": TEXT}, "required": ["c", "a", "b"]},
        ),
        (
            {**of(a=TEXT), "additionalProperties": False, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
            {**of(a=TEXT), "additionalProperties": False},
        ),
        ({**of(), "additionalProperties": False, "anyOf": [of(b=TEXT)]}, of(b=TEXT)),
        ({**of(a=TEXT), "not": {"required": ["a"]}, "if": {}, "then": {}, "else": {}}, of(a=TEXT)),
        ({"enum": [{"a": 1}]}, {"description": '(one of [{"a":1}])'}),
        ({"const": {}, "description": "d"}, {"description": "d (always {})"}),
        (
            {"$ref": "#/$defs/a", "$defs": {"a": of(a=TEXT)}},
            {**of(a=TEXT), "$defs": {"a": of(a=TEXT)}},
        ),
        (
            {"anyOf": [{"$ref": "#/$defs/a"}, True, {"$ref": "#"}], "$defs": {"a": {"allOf": [of(a=TEXT)]}}},
            {"$defs": {"a": {"allOf": [of(a=TEXT)]}}, "properties": {"a": TEXT}},
        ),
        ({"$ref": "elsewhere", **of(a=TEXT)}, of(a=TEXT)),
        ({"anyOf": []}, {"properties": {}}),
        ({"anyOf": "x"}, {"properties": {}}),
    ],
)
def test_a_root_becomes_one_object(root: Any, flat: Any) -> None:
    assert flat_root(root) == flat


@pytest.mark.parametrize(
    ("node", "alone"),
    [
        ({"type": "string"}, {"type": "string"}),
        ({"type": "string", "anyOf": "x"}, {"type": "string", "anyOf": "x"}),
        ({"description": "d", "anyOf": [TEXT]}, {"description": "d", "anyOf": [TEXT]}),
        ({"type": "string", "anyOf": [{"minLength": 1}, NULL]}, {"anyOf": [{"type": "string", "minLength": 1}, NULL]}),
        ({**of(a=TEXT), "anyOf": [{"required": ["a"]}, {"not": {}}]}, of(a=TEXT)),
        ({"type": "object", "anyOf": [True]}, {"type": "object"}),
        ({**of(**{str(n): TEXT for n in range(150)}), "anyOf": [of(x=TEXT), of(y=TEXT)]},
         of(**{str(n): TEXT for n in range(150)})),
        (
            {**of(a=TEXT), "required": ["a"], "anyOf": [{**of(b=TEXT), "required": ["b"]}]},
            {"anyOf": [{**of(a=TEXT, b=TEXT), "required": ["a", "b"]}]},
        ),
        (
            {"if": TEXT, "then": TEXT, "anyOf": [{"else": TEXT, "minLength": 1}, {"if": NULL, "else": TEXT}]},
            {"anyOf": [{"if": TEXT, "then": TEXT, "minLength": 1}, {"if": NULL, "else": TEXT}]},
        ),
        (
            {"type": "string", "anyOf": [{"anyOf": [{"minLength": 1}]}]},
            {"anyOf": [{"anyOf": [{**TEXT, "minLength": 1}]}]},
        ),
    ],
)  # fmt: skip
def test_any_of_stands_alone(node: Any, alone: Any) -> None:
    distribute(node)
    assert node == alone


@pytest.mark.parametrize(
    ("node", "merged"),
    [
        ({"allOf": [{**of(a=TEXT), "required": ["a"]}, of(b=TEXT)]}, {**of(a=TEXT, b=TEXT), "required": ["a"]}),
        ({"properties": {"a": NUMBER}, "allOf": [of(a=TEXT)]}, {"type": "object", "properties": {"a": NUMBER}}),
        ({"allOf": [{"additionalProperties": False}, {"additionalProperties": TEXT}]}, {"additionalProperties": TEXT}),
        ({"allOf": [{"if": TEXT, "then": NULL}, True]}, {}),
    ],
)
def test_all_of_becomes_one_schema(node: Any, merged: Any) -> None:
    merge_all_of(node)
    assert node == merged


@pytest.mark.parametrize(
    ("node", "collapsed"),
    [
        ({"anyOf": [TEXT, NULL], "title": "T"}, {"title": "T", "nullable": True, "type": "string"}),
        ({"anyOf": [{**TEXT, "nullable": True}]}, {"nullable": True, "type": "string"}),
        ({"anyOf": [of(a=TEXT), of(b=TEXT)]}, of(a=TEXT, b=TEXT)),
        (
            {"anyOf": [of(a=TEXT), of(b=TEXT)], "additionalProperties": False},
            of(a=TEXT, b=TEXT),
        ),
        (
            {"anyOf": [{**TEXT, "enum": ["a"]}, {**TEXT, "minLength": 3}]},
            {
                "type": "string",
                "description": '(one of [{"type":"string","enum":["a"]},{"type":"string","minLength":3}])',
            },
        ),
        (
            {"anyOf": [TEXT, NUMBER]},
            {"type": "string", "description": '(one of [{"type":"string"},{"type":"number"}])'},
        ),
        (
            {**of(a=TEXT), "anyOf": [of(a=TEXT), of(a=NUMBER)], "additionalProperties": False},
            {**of(a={"anyOf": [TEXT, NUMBER]}), "additionalProperties": False},
        ),
        ({"anyOf": [NULL]}, {"nullable": True}),
        ({}, {}),
    ],
)
def test_alternatives_are_joined_where_there_can_be_none(node: Any, collapsed: Any) -> None:
    collapse(node)
    assert node == collapsed
