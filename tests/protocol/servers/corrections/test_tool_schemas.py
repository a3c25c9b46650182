from __future__ import annotations

from typing import Any

import pytest

from asgi_llmgate.protocol.servers.corrections.changes import NO_CORRECTIONS, Correction, Corrections, SchemaRewrite
from asgi_llmgate.protocol.servers.corrections.tool_schemas import (
    EVERY_TOOL,
    LEFT_OUT,
    SentTool,
    by_index,
    by_name,
    digest,
    next_steps,
)
from tests.protocol.refusing_server import negotiate

TOOLS = [SentTool("Bash", b"{}"), SentTool("x", b'{"a":1}')]
BASH, X = digest(b"{}"), digest(b'{"a":1}')


def steps(where: str, known: Corrections = NO_CORRECTIONS) -> list[set[tuple[str, str]]]:
    asked = Correction(Corrections(schemas=frozenset({SchemaRewrite(where, "typed")})), ())
    return [set(step.changes.schemas) for step in next_steps([asked], TOOLS, known)]


@pytest.mark.parametrize(
    ("where", "first", "refused"),
    [
        (by_name("x"), {(X, "typed")}, {X}),
        (by_index(0), {(BASH, "typed")}, {BASH}),
        (EVERY_TOOL, {(EVERY_TOOL, "typed")}, None),
        (by_name("unknown"), {(EVERY_TOOL, "typed")}, None),
        (by_index(7), {(EVERY_TOOL, "typed")}, None),
    ],
    ids=["by name", "by place", "all", "a name that is not there", "a place that is not there"],
)
def test_a_schema_is_rewritten_step_by_step(where: str, first: Any, refused: set[str] | None) -> None:
    further = [{(each, name) for each in refused} for name in ("plain", "minimal", LEFT_OUT)] if refused else []
    assert steps(where) == [first, *(further or [{(BASH, "plain"), (X, "plain")}])]


def test_what_is_known_already_is_no_step() -> None:
    known = Corrections(schemas=frozenset({SchemaRewrite(X, "typed"), SchemaRewrite(X, "plain")}))
    assert steps(by_name("x"), known) == [{(X, "minimal")}, {(X, LEFT_OUT)}]


def test_other_corrections_stay_as_they_are() -> None:
    other = Correction(Corrections(max_images=1), ())
    assert list(next_steps([other], TOOLS, NO_CORRECTIONS)) == [other]


def test_a_request_whose_only_tool_is_left_out_has_no_tools_and_no_choice() -> None:
    tool = {"name": "x", "input_schema": {"type": "object", "properties": {}}}
    asked = negotiate(
        lambda body: "tools[0].function.parameters: no" if "tools" in body else None,
        tools=[tool],
        tool_choice={"type": "any"},
    )
    assert asked.accepted
    assert asked.body.keys() == {"model", "messages", "max_tokens"}
    assert asked.dropped == {"tools[].x"}


def test_two_schemas_that_are_equal_are_corrected_together() -> None:
    tools = [{"name": name, "input_schema": {"properties": {"a": {"minLength": 1}}}} for name in ("x", "y")]

    def judge(body: dict[str, Any]) -> str | None:
        bad = ["minLength" in str(tool["function"]["parameters"]) for tool in body["tools"]]
        return f"tools[{bad.index(True)}].function.parameters: minLength" if any(bad) else None

    asked = negotiate(judge, tools=tools)
    assert asked.accepted
    assert len(asked.bodies) == 2


@pytest.mark.parametrize(
    "told",
    [
        "Unknown name \"$schema\" at 'tools[0].function_declarations[{index}].parameters': Cannot find field.",
        "tools[{index}].function.parameters: $schema",
        "Invalid schema for function '{name}': $schema is too new.",
        "Invalid JSON schema for tool {name}, tools[{index}].function.parameters: $schema",
    ],
    ids=["Gemini", "by its place", "OpenAI", "Groq"],
)
def test_a_server_that_names_one_bad_tool_after_another_gets_them_all_changed(told: str) -> None:
    """All of Claude Code's have `$schema`."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object"}
    tools = [{"name": f"t{n}", "input_schema": {**schema, "properties": {f"p{n}": {}}}} for n in range(24)]

    def judge(body: dict[str, Any]) -> str | None:
        bad = ["$schema" in str(tool["function"]["parameters"]) for tool in body["tools"]]
        return told.format(index=bad.index(True), name=f"t{bad.index(True)}") if any(bad) else None

    asked = negotiate(judge, tools=tools)
    assert asked.accepted
    assert len(asked.bodies) <= 7
    assert [tool["function"]["name"] for tool in asked.body["tools"]] == [tool["name"] for tool in tools]
    assert all(f"p{n}" in str(tool) for n, tool in enumerate(asked.body["tools"]))
