from __future__ import annotations

from typing import Any

import pytest

from asgi_llmgate.protocol.servers.corrections.changes import Corrections
from asgi_llmgate.protocol.servers.dialects import derive

A = {"name": "A", "input_schema": {"type": "object"}}
ADAPTIVE = {"type": "adaptive"}
DISABLED = {"type": "disabled"}
FIELDS = {"reasoning_effort", "reasoning", "chat_template_kwargs", "thinking"}


def budget(tokens: int) -> dict[str, Any]:
    return {"type": "enabled", "budget_tokens": tokens}


def effort(word: Any) -> dict[str, Any]:
    return {"output_config": {"effort": word}}


@pytest.mark.parametrize(
    ("dialect", "model", "fields", "sent"),
    [
        ("openai", "gpt-5", {"thinking": budget(1024)}, {"reasoning_effort": "low"}),
        ("openai", "gpt-5", {"thinking": budget(8000)}, {"reasoning_effort": "medium"}),
        ("openai", "gpt-5", {"thinking": budget(31999)}, {"reasoning_effort": "high"}),
        ("openai", "gpt-5", {"thinking": {"type": "enabled"}}, {"reasoning_effort": "low"}),
        ("openai", "gpt-5", {"thinking": ADAPTIVE}, {}),
        ("openai", "gpt-5", {"thinking": {"type": "between_tools"}}, {}),
        ("openai", "gpt-5", {}, {}),
        ("openai", "gpt-5", {"thinking": ADAPTIVE, **effort("medium")}, {"reasoning_effort": "medium"}),
        ("openai", "gpt-5", effort("max"), {"reasoning_effort": "high"}),
        ("openai", "gpt-5.2", effort("max"), {"reasoning_effort": "xhigh"}),
        ("openai", "gpt-5", {"thinking": budget(31999), **effort("low")}, {"reasoning_effort": "low"}),
        ("openai", "gpt-5", {"thinking": DISABLED}, {"reasoning_effort": "minimal"}),
        ("openai", "gpt-5.1", {"thinking": DISABLED, **effort("high")}, {"reasoning_effort": "none"}),
        ("openai", "o3", {"thinking": DISABLED}, {"reasoning_effort": "low"}),
        ("openai", "gpt-5.5", {**effort("high"), "tools": [A]}, {"reasoning_effort": "none"}),
        ("openai", "gpt-5.5", {"tools": [A]}, {"reasoning_effort": "none"}),
        ("openai", "gpt-5.5", effort("high"), {"reasoning_effort": "high"}),
        ("openai", "gpt-5.2", {**effort("high"), "tools": [A]}, {"reasoning_effort": "high"}),
        ("ollama", "qwen3", {"thinking": DISABLED}, {"reasoning_effort": "none"}),
        ("ollama", "qwen3", effort("xhigh"), {"reasoning_effort": "high"}),
        ("openrouter", "x/y", {"thinking": budget(2000)}, {"reasoning": {"max_tokens": 2000}}),
        ("openrouter", "x/y", {"thinking": budget(2000), **effort("high")}, {"reasoning": {"effort": "high"}}),
        ("openrouter", "x/y", {"thinking": DISABLED}, {"reasoning": {"effort": "none"}}),
        ("openrouter", "x/y", {"thinking": ADAPTIVE}, {}),
        ("vllm", "qwen3", {"thinking": DISABLED}, {"reasoning_effort": "none"}),
        ("vllm", "qwen3", {"thinking": budget(2000)}, {"reasoning_effort": "low"}),
        ("vllm", "openai/gpt-oss-120b", {"thinking": DISABLED}, {"reasoning_effort": "low"}),
        ("llamacpp", "qwen3", {"thinking": DISABLED}, {"chat_template_kwargs": {"enable_thinking": False}}),
        ("llamacpp", "qwen3", {"thinking": budget(2000)}, {"chat_template_kwargs": {"enable_thinking": True}}),
        ("llamacpp", "qwen3", {"thinking": ADAPTIVE, **effort("low")}, {}),
        ("deepseek", "deepseek-chat", {"thinking": DISABLED}, {"thinking": {"type": "disabled"}}),
        ("deepseek", "deepseek-chat", {"thinking": budget(2000)}, {"thinking": {"type": "enabled"}}),
        ("deepseek", "deepseek-chat", {"thinking": ADAPTIVE}, {}),
    ],
)
def test_thinking_is_asked_for_in_the_dialects_way(
    translate: Any, dialect: str, model: str, fields: Any, sent: Any
) -> None:
    told = translate(dialect=dialect, to=model, **fields)
    assert {name: told.body[name] for name in FIELDS & told.body.keys()} == sent
    assert not told.dropped


