from __future__ import annotations

from typing import Any

import pytest

from asgi_llmgate.protocol.servers.schemas.references import MAX_NODES, find_target, inline_references

TEXT = {"type": "string"}
LIST = {"type": "object", "properties": {"next": {"$ref": "#/$defs/list"}, "value": TEXT}}


@pytest.mark.parametrize(
    ("schema", "inlined"),
    [
        ({"items": {"$ref": "#/$defs/a"}, "$defs": {"a": TEXT}}, {"items": TEXT}),
        ({"items": {"$ref": "#/definitions/a"}, "definitions": {"a": TEXT}}, {"items": TEXT}),
        (
            {"items": {"$ref": "#/$defs/a", "description": "mine"}, "$defs": {"a": {**TEXT, "description": "its"}}},
            {"items": {"type": "string", "description": "mine"}},
        ),
        ({"anyOf": [{"$ref": "#/$defs/a"}, True], "$defs": {"a": TEXT}}, {"anyOf": [TEXT, True]}),
        ({"items": [{"$ref": "#/$defs/a"}], "$defs": {"a": TEXT}}, {"items": [TEXT]}),
        ({"properties": {"a": TEXT, "b": {"$ref": "#/properties/a"}}}, {"properties": {"a": TEXT, "b": TEXT}}),
        ({"anyOf": [TEXT, {"$ref": "#/anyOf/0"}]}, {"anyOf": [TEXT, TEXT]}),
        ({"items": {"$ref": "#/$defs/a~1b~0c"}, "$defs": {"a/b~c": TEXT}}, {"items": TEXT}),
        ({"items": {"$ref": "#/$defs/a"}, "$defs": {"a": {"$ref": "#/$defs/b"}, "b": TEXT}}, {"items": TEXT}),
        ({"items": {"$ref": "#/$defs/a"}, "$defs": {"a": {"$ref": "#/$defs/a"}}}, {"items": {}}),
        ({"items": {"$ref": "#/$defs/none"}}, {"items": {}}),
        ({"items": {"$ref": "https://elsewhere.example/x"}}, {"items": {}}),
        ({"items": {"$ref": 7}}, {"items": {}}),
        ({"items": {"$ref": "#"}}, {"items": {"items": {}}}),
        (
            {"$ref": "#/$defs/list", "$defs": {"list": LIST}},
            {"type": "object", "properties": {"next": {}, "value": TEXT}},
        ),
        ({"enum": [{"$ref": "#/$defs/a"}]}, {"enum": [{"$ref": "#/$defs/a"}]}),
        ({"properties": {"$ref": TEXT}}, {"properties": {"$ref": TEXT}}),
    ],
)
def test_what_a_reference_names_stands_in_its_place(schema: Any, inlined: Any) -> None:
    assert inline_references(schema) == inlined


@pytest.mark.parametrize("reference", ["#/anyOf/1", "#/anyOf/x", "#/anyOf/²", "#/a/b", "#/list", None])
def test_a_reference_to_nothing_finds_nothing(reference: Any) -> None:
    assert find_target({"anyOf": [TEXT], "a": 1, "list": []}, reference) is None


def test_references_that_double_at_each_level_are_cut() -> None:
    definitions: dict[str, Any] = {"d30": TEXT}
    for level in range(30):
        both = {"$ref": f"#/$defs/d{level + 1}"}
        definitions[f"d{level}"] = {"properties": {"a": both, "b": both}}
    inlined = inline_references({"properties": {"x": {"$ref": "#/$defs/d0"}}, "$defs": definitions})
    assert _count(inlined) < 3 * MAX_NODES


def _count(node: Any) -> int:
    return 1 + sum(map(_count, node.values())) if isinstance(node, dict) else 0
