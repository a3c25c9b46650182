"""A request of Claude Code as each vendor gets it: what differs from what a server without a row of its own gets."""

from __future__ import annotations

from typing import Any

import pytest

from asgi_llmgate.protocol.servers.dialects import DIALECTS
from asgi_llmgate.protocol.servers.vendors import VENDORS

PNG = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
LINK = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
ADD = {
    "type": "object",
    "properties": {"n": {"type": "integer", "exclusiveMinimum": 0}},
    "additionalProperties": False,
    "$schema": "http://json-schema.org/draft-07/schema#",
}


def use(call_id: str, name: str = "Bash") -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": name, "input": {"n": 1}}


def result(call_id: str, content: Any = "ok") -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call_id, "content": content}


SESSION: dict[str, Any] = {
    "stream": True,
    "max_tokens": 32000,
    "temperature": 0.5,
    "stop_sequences": ["</a>", "</b>", "</c>", "</d>", "</e>", "</f>"],
    "thinking": {"type": "enabled", "budget_tokens": 4000},
    "output_config": {"effort": "high"},
    "metadata": {"user_id": "u"},
    "system": [{"type": "text", "text": "You are an agent."}],
    "tools": [{"name": name, "description": "d", "input_schema": ADD} for name in ("Bash", "21st_magic")],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "look"}, LINK]},
        {"role": "assistant", "content": [use("toolu_01A09q90qw90lq917835lq9"), use("toolu_02A09q90qw90lq917835lq9")]},
        {
            "role": "user",
            "content": [
                result("toolu_01A09q90qw90lq917835lq9", [PNG]),
                result("toolu_02A09q90qw90lq917835lq9"),
                {"type": "text", "text": "and now?"},
            ],
        },
    ],
}


def fields(told: Any) -> dict[str, Any]:
    return {name: value for name, value in told.body.items() if name not in ("model", "messages", "tools")}


COMMON = {
    "stream": True,
    "stream_options": {"include_usage": True},
    "max_tokens": 32000,
    "temperature": 0.5,
    "stop": SESSION["stop_sequences"],
}
"""The fields of a server without a row."""

ABSENT = object()

DIFFERENCES: list[tuple[str, str, dict[str, Any]]] = [
    ("generic", "m", {}),
    ("sglang", "qwen3", {"reasoning_effort": "high"}),
    ("sglang", "openai/gpt-oss-120b", {"reasoning_effort": "high"}),
    ("lmstudio", "qwen3", {}),
    ("huggingface", "m", {"stop": SESSION["stop_sequences"][:4]}),
    ("mistral", "devstral-medium", {"stream_options": ABSENT}),
    ("gemini", "gemini-2.5-flash", {"stop": SESSION["stop_sequences"][:5], "reasoning_effort": "high"}),
    ("gemini", "gemini-3-pro", {"stop": SESSION["stop_sequences"][:5], "reasoning_effort": "high"}),
    ("groq", "llama-3.3-70b", {"stop": SESSION["stop_sequences"][:4]}),
    ("groq", "openai/gpt-oss-120b", {"stop": SESSION["stop_sequences"][:4], "reasoning_effort": "high"}),
    ("moonshot", "kimi-k2.6", {"temperature": ABSENT, "thinking": {"type": "enabled"}}),
    ("moonshot", "kimi-k3", {"temperature": ABSENT, "reasoning_effort": "high"}),
    ("moonshot", "kimi-k2.7-code", {"temperature": ABSENT}),
    ("moonshot", "moonshot-v1-128k", {}),
    ("xai", "grok-3", {}),
    ("xai", "grok-3-mini", {"stop": ABSENT, "reasoning_effort": "high"}),
    ("xai", "grok-4-latest", {"stop": ABSENT}),
    ("xai", "grok-4.6", {"stop": ABSENT, "reasoning_effort": "high"}),
    ("xai", "grok-code-fast-1", {"stop": ABSENT}),
    (
        "zhipu",
        "glm-5",
        {"stop": ["</a>"], "stream_options": ABSENT, "thinking": {"type": "enabled"}},
    ),
    ("minimax", "MiniMax-M2", {}),
    ("bedrock", "openai.gpt-oss-120b-1:0", {"reasoning_effort": "high"}),
    ("bedrock", "qwen.qwen3-coder", {}),
]


@pytest.mark.parametrize(("dialect", "model", "differences"), DIFFERENCES)
def test_the_parameters_of_a_vendor(translate: Any, dialect: str, model: str, differences: dict[str, Any]) -> None:
    told = translate(dialect=dialect, to=model, **SESSION)
    wanted = {name: value for name, value in {**COMMON, **differences}.items() if value is not ABSENT}
    assert fields(told) == wanted


