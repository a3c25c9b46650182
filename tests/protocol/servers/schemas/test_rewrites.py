from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from asgi_llmgate.protocol.servers.dialects import DIALECTS, derive
from asgi_llmgate.protocol.servers.schemas.rewrites import MINIMAL, NAMES, NO_SCHEMA, PROFILES, rewrite

TEXT = {"type": "string"}

NARROWER = {"flat_root", "typed", "implied_types", "tuples", "filled_objects", "property_names"}
"""What is said of alternatives, of one position and of nothing at all is taken for all that is meant."""

KEYWORDS = ["$ref", "$defs", "oneOf", "allOf", "const", "enum", "exclusiveMinimum", "exclusiveMaximum", "pattern"]
KEYWORDS += ["format", "minItems", "not", "if", "additionalProperties", "patternProperties", "properties", "required"]
WIDENING = sorted({*NAMES} - NARROWER) + [f"-{keyword}" for keyword in KEYWORDS]


def rewritten(schema: Any, *names: str) -> Any:
    written = rewrite(json.dumps(schema, separators=(",", ":")).encode(), frozenset(names))
    return json.loads(written) if written else None


def of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


@pytest.mark.parametrize(
    ("schema", "sent"),
    [
        ({}, of()),
        ({"type": "object"}, of()),
        ({"type": ["object", "null"], "properties": {"a": TEXT}}, of(a=TEXT)),
        ({"type": "string"}, of()),
        ({"properties": []}, of()),
        ({"description": "d"}, {"type": "object", "description": "d", "properties": {}}),
        ({"$ref": "#/$defs/A"}, {"type": "object", "$ref": "#/$defs/A", "properties": {}}),
        ([], of()),
        ("text", of()),
        ('{"type": "object", "properties": {"a": {"type": "string"}}}', of(a=TEXT)),
        ("[]", of()),
        (True, of()),
    ],
)
def test_the_root_is_always_an_object_with_properties(schema: Any, sent: Any) -> None:
    assert rewritten(schema) == sent


@pytest.mark.parametrize("schema", [b'{ "type": "object", "properties": {"a": {"minimum": 1.50}} }', NO_SCHEMA])
def test_a_schema_without_anything_to_change_stays_the_same_bytes(schema: bytes) -> None:
    assert rewrite(schema, frozenset(WIDENING) - {"-properties"}) == schema


def test_a_schema_that_is_too_large_to_remember_is_rewritten_all_the_same() -> None:
    schema = of(a={"type": "array", "description": "d" * 20_000})
    assert rewritten(schema, "array_items")["properties"]["a"]["items"] == {}


def test_the_last_resort_is_no_schema() -> None:
    assert rewritten(of(a=TEXT), MINIMAL) == of()


def test_a_number_that_no_float_holds_costs_the_schema() -> None:
    assert rewrite(b'{"type":"object","properties":{"a":{"minimum":1e999}}}', frozenset()) == NO_SCHEMA


@pytest.mark.parametrize(
    ("schema", "sent"),
    [
        (of(), None),
        ({**of(), "additionalProperties": False}, None),
        ({**of(), "additionalProperties": TEXT}, "any_name"),
        (of(a={"type": "object"}), "a"),
    ],
)
def test_a_server_that_wants_no_empty_object_gets_no_schema_for_a_tool_without_parameters(
    schema: Any, sent: str | None
) -> None:
    written = rewritten(schema, "gemini")
    assert (written and list(written["properties"])) == (sent and [sent])


@pytest.mark.parametrize(
    ("names", "schema", "sent"),
    [
        (("-title",), of(a={"title": "A"}), of(a={})),
        (("-title",), of(title=TEXT), of(title=TEXT)),
        (("-default",), of(a={"enum": [{"default": 1}]}), of(a={"enum": [{"default": 1}]})),
        (("-default",), of(a={"default": 1}), of(a={"description": "(by default 1)"})),
        (("-if",), of(a={"if": TEXT, "then": {"minLength": 1}, "else": {}}), of(a={})),
        (("-minLength",), of(a={"if": {"minLength": 1}, "then": TEXT, "else": TEXT}), of(a={})),
        (("-minLength",), of(a={"not": {"minLength": 1}, "type": "string"}), of(a=TEXT)),
        (
            ("-minLength",),
            of(a={"oneOf": [{"minLength": 1}, TEXT]}),
            of(a={"anyOf": [{"description": "(at least 1 characters)"}, TEXT]}),
        ),
        (
            ("-patternProperties",),
            of(a={"type": "object", "patternProperties": {"^x": TEXT}, "additionalProperties": False}),
            of(a={"type": "object"}),
        ),
        (("boolean_schemas",), of(a=True, b=False, c={"items": True}), of(a={}, b={}, c={"items": {}})),
        (("boolean_schemas",), of(a={"additionalProperties": False}), of(a={"additionalProperties": False})),
        (("plain", "gemini"), of(a={"const": "b"}), of(a={"enum": ["b"], "type": "string"})),
        (("plain", "gemini"), of(a={}), of(a={})),
        (("moonshot",), {**of(a=TEXT), "anyOf": [{"required": ["a"]}]}, {**of(a=TEXT), "required": ["a"]}),
    ],
)  # fmt: skip
def test_what_becomes_of_a_schema(names: tuple[str, ...], schema: Any, sent: Any) -> None:
    assert rewritten(schema, *names) == sent


