from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_llmgate.protocol.servers.context_window import (
    MIN_OUTPUT_TOKENS,
    NO_PROMPT_COUNT,
    PromptCount,
    is_cut,
    output_that_fits,
    read_prompt_count,
)
from asgi_llmgate.protocol.servers.errors.actionable import overflow_message
from tests.protocol.responses import vllm_refusal


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "'max_tokens' or 'max_completion_tokens' is too large: 128000. This model's maximum context length is "
            "32768 tokens and your request has 1000 input tokens (128000 > 32768 - 1000).",
            PromptCount(1000, False, 32768, 128000),
        ),
        (
            "This model's maximum context length is 32768 tokens. However, you requested 129000 tokens (1000 in the "
            "messages, 128000 in the completion).",
            PromptCount(1000, False, 32768, 128000),
        ),
        (
            "This endpoint's maximum context length is 131072 tokens. However, you requested about 150000 tokens "
            "(20000 of text input, 2000 of tool input, 128000 in the output).",
            PromptCount(22000, False, 131072, 128000),
        ),
        (vllm_refusal(20000, 32000, 32768), PromptCount(769, True, 32768, 32000)),
        (
            "You passed 769 input tokens and requested 32000 output tokens. However, the model's context length is "
            "only 32768 tokens, resulting in a maximum input length of 768 tokens.",
            PromptCount(769, True, 32768, 32000),
        ),
        (
            "You passed 700 input tokens and requested 32768 output tokens. However, the model's context length is "
            "only 32768 tokens, resulting in a maximum input length of 0 tokens.",
            PromptCount(700, False, 32768, 32768),
        ),
        (
            "You passed 90000 input characters and requested 32000 output tokens. However, the model's context length "
            "is only 32768 tokens, resulting in a maximum input length of 768 tokens (at most 24576 characters).",
            PromptCount(769, True, 32768, 32000),
        ),
        (
            "max_tokens=128000cannot be greater than max_model_len=max_total_tokens=32768. Please request fewer",
            PromptCount(0, False, 32768, 128000),
        ),
        ("something else", NO_PROMPT_COUNT),
    ],
    ids=["vLLM, 2025", "OpenAI", "OpenRouter", "vLLM", "vLLM, passed", "all of it", "characters", "window", "nothing"],
)
def test_what_a_refusal_says(text: str, said: PromptCount) -> None:
    assert read_prompt_count(text) == said


@pytest.mark.parametrize(
    ("window", "estimate", "counted", "asked"),
    [
        (32768, 1000, NO_PROMPT_COUNT, 31668),
        (32768, 40000, NO_PROMPT_COUNT, MIN_OUTPUT_TOKENS),
        (32768, 1000, PromptCount(32000), 768),
        (32768, 1000, PromptCount(32768), 1),
        (32768, 1000, PromptCount(769, is_lower_bound=True), 31668),
        (32768, 1000, PromptCount(12768, is_lower_bound=True), 5000),
        (32768, 1000, PromptCount(30000, is_lower_bound=True), MIN_OUTPUT_TOKENS),
    ],
    ids=["guessed", "too long", "counted", "full", "as guessed", "longer than guessed", "much longer"],
)
def test_what_to_ask_for_next(window: int, estimate: int, counted: PromptCount, asked: int) -> None:
    assert output_that_fits(window, estimate, counted) == asked


@pytest.mark.parametrize(
    ("counted", "tokens"),
    [
        (NO_PROMPT_COUNT, 1000),
        (PromptCount(900), 900),
        (PromptCount(900, is_lower_bound=True), 1000),
        (PromptCount(1100, is_lower_bound=True), 1100),
    ],
)
def test_how_long_the_prompt_is_as_far_as_is_known(counted: PromptCount, tokens: int) -> None:
    assert counted.estimate(1000) == tokens


@given(
    window=st.integers(2048, 300_000),
    prompt=st.integers(1, 400_000),
    guess=st.floats(0.2, 2.0),
    asked=st.integers(1, 200_000),
)
def test_a_prompt_is_answered_or_truly_too_long(window: int, prompt: int, guess: float, asked: int) -> None:
    counted, before, output, tries = NO_PROMPT_COUNT, 0, asked, 0
    while (refusal := vllm_refusal(prompt, output, window)) and output != before:
        said = read_prompt_count(refusal)
        counted = said if said.tokens else counted
        before, output = output, min(asked, output_that_fits(window, int(prompt * guess), counted))
        tries += 1
    assert tries < 8
    if refusal:
        told = overflow_message(refusal)
        assert told is not None
        assert told.startswith("prompt is too long: ")
        assert prompt > window - max(MIN_OUTPUT_TOKENS, output)


@pytest.mark.parametrize(
    ("counted", "estimate", "expected"),
    [
        (4096, 30_000, True),
        (4095, 30_000, True),
        (2050, 7_900, True),  # ollama/ollama#17889: a window of 4,096
        (32_770, 90_000, True),  # ollama/ollama#17427: a window of 65,536
        (1_900, 9_000, True),
        (4096, 6_000, False),
        (4096, 4_100, False),
        (3_000, 30_000, False),
        (5_000, 30_000, False),
        (4_200, 30_000, False),
        (1_024, 30_000, False),
        (0, 30_000, False),
        (200_000, 600_000, False),
    ],
)
def test_a_prompt_that_was_cut_is_noticed(counted: int, estimate: int, expected: bool) -> None:
    assert is_cut(counted, estimate) is expected
