from __future__ import annotations

import pytest

from asgi_llmgate.protocol.servers.corrections.changes import Corrections
from asgi_llmgate.protocol.servers.corrections.table import FORWARDED_ROWS, find_corrections


def learn(status: int, error: str) -> list[Corrections]:
    return [correction.changes for correction in find_corrections(status, error)]


@pytest.mark.parametrize(
    ("status", "error", "refused"),
    [
        (400, '{"error":{"message":"Unrecognized request argument supplied: stream_options"}}', "stream_options"),
        (400, "Unknown parameter: 'stream_options'.", "stream_options"),
        (
            422,
            '{"detail":[{"type":"extra_forbidden","loc":["body","stream_options"],"msg":"Extra inputs"}]}',
            "stream_options",
        ),
        (400, "Unsupported parameter: 'parallel_tool_calls' is not supported with this model.", "parallel_tool_calls"),
        (400, "Unsupported value: 'reasoning_effort' does not support 'none' with this model.", "reasoning_effort"),
        (
            400,
            "Unsupported value: 'temperature' does not support 0.5 with this model. Only the default (1) value is "
            "supported.",
            "temperature",
        ),
        (400, "Unsupported parameter: 'top_p' is not supported with this model.", "top_p"),
        (400, "Unsupported parameter: 'stop' is not supported with this model.", "stop"),
        (400, '"qwen3-coder" does not support thinking', "reasoning_effort"),
        (400, "chat_template is not supported for Mistral tokenizers.", "chat_template_kwargs"),
        (400, "Reasoning is mandatory for this endpoint and cannot be disabled.", "reasoning"),
    ],
)
def test_a_field_that_an_upstream_refuses_is_remembered(status: int, error: str, refused: str) -> None:
    assert set(learn(status, error)) == {Corrections(refused_fields=frozenset({refused}))}


@pytest.mark.parametrize(
    ("error", "efforts"),
    [
        (
            "Unsupported value: 'reasoning_effort' does not support 'none' with this model. Supported values are: "
            "'minimal', 'low', 'medium', and 'high'.",
            ("minimal", "low", "medium", "high"),
        ),
        (
            "[{'type': 'literal_error', 'loc': ('body', 'reasoning_effort'), 'msg': \"Input should be 'low', 'medium' "
            "or 'high'\", 'input': 'none'}]",
            ("low", "medium", "high"),
        ),
    ],
    ids=["OpenAI", "vLLM, older"],
)
def test_the_efforts_that_a_model_knows_are_remembered(error: str, efforts: tuple[str, ...]) -> None:
    assert learn(400, error) == [Corrections(efforts=efforts)]


def test_the_field_that_a_model_wants_instead_is_remembered() -> None:
    refusal = (
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    )
    assert learn(400, refusal) == [Corrections(max_tokens_field="max_completion_tokens")]


@pytest.mark.parametrize(
    "text",
    [
        "safeguards: Extra inputs are not permitted",
        "Unknown parameter: 'safeguards'.",
        "[{'type': 'extra_forbidden', 'loc': ('body', 'safeguards'), 'msg': 'Extra inputs are not permitted'}]",
        "Unexpected value(s) `dangerous-tool-use-2026-09-03` for the `anthropic-beta` header.",
        "invalid beta flag: dangerous-tool-use-2026-09-03",
    ],
)
def test_a_server_of_the_clients_wire_does_not_know_safeguards(text: str) -> None:
    [correction] = find_corrections(400, text, FORWARDED_ROWS)
    assert correction.changes == Corrections(refused_fields=frozenset({"safeguards"}))
    assert find_corrections(429, text, FORWARDED_ROWS) == ()


@pytest.mark.parametrize("text", ["temperature: not supported", "safeguards are in place", ""])
def test_other_refusals_of_such_a_server_correct_nothing(text: str) -> None:
    assert find_corrections(400, text, FORWARDED_ROWS) == ()
