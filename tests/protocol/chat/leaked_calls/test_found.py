from __future__ import annotations

import json
from typing import Any

import pytest

from asgi_llmgate.protocol.chat.leaked_calls.found import MAX_CALLS, DeclaredTools, FoundCalls, LeakedCall


def found(schema: Any = None, **more: Any) -> FoundCalls:
    functions = [{"name": "A", "parameters": schema}, {"name": "functions.b"}, {"name": "C", **more}]
    return FoundCalls(
        DeclaredTools(json.dumps([{"function": function} for function in functions]).encode()), frozenset()
    )


def test_names() -> None:
    calls = found({})
    calls.add("functions.A", '{"x": 1}')
    calls.add("functions.b", "{}", "id")
    assert calls.calls == [LeakedCall("A", b'{"x": 1}'), LeakedCall("functions.b", b"{}", "id")]
    with pytest.raises(ValueError, match="not declared"):
        calls.add("b", "{}")


def test_a_format_that_is_off() -> None:
    with pytest.raises(ValueError, match="format"):
        found().require("qwen")


@pytest.mark.parametrize(
    "schema", [None, 5, {}, {"properties": 5, "required": 5}, {"properties": {"x": 5}}, {"required": [{}]}]
)
def test_schemas_that_say_nothing(schema: Any) -> None:
    calls = found(schema)
    calls.add("A", '{"x": 1}')
    calls.add_values("A", [("x", "1", None), ("y", "z", None)])
    assert [json.loads(call.arguments) for call in calls.calls] == [{"x": 1}, {"x": 1, "y": "z"}]


ANY_OF = {"anyOf": [{"type": "integer"}, {"type": ["boolean", "null", 5]}]}


@pytest.mark.parametrize(
    ("kind", "words", "value"),
    [
        ({"type": "string"}, "5", "5"),
        ({"type": "string"}, " null ", " null "),
        ({"type": "integer"}, " 5\n", 5),
        ({"type": "integer"}, "5.0", 5.0),
        ({"type": "number"}, "0.5", 0.5),
        ({"type": "boolean"}, "True", True),
        ({"type": "array"}, "[1]", [1]),
        ({"type": "object"}, '{"a": {}}', {"a": {}}),
        ({"type": ["array", "null"]}, "None", None),
        ({"type": ["string", "null"]}, "null", None),
        ({"type": "decimal"}, "5", 5),
        (ANY_OF, "False", False),
        (ANY_OF, "7", 7),
        ({"oneOf": [{"type": "integer"}, {}]}, "seven", "seven"),
        ({"enum": ["1", "2"]}, "1", "1"),
        ({"type": "string", "enum": ["a"]}, "a", "a"),
    ],
)
def test_values_by_type(kind: Any, words: str, value: Any) -> None:
    calls = found({"properties": {"x": kind}, "required": ["x"], "additionalProperties": False})
    calls.add_values("A", [("x", words, None)])
    assert json.loads(calls.calls[0].arguments) == {"x": value}


def test_values_that_say_what_they_are() -> None:
    calls = found({})
    calls.add_values("A", [("x", "5", True), ("y", "5", False)])
    assert json.loads(calls.calls[0].arguments) == {"x": "5", "y": 5}
    with pytest.raises(ValueError, match="malformed"):
        calls.add_values("A", [("x", "seven", False)])


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ({"type": "string"}, 5),
        ({"type": "integer"}, 0.5),
        ({"type": "integer"}, True),
        ({"type": "number"}, "5"),
        ({"type": ["string", "null"]}, []),
        (ANY_OF, "x"),
        ({"enum": [1, 2]}, 3),
    ],
)
def test_values_that_do_not_fit(kind: Any, value: Any) -> None:
    with pytest.raises(ValueError, match="another type"):
        found({"properties": {"x": kind}}).add("A", json.dumps({"x": value}))


@pytest.mark.parametrize(
    "text",
    [
        "5",
        "[]",
        "[5]",
        "{}",
        '{"name": 5}',
        '{"name": "A", "x": 1}',
        '{"tool_calls": 5}',
        "{",
        '{"name": "A", "arguments": [NaN]}',
    ],
)
def test_objects_that_are_not_calls(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        found({}).add_object(text)


def test_a_list_of_calls() -> None:
    calls = found({})
    calls.add_list('[{"name": "A", "id": 5}, {"name": "C", "arguments": {"x": 1}, "id": "c"}]')
    assert calls.calls == [LeakedCall("A", b"{}"), LeakedCall("C", b'{"x": 1}', "c")]
    with pytest.raises(ValueError, match="no call"):
        calls.add_list("[]")


def test_line_breaks_in_a_string() -> None:
    calls = found({})
    calls.add("A", '{"x": "a\nb"}')
    assert calls.calls[0].arguments == rb'{"x":"a\nb"}'


def test_limits() -> None:
    calls = found({})
    calls.add("A", "{}", "i" * 64)
    calls.add("A", "{}", "i" * 65)
    assert [call.id for call in calls.calls] == ["i" * 64, ""]
    for _ in range(MAX_CALLS - 2):
        calls.add("A", "{}")
    with pytest.raises(ValueError, match="too many"):
        calls.add("A", "{}")
