from __future__ import annotations

import json
from typing import Any

import pytest

from asgi_llmgate.exchange_values import Usage
from asgi_llmgate.protocol.chat.chunks import read_chunk
from asgi_llmgate.protocol.token_usage import chat_usage, estimate_output, read_usage

CHAT = {"prompt_tokens": 100, "completion_tokens": 20, "prompt_tokens_details": {"cached_tokens": 60}}
RESPONSES = {
    "input_tokens": 100,
    "input_tokens_details": {"cached_tokens": 60},
    "output_tokens": 20,
    "output_tokens_details": {"reasoning_tokens": 5},
}
MESSAGES = {
    "input_tokens": 30,
    "cache_read_input_tokens": 60,
    "cache_creation_input_tokens": 10,
    "output_tokens": 20,
    "output_tokens_details": {"thinking_tokens": 5},
}


@pytest.mark.parametrize(
    ("counts", "usage"),
    [
        (CHAT, Usage(input=100, output=20, cache_read=60)),
        (RESPONSES, Usage(input=100, output=20, cache_read=60, reasoning=5)),
        (MESSAGES, Usage(input=100, output=20, cache_read=60, cache_creation=10, reasoning=5)),
        ({"prompt_tokens": 12, "total_tokens": 12}, Usage(input=12)),
        ({"input_tokens": 0, "output_tokens": 4}, Usage(output=4)),
        ({"input_tokens": -3, "output_tokens": None}, Usage()),
        ({}, None),
        ("many", None),
        ({"input_tokens": "many"}, None),
    ],
    ids=["chat", "Responses", "Messages", "embeddings", "a delta", "nonsense", "nothing", "no object", "no number"],
)
def test_counts_are_read_in_any_shape(counts: Any, usage: Usage | None) -> None:
    assert read_usage(json.dumps(counts).encode()) == usage


@pytest.mark.parametrize(
    ("counts", "usage"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 3}, Usage(9, 3)),
        ({"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 4}}, Usage(9, cache_read=4)),
        ({"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": None}}, Usage(9)),
        ({"prompt_tokens": 9, "prompt_tokens_details": {"cache_creation_tokens": 2}}, Usage(9, cache_creation=2)),
        ({"prompt_tokens": 9, "prompt_cache_hit_tokens": 4}, Usage(9, cache_read=4)),
        ({"prompt_tokens": 9, "cached_tokens": 4}, Usage(9, cache_read=4)),
        (
            {"prompt_tokens": 9, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 1},
            Usage(9, cache_read=4, cache_creation=1),
        ),
        ({"completion_tokens": 3, "completion_tokens_details": {"reasoning_tokens": 2}}, Usage(0, 3, reasoning=2)),
        ({"prompt_tokens": -1, "completion_tokens": 3}, Usage(0, 3)),
        ({"prompt_tokens": 10**30, "completion_tokens": 3}, Usage(0, 3)),
        ({"prompt_tokens": 0, "completion_tokens": 0}, None),
        ({}, None),
    ],
    ids=[
        "OpenAI",
        "cached",
        "null detail",
        "written",
        "DeepSeek",
        "Moonshot",
        "Anthropic's names",
        "reasoning",
        "negative",
        "absurd",
        "zeros",
        "empty",
    ],
)
def test_the_counts_of_a_chat_completion_are_read_from_any_field(counts: dict[str, Any], usage: Usage | None) -> None:
    chunk = read_chunk(json.dumps({"usage": counts}).encode())
    assert chunk.usage is not None
    assert chat_usage(chunk.usage) == usage


def test_an_estimate_is_rounded_up() -> None:
    assert [estimate_output(size) for size in (0, 1, 4, 5)] == [0, 1, 1, 2]
