from __future__ import annotations

import json
from typing import Any

import pytest

from asgi_llmgate.protocol.servers.columns import LEAKED_CALL_FORMATS
from asgi_llmgate.protocol.servers.dialects import derive
from asgi_llmgate.protocol.translation.request import leaked_calls

TOOLS = [{"name": "Bash", "input_schema": {"type": "object", "properties": {"command": {"type": "string"}}}}]


@pytest.mark.parametrize(
    ("columns", "formats"),
    [
        ({}, frozenset()),
        ({"leaked_calls": ["all"]}, LEAKED_CALL_FORMATS),
        ({"leaked_calls": ["kimi", "glm"]}, {"kimi", "glm"}),
    ],
)
def test_the_column(translate: Any, columns: Any, formats: Any) -> None:
    plan = translate(dialect=derive("generic", columns), tools=TOOLS).chat.plan
    assert plan.leaked_calls == formats
    [declared] = json.loads(plan.tools)
    assert declared["function"]["name"] == "Bash"
    assert ("parameters" in declared["function"]) == bool(formats)  # kept only where something reads them
    assert plan.channels == ("all" in formats)


@pytest.mark.parametrize("name", ["vllm", "ollama", "llamacpp"])
def test_on_for_servers_that_have_such_reports_and_off_by_the_settings(translate: Any, name: str) -> None:
    assert translate(dialect=name, tools=TOOLS).chat.plan.leaked_calls == LEAKED_CALL_FORMATS
    plan = translate(dialect=derive(name, {"leaked_calls": []}), tools=TOOLS).chat.plan
    assert plan.leaked_calls == frozenset()
    assert not plan.channels


FORMAT = {"type": "json_schema", "schema": {"type": "object", "properties": {}}}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"tools": []},
        {"tools": TOOLS, "tool_choice": {"type": "none"}},
        {"tools": TOOLS, "output_config": {"format": FORMAT}},
        {"tools": TOOLS, "output_format": FORMAT},
        {"tools": TOOLS, "prefill": "```json\n"},
        {"tools": TOOLS, "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "```"}]},
        {"tools": [{**TOOLS[0], "description": "x" * 2**20}]},
    ],
)
def test_where_nothing_is_looked_for(translate: Any, fields: Any) -> None:
    plan = translate(dialect="vllm", **fields).chat.plan
    assert plan.leaked_calls == frozenset()
    assert plan.channels


def test_names_that_are_too_long_together_are_not_kept(translate: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaked_calls, "MAX_TOOLS", 20)
    assert translate(dialect="generic", tools=TOOLS).chat.plan.tools == b""


def test_names_that_were_changed(translate: Any) -> None:
    name = "mcp__" + "a" * 95
    plan = translate(dialect="vllm", tools=[{**TOOLS[0], "name": name}]).chat.plan
    sent = json.loads(plan.tools)[0]["function"]["name"]
    assert sent != name
    assert plan.names[sent] == name
