"""Servers whose calls come with a signature that must come back: where it is not known, the placeholder."""

from __future__ import annotations

from typing import Any

import pytest

from asgi_llmgate.protocol.servers.dialects import derive

PLACEHOLDER = "skip_thought_signature_validator"
GOOGLE = {"google": {"thought_signature": PLACEHOLDER}}
GO = {"role": "user", "content": "go"}


def turn(*ids: str) -> list[Any]:
    uses = [{"type": "tool_use", "id": call_id, "name": "Bash", "input": {}} for call_id in ids]
    results = [{"type": "tool_result", "tool_use_id": call_id, "content": "x"} for call_id in ids]
    return [{"role": "assistant", "content": uses}, {"role": "user", "content": results}]


MISSING = (
    "Function call is missing a thought_signature in functionCall parts. This is required for tools to work correctly, "
    "and missing thought_signature may lead to degraded model performance. Additional data, function call "
    "`default_api:Bash` , position 2."
)


@pytest.mark.parametrize(
    "error",
    [
        [{"error": {"code": 400, "message": MISSING, "status": "INVALID_ARGUMENT"}}],
        {"error": {"message": MISSING}},
        "Unable to submit request because function call `bash` in the 2. content block is missing a "
        "`thought_signature`.",
        "litellm.BadRequestError: VertexAIException - Function call is missing a thought signature in its parts",
    ],
    ids=["Gemini, a list", "Gemini", "Vertex", "LiteLLM"],
)
@pytest.mark.parametrize("dialect", ["generic", "vllm"])
def test_a_refusal_adds_googles_placeholder(correct: Any, error: Any, dialect: str) -> None:
    told = correct(error, messages=[GO, *turn("a", "b"), *turn("c")], dialect=dialect)
    calls = [call for message in told.messages[1:] for call in message.get("tool_calls", [])]
    assert [call.get("extra_content") for call in calls] == [GOOGLE] * 3


def test_a_refusal_of_openrouter_adds_its_form(correct: Any) -> None:
    raw = (
        "Gemini models require OpenRouter reasoning details to be preserved in each request. Upstream error: " + MISSING
    )
    error = {"error": {"message": "Provider returned error", "code": 400, "metadata": {"raw": raw}}}
    told = correct(error, messages=[GO, *turn("a", "b")], dialect="openrouter")
    details = told.messages[1]["reasoning_details"]
    assert [(each["id"], each["data"]) for each in details] == [("a", PLACEHOLDER), ("b", PLACEHOLDER)]
    assert "extra_content" not in told.messages[1]["tool_calls"][0]


def test_a_dialect_can_say_so(translate: Any) -> None:
    told = translate(messages=[GO, *turn("a")], dialect=derive("generic", {"call_signatures": "google"}))
    assert told.messages[1]["tool_calls"][0]["extra_content"] == GOOGLE
    plain = translate(messages=[GO, *turn("a")], dialect="generic")
    assert "extra_content" not in plain.messages[1]["tool_calls"][0]
