from __future__ import annotations

import pytest

from asgi_llmgate.protocol.servers.context_window import read_prompt_count
from asgi_llmgate.protocol.servers.corrections.changes import Corrections
from asgi_llmgate.protocol.servers.corrections.table import find_corrections


def learn(status: int, error: str) -> list[Corrections]:
    return [correction.changes for correction in find_corrections(status, error)]


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
