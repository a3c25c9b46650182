from __future__ import annotations

from typing import Any

import pytest

from asgi_llmgate.errors import InvalidRequest
from asgi_llmgate.exchange_values import Target
from asgi_llmgate.protocol.messages.tools import MAX_KEPT, MAX_KEPT_BYTES
from asgi_llmgate.protocol.servers.dialects import DIALECTS, derive
from asgi_llmgate.protocol.translation.request import tools as written
from asgi_llmgate.protocol.translation.request.chat_request import ChatRequest, Options, to_chat

A = {"name": "A", "description": "does A", "input_schema": {"type": "object", "properties": {}}}
SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}
LONG = "mcp__" + "a" * 95
NAMED = {"type": "function", "function": {"name": "A"}}


def test_case_51_schema_hygiene_is_to_leave_schemas_alone(decode: Any, encode: Any, translate: Any) -> None:
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": {"z": {}, "a": {}},
        "required": ["z"],
    }
    told = translate(tools=[{"name": "A", "description": None, "input_schema": schema, "type": "custom"}])
    assert told.functions == [{"name": "A", "parameters": schema}]
    assert (
        b'"parameters":{"$schema":"http://json-schema.org/draft-07/schema#","type":"object","properties":{"z":{}'
        in told.chat.body
    )


@pytest.mark.parametrize("given", [{}, {"input_schema": None}], ids=["missing", "null"])
def test_case_51_a_tool_without_a_schema_takes_an_empty_object(translate: Any, given: Any) -> None:
    told = translate(tools=[{"name": "A", **given}])
    assert told.functions == [{"name": "A", "parameters": {"type": "object", "properties": {}}}]


def test_fields_of_a_tool_that_nobody_reads_are_reported(translate: Any) -> None:
    told = translate(
        tools=[{**A, "type": None, "cache_control": {}, "eager_input_streaming": True, "defer_loading": False}]
    )
    assert told.functions == [{"name": "A", "description": "does A", "parameters": A["input_schema"]}]
    assert told.dropped == {"tools[].cache_control", "tools[].eager_input_streaming"}


CLOSED = {"type": "object", "properties": {"x": {"type": "string"}}, "required": ["x"], "additionalProperties": False}


@pytest.mark.parametrize(
    ("dialect", "schema", "sent"),
    [("openai", CLOSED, True), ("openai", A["input_schema"], False), ("vllm", CLOSED, False)],
    ids=["supported", "the schema does not qualify", "not in the dialect"],
)
def test_strict_is_sent_only_where_it_will_be_taken(translate: Any, dialect: str, schema: Any, sent: bool) -> None:
    told = translate(dialect=dialect, tools=[{"name": "A", "input_schema": schema, "strict": True}])
    assert told.functions[0].get("strict", False) is sent
    assert ("tools[].strict" in told.dropped) is not sent


def test_case_50_tool_names(translate: Any) -> None:
    names = [LONG + "1", LONG + "2", "a.b/c"]
    told = translate(
        tools=[{"name": name, "input_schema": {}} for name in names],
        tool_choice={"type": "tool", "name": names[1]},
        messages=[
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": names[2], "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "r"}]},
        ],
    )
    sent = [function["name"] for function in told.functions]
    assert [told.chat.plan.names[name] for name in sent] == names
    assert told.body["tool_choice"]["function"]["name"] == sent[1]
    assert told.messages[1]["tool_calls"][0]["function"]["name"] == sent[2]


@pytest.mark.parametrize("parallel", [None, False, True])
@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ({"type": "auto"}, "auto"),
        ({"type": "any"}, "required"),
        ({"type": "none"}, "none"),
        ({"type": "tool", "name": "A"}, NAMED),
    ],
    ids=["auto", "any", "none", "tool"],
)
def test_case_52_tool_choice_set(translate: Any, choice: Any, sent: Any, parallel: bool | None) -> None:
    asked = choice if parallel is None else {**choice, "disable_parallel_tool_use": parallel}
    told = translate(tools=[A], tool_choice=asked)
    assert told.body["tool_choice"] == sent
    assert told.body.get("parallel_tool_calls") == (False if parallel else None)
    without = translate(tools=[], tool_choice=asked)
    assert without.body.keys() & {"tools", "tool_choice", "parallel_tool_calls"} == set()


@pytest.mark.parametrize(
    ("known", "choice", "sent", "dropped"),
    [
        ("required", {"type": "tool", "name": "A"}, "required", set()),
        ("required", {"type": "none"}, "none", set()),
        ("none", {"type": "any"}, None, {"tool_choice"}),
        ("none", {"type": "auto"}, "auto", set()),
        ("none", {"type": "none"}, None, {"tool_choice"}),
        ("auto", {"type": "any"}, "auto", {"tool_choice"}),
        ("auto", {"type": "none"}, "none", set()),
        ("named", {"type": "tool", "name": "B"}, None, {"tool_choice"}),
        ("named", {"type": "perhaps"}, None, {"tool_choice"}),
        ("named", {"type": "auto", "mood": "good"}, "auto", {"tool_choice.mood"}),
        ("named", "auto", None, set()),
    ],
    ids=[
        "cannot name",
        "can forbid",
        "cannot demand",
        "auto always",
        "cannot forbid",
        "can choose only",
        "can forbid, too",
        "not offered",
        "unknown",
        "more",
        "not an object",
    ],
)
def test_a_choice_that_cannot_be_said_is_said_as_far_as_it_can(
    translate: Any, known: str, choice: Any, sent: Any, dropped: set[str]
) -> None:
    told = translate(dialect=derive("generic", {"tool_choice": known}), tools=[A], tool_choice=choice)
    assert told.body.get("tool_choice") == sent
    assert told.dropped == dropped


