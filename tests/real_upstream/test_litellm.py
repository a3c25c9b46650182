"""LiteLLM's proxy as an OpenAI-style model server."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import anthropic
import pytest

if TYPE_CHECKING:
    from tests.real_upstream.conftest import Gate, Server

pytestmark = pytest.mark.real_upstream

STREAM = pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
Start = Callable[..., "Gate"]


@STREAM
def test_a_mock_answer(gate: Start, litellm: Server, stream: bool) -> None:
    client = gate(litellm, "mock", dialect="generic")
    message = client.ask(stream=stream)
    assert [block.type for block in message.content] == ["text"]
    assert message.content[0].text == "Hi from LiteLLM."  # type: ignore[union-attr]
    assert (message.stop_reason, message.model) == ("end_turn", "mock")
    assert message.usage.input_tokens > 0
    assert message.usage.output_tokens > 0
    assert not client.record.get("llmgate.usage.estimated")


@STREAM
def test_a_model_behind_it(gate: Start, litellm: Server, stream: bool) -> None:
    message = gate(litellm, dialect="generic").ask(stream=stream, max_tokens=4, stop_sequences=["x"])
    assert message.stop_reason == "max_tokens"
    assert message.usage.output_tokens == 4


@STREAM
def test_tools_of_a_model_behind_it(gate: Start, litellm: Server, stream: bool) -> None:
    tool = {"name": "weather", "input_schema": {"type": "object", "properties": {}}}
    message = gate(litellm, dialect="generic").ask(
        stream=stream, tools=[tool], tool_choice={"type": "any", "disable_parallel_tool_use": True}
    )
    (call,) = [block for block in message.content if block.type == "tool_use"]
    assert (call.name, call.input, message.stop_reason) == ("weather", {}, "tool_use")


@STREAM
@pytest.mark.parametrize(
    ("model", "status", "kind", "words"),
    [
        ("throttled", 429, "rate_limit_error", "this is a mock rate limit error"),
        ("overflow", 400, "invalid_request_error", "capability_rejected: prompt_too_long"),
        ("failing", 500, "api_error", "this is a mock internal server error"),
        ("unknown", 404, "not_found_error", "model: unknown"),
    ],
)
def test_its_errors(gate: Start, litellm: Server, stream: bool, model: str, status: int, kind: str, words: str) -> None:
    with pytest.raises(anthropic.APIStatusError) as refused:
        gate(litellm, model, dialect="generic").ask(stream=stream)
    assert refused.value.status_code == status
    error = refused.value.body["error"]  # type: ignore[index]
    assert error["type"] == kind
    assert words in error["message"]


def test_an_overflow_of_the_model_behind_it_keeps_its_numbers(gate: Start, litellm: Server) -> None:
    with pytest.raises(anthropic.BadRequestError, match=r"prompt is too long: 3\d\d\d tokens > 2048 maximum"):
        gate(litellm, dialect="generic").ask(messages=[{"role": "user", "content": "x" * 3000}])


def test_our_key_is_our_trouble(gate: Start, litellm: Server) -> None:
    with pytest.raises(anthropic.APIStatusError) as refused:
        gate(litellm, "mock", dialect="generic", key="sk-wrong").ask()
    assert refused.value.status_code == 502
    assert "the gateway's own credential" in str(refused.value)
