"""Servers that want the reasoning of earlier messages back, and servers that refuse it.

The client may not have it: it did not ask for thinking, or another model wrote the history.
"""

from __future__ import annotations

from typing import Any

import pytest

from asgi_llmgate.protocol.servers.dialects import derive

WANTED = [
    "thinking is enabled but reasoning_content is missing in assistant tool call message at index 1",
    "The `reasoning_content` in the thinking mode must be passed back to the API.",
    "Missing `reasoning_content` field in the assistant message at message index 112. For more information, please "
    "refer to https://api-docs.deepseek.com/guides/thinking_mode#tool-calls",
    "Error from provider (DeepSeek): reasoning_content must be sent back",
]
_EXTRA = {"loc": ["messages", 2, "assistant", "reasoning_content"], "msg": "Extra inputs are not permitted"}
REFUSED = [
    {"object": "error", "message": {"detail": [_EXTRA]}},
    "property 'messages.2.reasoning_content' is unsupported, did you mean 'role'?",
    "property 'reasoning' is unsupported",
    "The reasoning_content field must not be included in the input messages",
]
GO = {"role": "user", "content": "go"}
THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "llmgate"}


def turn(call_id: str, *before: Any) -> list[Any]:
    use = {"type": "tool_use", "id": call_id, "name": "Bash", "input": {}}
    return [
        {"role": "assistant", "content": [*before, use]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call_id, "content": "x"}]},
    ]


DONE = [{"role": "assistant", "content": [{"type": "text", "text": "done"}]}, {"role": "user", "content": "next"}]
HISTORY = [GO, *turn("a", THOUGHT), *turn("b"), *DONE, *turn("c")]


def reasoning(told: Any, name: str = "reasoning_content") -> list[str | None]:
    return [message.get(name) for message in told.messages if message["role"] == "assistant"]


@pytest.mark.parametrize("error", WANTED)
@pytest.mark.parametrize("dialect", ["generic", "llamacpp"])
def test_each_message_with_calls_gets_its_reasoning_or_a_placeholder(correct: Any, error: str, dialect: str) -> None:
    told = correct(error, messages=HISTORY, dialect=dialect)
    assert reasoning(told) == ["hm", " ", None, " "]


@pytest.mark.parametrize("error", WANTED)
def test_a_server_that_gives_the_field_another_name_gets_that(correct: Any, error: str) -> None:
    told = correct(error, messages=HISTORY, dialect="openrouter")
    assert reasoning(told, "reasoning") == ["hm", " ", None, " "]
    assert reasoning(told) == [None] * 4


@pytest.mark.parametrize("thinking", [None, {"type": "enabled", "budget_tokens": 1024}, {"type": "disabled"}])
def test_deepseek_gets_all_of_it_at_once(translate: Any, thinking: Any) -> None:
    more = {} if thinking is None else {"thinking": thinking}
    told = translate(messages=HISTORY, dialect="deepseek", max_tokens=2048, **more)
    assert reasoning(told) == ["hm", " ", None, " "]
    longer = translate(messages=[*HISTORY, *turn("d")], dialect="deepseek", max_tokens=2048, **more)
    assert longer.messages[: len(told.messages)] == told.messages


@pytest.mark.parametrize("error", REFUSED)
@pytest.mark.parametrize("column", ["reasoning_content", "reasoning"])
def test_a_server_that_refuses_reasoning_gets_none(correct: Any, error: Any, column: str) -> None:
    dialect = derive("generic", {"reasoning_history": column, "reasoning_scope": "calls"})
    told = correct(error, messages=HISTORY, dialect=dialect)
    assert reasoning(told) == reasoning(told, "reasoning") == [None] * 4


def test_calls_that_are_told_one_by_one_have_one_each(translate: Any) -> None:
    dialect = derive("deepseek", {"calls_at_once": False})
    two = [{**turn("a")[0], "content": [*turn("a")[0]["content"], *turn("b")[0]["content"]]}]
    results = [{"role": "user", "content": [*turn("a")[1]["content"], *turn("b")[1]["content"]]}]
    told = translate(messages=[GO, *two, *results], dialect=dialect)
    assert reasoning(told) == [" ", " "]


def test_after_a_correction_the_client_gets_the_text_to_keep(translate: Any) -> None:
    thinking = {"type": "adaptive", "display": "omitted"}
    dialect = derive("generic", {"reasoning_scope": "calls"})
    assert translate(messages=[GO], thinking=thinking, dialect=dialect).chat.plan.thinking
    assert not translate(messages=[GO], thinking=thinking, dialect="generic").chat.plan.thinking


@pytest.mark.parametrize("error", ["reasoning_content is long", "the tool call is missing", "must be passed back"])
def test_other_errors_change_nothing(correct: Any, translate: Any, error: str) -> None:
    assert (
        correct(error, messages=HISTORY, dialect="generic").body == translate(messages=HISTORY, dialect="generic").body
    )