def test_profiles_and_names_can_be_written_in_the_settings() -> None:
    names = frozenset({*NAMES, *PROFILES, "-minItems", "-$schema"})
    assert derive("generic", {"tool_schemas": sorted(names)}).tool_schemas == names
    for dialect in DIALECTS.values():
        assert all(name in names or name[0] == "-" for name in dialect.tool_schemas)


VALUES = [None, True, 0, 1, 5, 1.5, "", "a", "ab1", [], [1], ["a", 2], {}, {"a": 1}, {"a": "a", "b": [1]}, {"b": {}}]
REFS = ["#/$defs/x", "#/$defs/y", "#", "#/$defs/none"]


def schemas() -> st.SearchStrategy[Any]:
    numbers, small = st.sampled_from([0, 1, 1.5, 5]), st.integers(0, 3)
    names = st.sampled_from(["a", "b", "a b"])
    leaf = st.one_of(
        st.booleans(),
        st.fixed_dictionaries(
            {},
            optional={
                "type": st.sampled_from(
                    ["string", "integer", "array", "object", ["string", "null"], ["object", "array"]]
                ),
                "enum": st.lists(st.sampled_from(VALUES), min_size=1, max_size=3),
                "pattern": st.sampled_from(["^a", "b1$", r"\d", "^(?=a)", r"^[a-z\d]*$", "a|b", r"\w+"]),
                "format": st.just("date"),
                "minLength": small,
                "maxLength": st.sampled_from([1, 2000]),
                "minimum": numbers,
                "exclusiveMinimum": numbers,
                "exclusiveMaximum": numbers,
                "minItems": small,
                "uniqueItems": st.booleans(),
                "required": st.lists(st.sampled_from(["a", "c"]), max_size=2, unique=True),
                "description": st.just("d"),
            },
        ),
        st.fixed_dictionaries({"const": st.sampled_from(VALUES)}),
        st.fixed_dictionaries({"$ref": st.sampled_from(REFS[:2])}),
    )

    def inner(schema: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        some = st.lists(schema, min_size=1, max_size=3)
        return st.fixed_dictionaries(
            {},
            optional={
                "type": st.sampled_from(["object", "array", ["object", "null"]]),
                "properties": st.dictionaries(names, schema, max_size=2),
                "patternProperties": st.fixed_dictionaries({"^b": schema}),
                "additionalProperties": st.one_of(st.just(False), schema),
                "items": schema,
                "prefixItems": some,
                "contains": schema,
                "anyOf": some,
                "oneOf": some,
                "allOf": some,
                "not": schema,
                "if": schema,
                "then": schema,
                "else": schema,
                "required": st.lists(st.sampled_from(["a", "c"]), max_size=2, unique=True),
                "propertyNames": schema,
            },
        )

    return st.recursive(leaf, inner, max_leaves=6)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(
    names=st.sampled_from([*[[name] for name in WIDENING], WIDENING, ["grammar"]]),
    schema=schemas(),
    x=schemas(),
    y=schemas(),
    value=st.sampled_from(VALUES),
)
def test_a_rewritten_schema_allows_what_the_original_allows(
    names: list[str], schema: Any, x: Any, y: Any, value: Any
) -> None:
    for each in (x, y):  # a definition that is a reference may lead to itself, which is no schema
        assume(not (isinstance(each, dict) and "$ref" in each))
    root = {"type": "object", "properties": {"p": schema}, "$defs": {"x": x, "y": y}}
    written = rewritten(root, *names)
    Draft202012Validator.check_schema(written)
    try:
        valid = Draft202012Validator(root).is_valid({"p": value})
    except RecursionError:
        valid = False
    assume(valid)
    assert Draft202012Validator(_with_null(written)).is_valid({"p": value})


def _with_null(node: Any) -> Any:
    """`nullable` as JSON Schema has it."""
    if isinstance(node, list):
        return [_with_null(each) for each in node]
    if not isinstance(node, dict):
        return node
    plain = {name: _with_null(each) for name, each in node.items() if name != "nullable"}
    return {"anyOf": [plain, {"type": "null"}]} if node.get("nullable") is True else plain


def gemini_refuses(node: Any, *, is_root: bool = True) -> str:
    """What Gemini says of a schema; https://ai.google.dev/api/caching#Schema."""
    if not isinstance(node, dict):
        return "not an object"
    known = PROFILES["gemini"].keywords
    assert known is not None
    if not node.keys() <= known:
        return f"unknown name {node.keys() - known}"
    kind = node.get("type")
    if "anyOf" not in node and kind not in ("string", "number", "integer", "boolean", "object", "array"):
        return f"type {kind}"
    if kind == "object" and not node.get("properties"):
        return "should be non-empty for OBJECT type"
    if kind not in ("object", None) and ("properties" in node or "required" in node):
        return "only allowed for OBJECT type"
    if kind == "array" and "items" not in node:
        return "missing items"
    if "enum" in node and not (node["enum"] and all(isinstance(each, str) and each for each in node["enum"])):
        return "enum"
    if not set(node.get("required", ())) <= node.get("properties", {}).keys():
        return "required is not defined"
    inner = [
        *node.get("properties", {}).values(),
        *node.get("anyOf", ()),
        *([node["items"]] if "items" in node else ()),
    ]
    return next(filter(None, (gemini_refuses(each, is_root=False) for each in inner)), "")


def moonshot_refuses(node: Any, *, is_root: bool = True) -> str:
    """What Moonshot says of a schema; https://github.com/MoonshotAI/walle, validator.go and keyword_validators.go."""
    if not isinstance(node, dict):
        return "must be an object"
    if is_root and node.get("type") != "object":
        return "type is required and must be object"
    if "anyOf" in node and "type" in node:
        return "when using anyOf, type should be defined in anyOf items"
    if "$ref" in node:
        return "reference"
    if "anyOf" not in node and "type" not in node:
        return "type is not defined"
    if "items" in node and not isinstance(node["items"], dict):
        return "items must be an object"
    if not set(node.get("required", ())) <= node.get("properties", {}).keys():
        return "required property is not defined in properties"
    if "anyOf" in node and (
        not node["anyOf"] or any(node.keys() & each.keys() & {"type", "properties"} for each in node["anyOf"])
    ):
        return "conflicting keywords found in anyOf with parent"
    inner = [
        *node.get("properties", {}).values(),
        *node.get("anyOf", ()),
        *([node["items"]] if "items" in node else ()),
    ]
    return next(filter(None, (moonshot_refuses(each, is_root=False) for each in inner)), "")


JUDGES = {"gemini": gemini_refuses, "moonshot": moonshot_refuses}


@settings(max_examples=100, deadline=None)
@given(profile=st.sampled_from([*PROFILES]), schema=schemas(), x=schemas())
def test_any_schema_becomes_one_that_the_server_takes(profile: str, schema: Any, x: Any) -> None:
    root = {"type": "object", "properties": {"p": schema, "q": {"$ref": "#/$defs/x"}}, "$defs": {"x": x}}
    written = rewritten(root, profile)
    Draft202012Validator.check_schema(written)
    assert profile not in JUDGES or JUDGES[profile](written) == ""


@settings(max_examples=100, deadline=None)
@given(
    schema=st.recursive(
        st.sampled_from([*VALUES, "string", "#/properties/a", "any"]),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(
                st.sampled_from(["type", "properties", "items", "anyOf", "oneOf", "allOf", "enum", "required", "$ref"])
                | st.sampled_from(["a", "not", "if", "$defs", "pattern", "minimum", "exclusiveMinimum", "description"])
                | st.sampled_from(["additionalProperties", "prefixItems", "additionalItems", "const", "format"]),
                inner,
                max_size=4,
            ),
        ),
        max_leaves=12,
    ),
    name=st.sampled_from([*PROFILES, *NAMES]),
)
def test_what_is_no_schema_at_all_breaks_nothing(schema: Any, name: str) -> None:
    written = rewritten(schema, name)
    assert written is None or (written["type"] == "object" and isinstance(written["properties"], dict))
    if "valid" in (name, *(PROFILES[name].names if name in PROFILES else ())):
        Draft202012Validator.check_schema(written or {})
