from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import Raw

from asgi_llmgate.errors import Broken
from asgi_llmgate.exchange import Usage
from asgi_llmgate.protocol.openai import is_given, read_chunk, usage_of


@pytest.mark.parametrize(
    ("body", "gone"),
    [
        ({"id": 7}, lambda chunk: chunk.id is None),
        ({"model": ["x"]}, lambda chunk: chunk.model is None),
        ({"usage": "none"}, lambda chunk: chunk.usage is None),
        ({"usage": {"prompt_tokens": 1.5, "completion_tokens": 2}}, lambda chunk: chunk.usage.completion_tokens == 2),
        ({"usage": {"prompt_tokens_details": []}}, lambda chunk: chunk.usage.prompt_tokens_details is None),
        ({"id": 7, "model": 8, "x": "\ud83d"}, lambda chunk: chunk.model is None),
    ],
)
def test_a_field_of_the_wrong_type_is_missing_and_the_rest_is_read(body: dict[str, Any], gone: Any) -> None:
    good = {"choices": [{"index": "0", "delta": {"content": "Hi", "tool_calls": "none"}}, 7]}
    chunk = read_chunk(json.dumps(good | body).encode())
    assert gone(chunk)
    assert chunk.choices is not None
    assert chunk.choices[0].index is None
    assert chunk.choices[0].delta is not None
    assert bytes(chunk.choices[0].delta.content) == b'"Hi"'


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"7",
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"choices":[%b1]}' % (b"1," * 99),
    ],
    ids=["nothing", "half", "list", "null", "number", "too deep", "too many mistakes"],
)
def test_what_is_no_chat_completion_is_broken(data: bytes) -> None:
    with pytest.raises(Broken):
        read_chunk(data)


@pytest.mark.parametrize("error", [b"", b"null", b"{}", b'""', b"false"])
def test_an_empty_error_is_none(error: bytes) -> None:
    assert not is_given(Raw(error))


def test_an_error_is_given() -> None:
    assert is_given(Raw(b'"no"'))


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
def test_counts_are_read_wherever_a_server_puts_them(counts: dict[str, Any], usage: Usage | None) -> None:
    chunk = read_chunk(json.dumps({"usage": counts}).encode())
    assert chunk.usage is not None
    assert usage_of(chunk.usage) == usage