@pytest.mark.parametrize(
    ("dialect", "model", "fields", "sent"),
    [
        ("vllm", "qwen3", {"thinking": DISABLED}, "low"),
        ("vllm", "qwen3", effort("xhigh"), "medium"),
        ("openai", "gpt-5.5", {"tools": [A]}, "low"),
    ],
)
def test_what_the_server_has_said_of_its_efforts_holds(
    translate: Any, dialect: str, model: str, fields: Any, sent: str
) -> None:
    corrections = Corrections(efforts=("low", "medium"))
    assert (
        translate(dialect=dialect, to=model, more={"corrections": corrections}, **fields).body["reasoning_effort"]
        == sent
    )


@pytest.mark.parametrize(
    ("fields", "dropped"),
    [
        ({"thinking": DISABLED}, {"thinking"}),
        ({**effort("high")}, {"output_config.effort"}),
        ({"thinking": ADAPTIVE, **effort("high")}, {"thinking", "output_config.effort"}),
    ],
)
def test_a_model_that_cannot_be_told_is_not_and_it_is_reported(translate: Any, fields: Any, dropped: set[str]) -> None:
    told = translate(dialect="generic", **fields)
    assert not FIELDS & told.body.keys()
    assert told.dropped == dropped


@pytest.mark.parametrize(
    ("fields", "dropped"),
    [
        ({"thinking": 5}, {"thinking"}),
        ({"thinking": {"type": "telepathy"}}, {"thinking"}),
        ({"thinking": {**ADAPTIVE, "block_binding": {}}}, {"thinking.block_binding"}),
        (effort("ultra"), {"output_config.effort"}),
        (effort(5), {"output_config.effort"}),
        ({"output_config": 5}, set()),
        ({"output_config": {"effort": None}}, set()),
    ],
)
def test_what_makes_no_sense_is_left_out_and_reported(translate: Any, fields: Any, dropped: set[str]) -> None:
    told = translate(to="gpt-5", **fields)
    assert not FIELDS & told.body.keys()
    assert told.dropped == dropped


def test_a_budget_that_is_no_number_is_the_least(translate: Any) -> None:
    assert (
        translate(to="gpt-5", thinking={"type": "enabled", "budget_tokens": "many"}).body["reasoning_effort"] == "low"
    )


def test_the_effort_of_the_last_system_message_holds(translate: Any) -> None:
    messages = [
        {"role": "user", "content": "a"},
        {"role": "system", "content": "b", "output_config": {"effort": "high"}},
        {"role": "system", "output_config": {"effort": "medium"}},
        {"role": "system", "content": "c", "output_config": {}},
        {"role": "user", "content": "d"},
    ]
    assert translate(to="gpt-5", messages=messages, **effort("low")).body["reasoning_effort"] == "medium"


OMITTED = {**ADAPTIVE, "display": "omitted"}


@pytest.mark.parametrize(
    ("dialect", "thinking", "shown"),
    [
        ("openai", None, False),
        ("openai", DISABLED, False),
        ("openai", ADAPTIVE, True),
        ("openai", OMITTED, False),
        ("deepseek", OMITTED, True),
        ("deepseek", DISABLED, False),
    ],
)
def test_reasoning_is_shown_when_asked_for_or_needed_back(
    translate: Any, dialect: str, thinking: Any, shown: bool
) -> None:
    told = translate(dialect=dialect, thinking=thinking)
    assert told.chat.plan.thinking is shown


def test_think_tags_are_a_setting_of_the_backend(translate: Any) -> None:
    assert translate(dialect=derive("vllm", {"think_tags": True})).chat.plan.think_tags is True
    assert translate(dialect="vllm").chat.plan.think_tags is False