def test_each_row_and_each_family_of_a_vendor_is_in_the_table() -> None:
    chosen = {(name, id(DIALECTS[name].for_model(model))) for name, model, _ in DIFFERENCES}
    for row in VENDORS:
        assert len({found for name, found in chosen if name == row.name}) >= len(row.families), row.name
    assert {row.name for row in VENDORS} < {name for name, _, _ in DIFFERENCES}


def roles(told: Any) -> list[str]:
    return [message["role"] for message in told.messages]


def test_mistral_gets_ids_of_nine_characters_and_no_user_after_a_tool(translate: Any) -> None:
    told = translate(dialect="mistral", to="devstral", **SESSION)
    calls = [call["id"] for message in told.messages for call in message.get("tool_calls", ())]
    assert len(set(calls)) == 2
    assert all(len(call) == 9 and call.isalnum() for call in calls)
    assert [message["tool_call_id"] for message in told.messages if message["role"] == "tool"] == calls
    assert ("tool", "user") not in zip(roles(told), roles(told)[1:], strict=False)
    prefilled = translate(dialect="mistral", to="devstral", messages=[
        {"role": "user", "content": "a"}, {"role": "assistant", "content": "{"},
    ])  # fmt: skip
    assert prefilled.messages[-1] == {"role": "assistant", "content": "{", "prefix": True}


def test_gemini_gets_signatures_its_own_kind_of_schema_and_images_by_value(translate: Any) -> None:
    told = translate(dialect="gemini", to="gemini-3-pro", **SESSION)
    calls = [call for message in told.messages for call in message.get("tool_calls", ())]
    # Google asks for the first of parallel calls; the placeholder is accepted at each.
    assert all(call["extra_content"]["google"]["thought_signature"] for call in calls)
    assert told.functions[0]["parameters"]["properties"]["n"].keys() == {"type", "minimum"}
    assert "$schema" not in told.functions[0]["parameters"]
    shown = [part for message in told.messages if isinstance(message["content"], list) for part in message["content"]]
    assert [part["image_url"]["url"][:10] for part in shown if part["type"] == "image_url"] == ["data:image"]


def test_kimi_gets_reasoning_for_each_call_and_names_that_begin_with_a_letter(translate: Any) -> None:
    told = translate(dialect="moonshot", to="kimi-k2.6", **SESSION)
    assert all(message["reasoning_content"] for message in told.messages if message.get("tool_calls"))
    assert all(function["name"][0].isalpha() for function in told.functions)
    assert told.chat.plan.names
    plain = translate(dialect="moonshot", to="moonshot-v1-128k", **SESSION)
    assert all("reasoning_content" not in message for message in plain.messages)


@pytest.mark.parametrize(
    ("dialect", "model", "sent", "thinks"),
    [
        ("moonshot", "kimi-k2.6", "required", {"thinking": {"type": "disabled"}}),
        ("moonshot", "kimi-k3", "auto", {"reasoning_effort": "high"}),
        ("zhipu", "glm-5", "auto", {"thinking": {"type": "enabled"}}),
        ("lmstudio", "qwen3", "required", {}),
        ("groq", "llama-3.3-70b", "required", {}),
    ],
)
def test_a_demanded_call(translate: Any, dialect: str, model: str, sent: str, thinks: dict[str, Any]) -> None:
    told = translate(dialect=dialect, to=model, **{**SESSION, "tool_choice": {"type": "any"}})
    assert told.body.get("tool_choice") == sent
    assert thinks.items() <= told.body.items()


@pytest.mark.parametrize(
    ("dialect", "model", "format_type"),
    [
        ("gemini", "gemini-3-pro", "json_schema"),
        ("mistral", "devstral", "json_schema"),
        ("moonshot", "kimi-k2.6", "json_object"),
        ("zhipu", "glm-5", "json_object"),
        ("huggingface", "m", None),
    ],
)
def test_the_format_of_the_response(translate: Any, dialect: str, model: str, format_type: str | None) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    told = translate(dialect=dialect, to=model, output_config={"format": {"type": "json_schema", "schema": schema}})
    assert told.body.get("response_format", {}).get("type") == format_type


def test_groq_gets_at_most_128_tools(translate: Any) -> None:
    told = translate(
        dialect="groq", to="m", tools=[{"name": f"t{n}", "input_schema": {"type": "object"}} for n in range(150)]
    )
    assert len(told.functions) == 128


def test_lm_studio_gets_no_null(translate: Any) -> None:
    told = translate(dialect="lmstudio", to="m", **SESSION)
    assert all(message["content"] is not None for message in told.messages)


def test_the_text_of_minimax_has_its_thinking_in_tags(translate: Any) -> None:
    assert translate(dialect="minimax", to="MiniMax-M2", **SESSION).chat.plan.think_tags


def test_bedrocks_open_models_see_no_images(translate: Any) -> None:
    told = translate(dialect="bedrock", to="openai.gpt-oss-20b-1:0", **SESSION)
    assert "messages[].content[].image" in told.dropped
