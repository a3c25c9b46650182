from __future__ import annotations

import pytest

from asgi_llmgate.protocol.servers.context_window import read_prompt_count
from asgi_llmgate.protocol.servers.corrections import NO_CORRECTIONS, Corrections, find_corrections


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
    ("error", "limit"),
    [
        (
            "max_tokens is too large: 128000. This model supports at most 16384 completion tokens, whereas you "
            "provided 128000.",
            16384,
        ),
        ("max_tokens: 128000 > 8192, which is the maximum allowed number of output tokens", 8192),
        ("Invalid max_tokens value, the valid range of max_tokens is [1, 8192]", 8192),
        ("`max_tokens` must be less than or equal to `32768`, the maximum value for `max_tokens`", 32768),
        ("max_completion_tokens cannot exceed 4096", 4096),
    ],
)
def test_a_limit_of_output_tokens_is_remembered(error: str, limit: int) -> None:
    assert learn(400, error) == [Corrections(max_output_tokens=limit)]


@pytest.mark.parametrize(
    ("error", "window", "prompt"),
    [
        (
            "'max_tokens' or 'max_completion_tokens' is too large: 128000. This model's maximum context length is "
            "32768 tokens and your request has 1000 input tokens (128000 > 32768 - 1000).",
            32768,
            1000,
        ),
        (
            "This model's maximum context length is 32768 tokens. However, you requested 129000 tokens (1000 in the "
            "messages, 128000 in the completion). Please reduce the length of the messages or completion.",
            32768,
            1000,
        ),
        (
            "This endpoint's maximum context length is 131072 tokens. However, you requested about 150000 tokens "
            "(20000 of text input, 2000 of tool input, 128000 in the output).",
            131072,
            22000,
        ),
        (
            "You passed 1000 input tokens and requested 128000 output tokens. However, the model's context length is "
            "only 32768 tokens.",
            32768,
            1000,
        ),
    ],
    ids=["vLLM", "OpenAI", "OpenRouter", "vLLM, newer"],
)
def test_a_context_window_is_remembered_and_what_the_prompt_took_of_it(error: str, window: int, prompt: int) -> None:
    assert learn(400, error) == [Corrections(context_window=window)]
    assert read_prompt_count(error).tokens == prompt


def test_a_limit_of_images_is_remembered() -> None:
    error = '{"object":"error","message":"At most 2 image(s) may be provided in one prompt.","code":400}'
    assert learn(400, error) == [Corrections(max_images=2)]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (500, "Unknown parameter: 'stream_options'."),
        (400, "something else"),
        (400, "reasoning_effort: Input should be 'fast'"),
        (400, "Requests that stop early are not supported at this temperature."),
        (400, ""),
        (400, "This model's maximum context length is 8 tokens and your request has 9 input tokens"),
        (400, "maximum context length is 32768 tokens. However, your messages resulted in 40000 tokens."),
        (
            422,
            '{"msg":"Field required","input":{"messages":[],"stream_options":{"include_usage":true},"x":"'
            + "y" * 99
            + ' not supported"}}',
        ),
    ],
    ids=[
        "no 400",
        "another 400",
        "efforts of another kind",
        "only words",
        "no text",
        "the prompt alone is too long",
        "so it is here",
        "a quoted request",
    ],
)
def test_other_refusals_teach_nothing(status: int, error: str) -> None:
    assert learn(status, error) == []


def test_a_refusal_of_several_things_is_read_in_its_order() -> None:
    error = (
        '{"detail":[{"type":"extra_forbidden","loc":["body","stream_options"]},'
        '{"type":"extra_forbidden","loc":["body","parallel_tool_calls"]},'
        '{"loc":["body","max_tokens"],"msg":"Input should be less than or equal to 8192"}]}'
    )
    fields, limit = ("stream_options", "parallel_tool_calls"), Corrections(max_output_tokens=8192)
    assert learn(422, error) == [*(Corrections(refused_fields=frozenset({field})) for field in fields), limit]


def test_lessons_add_up_and_of_two_limits_the_smaller_counts() -> None:
    first = Corrections(
        refused_fields=frozenset({"stop"}), missing=frozenset({"images"}), max_output_tokens=4096, context_window=9999
    )
    second = Corrections(refused_fields=frozenset({"top_k"}), max_output_tokens=8192, max_images=2, efforts=("low",))
    both = Corrections(
        refused_fields=frozenset({"stop", "top_k"}),
        missing=frozenset({"images"}),
        efforts=("low",),
        max_output_tokens=4096,
        context_window=9999,
        max_images=2,
    )
    assert first.merge(second) == second.merge(first) == both
    assert both.merge(NO_CORRECTIONS) == NO_CORRECTIONS.merge(both) == both
    assert Corrections(max_tokens_field="a").merge(Corrections(max_tokens_field="b")).max_tokens_field == "b"


def test_a_complaint_about_what_has_been_corrected_is_known_again() -> None:
    corrected = Corrections(refused_fields=frozenset({"stop"}), missing=frozenset({"images"}), max_output_tokens=4096)
    assert Corrections(refused_fields=frozenset({"stop"})).repeats(corrected)
    assert Corrections(missing=frozenset({"images", "documents"})).repeats(corrected)
    assert not Corrections(refused_fields=frozenset({"top_k"}), missing=frozenset({"documents"})).repeats(corrected)
    assert not Corrections(max_output_tokens=4096).repeats(corrected), "limits come down step by step"


@pytest.mark.parametrize("limit", [1, 50, 1023, 1024, 8192])
def test_a_limit_that_no_model_has_is_for_one_call(limit: int) -> None:
    said = Corrections(
        max_output_tokens=limit, context_window=4 * limit, max_images=1, refused_fields=frozenset({"stop"})
    )
    kept = said.shareable()
    assert kept == (said if limit >= 1024 else Corrections(max_images=1, refused_fields=frozenset({"stop"})))