def test_a_dialect_without_the_parallel_flag_does_not_get_it(translate: Any) -> None:
    told = translate(dialect="ollama", tools=[A], tool_choice={"type": "auto", "disable_parallel_tool_use": True})
    assert "parallel_tool_calls" not in told.body
    assert told.dropped == {"tool_choice.disable_parallel_tool_use"}


@pytest.mark.parametrize(
    "choice", [{}, {"tool_choice": {"type": "auto"}}, {"tool_choice": {"type": "tool", "name": "web_search"}}]
)
def test_case_53_server_tools_alone_are_answered_locally(translate: Any, choice: Any) -> None:
    told = translate(tools=[SEARCH], stream=True, **choice)
    assert told.chat.local_text == "Tools not available through this gateway: web_search."
    assert told.dropped == {"tools[].web_search"}
    assert told.chat.body == b""
    assert told.chat.stream is True


def test_case_53_server_tools_alone_are_dropped_where_the_settings_say_so(translate: Any) -> None:
    told = translate(tools=[SEARCH], options={"unsupported_tools": "drop"})
    assert told.chat.local_text is None
    assert "tools" not in told.body
    assert told.dropped == {"tools[].web_search"}


def test_case_53_server_tools_alone_are_refused_where_the_settings_say_so(translate: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"^tools: not available through this gateway: web_search$"):
        translate(tools=[SEARCH], options={"unsupported_tools": "reject"})


@pytest.mark.parametrize("setting", ["answer", "drop", "reject"])
def test_case_53_server_tools_among_others_are_left_out(translate: Any, setting: str) -> None:
    told = translate(
        tools=[SEARCH, A, {"type": "computer_20271231", "name": "computer"}], options={"unsupported_tools": setting}
    )
    assert [function["name"] for function in told.functions] == ["A"]
    assert told.dropped == {"tools[].web_search", "tools[].computer"}


def test_case_53_a_choice_of_a_server_tool_among_others_is_dropped(translate: Any) -> None:
    told = translate(tools=[SEARCH, A], tool_choice={"type": "tool", "name": "web_search"})
    assert "tool_choice" not in told.body
    assert told.dropped == {"tools[].web_search", "tool_choice"}


def test_a_tool_of_an_unknown_type_with_a_schema_is_a_function(translate: Any) -> None:
    assert translate(tools=[{**A, "type": "custom_20271231"}]).functions[0]["name"] == "A"


def test_a_tool_that_is_not_strict_says_nothing_of_it(translate: Any) -> None:
    told = translate(tools=[{**A, "strict": False}])
    assert told.functions == [{"name": "A", "description": "does A", "parameters": A["input_schema"]}]
    assert "tools[].strict" not in told.dropped


def test_tools_that_come_again_are_not_written_again(decode: Any) -> None:
    asked = {"tools": [{**A, "strict": True, "eager_input_streaming": True}]}
    options, target = Options(), Target("backend", "provider", "gpt-4o")

    def written_for(dialect: str) -> ChatRequest:
        request = decode(**asked)
        return to_chat(request, target=target, dialect=DIALECTS[dialect], options=options, request_id="r")

    first, again, other = map(written_for, ("openai", "openai", "vllm"))
    assert again.tools is first.tools
    assert other.tools is not first.tools
    assert again.body == first.body
    assert again.plan.tools == first.plan.tools
    assert again.dropped == first.dropped == ("tools[].eager_input_streaming", "tools[].strict")  # reported each time


def test_a_tool_of_another_name_has_its_way_back_in_each_request(translate: Any) -> None:
    call = {"type": "tool_use", "id": "t", "name": LONG, "input": {}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": "r"}
    history = [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    for messages in (history, [{"role": "user", "content": "x"}], [{"role": "user", "content": "x"}]):
        told = translate(tools=[A, {"name": LONG}], messages=messages)
        assert told.chat.plan.names[told.functions[1]["name"]] == LONG


def test_a_tool_of_the_conversation_does_not_keep_its_body(translate: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(written, "_kept", {})
    added = {"type": "tool_addition", "tool": {"definition": {"name": "B", "input_schema": A["input_schema"]}}}
    messages = [{"role": "user", "content": "x"}, {"role": "system", "content": [added]}]
    assert [each["name"] for each in translate(tools=[A], messages=messages).functions] == ["A", "B"]
    assert not written._kept


def test_what_would_be_long_is_not_kept(translate: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(written, "_kept", {})
    assert translate(tools=[{"name": "Large", "description": "x" * MAX_KEPT_BYTES}]).functions
    assert not written._kept
    monkeypatch.setattr(written, "MAX_KEPT_BYTES", 10)
    assert translate(tools=[A]).functions
    assert not written._kept


def test_only_the_newest_tools_are_kept(translate: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(written, "_kept", {})
    for number in range(MAX_KEPT + 2):
        translate(tools=[{"name": f"Tool{number}"}])
    assert len(written._kept) == MAX_KEPT
    assert not any(tool.name == "Tool0" for tools, _, _ in written._kept for tool in tools)
