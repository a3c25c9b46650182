"""Token counts in a response, on any wire.

                     all input         of it cached                              output
    ---------------  ----------------  ----------------------------------------  -----------------
    chat             prompt_tokens     prompt_tokens_details.cached_tokens, ...  completion_tokens
    Responses        input_tokens      input_tokens_details.cached_tokens        output_tokens
    Messages         the sum of three  cache_read_, cache_creation_input_tokens  output_tokens

https://platform.openai.com/docs/api-reference/chat/object, https://platform.openai.com/docs/api-reference/responses/object,
https://platform.claude.com/docs/en/api/messages

All three include reasoning in the output.  Servers that count it on top of `completion_tokens` show that in
`total_tokens`: xAI names it, Google's OpenAI endpoint does not (router-for-me/CLIProxyAPI#5733,
envoyproxy/ai-gateway#1438, Clarifai/clarifai-python#978).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

from asgi_llmgate.exchange_values import Usage
from asgi_llmgate.protocol.rawjson.strings import DECODE_ERRORS

BYTES_PER_OUTPUT_TOKEN = 4
"""Bytes of text per token, for a response without token counts.

A prompt is estimated with another number (`token_estimate.BYTES_PER_PROMPT_TOKEN`): it is JSON and code, this is the
text that a model writes.
"""

_MAX_COUNT = 2**53
"""A larger count is a mistake of the server."""


Count: TypeAlias = Any
"""A number of tokens, which some servers send as a float or a string.  What is none of the three is 0."""

_NUMBER = re.compile(r"\s*(\d{1,16})(?:\.\d{0,16})?\s*")


class Counts(Struct, gc=False):
    """`usage` in any of the three shapes.

    Cached tokens are in the details (OpenAI), beside them (DeepSeek, Moonshot), or under Anthropic's names.  Details
    are objects; anything else that a server sends for them counts as none.
    """

    prompt_tokens: Count = None
    completion_tokens: Count = None
    total_tokens: Count = None
    prompt_tokens_details: Any = None
    completion_tokens_details: Any = None
    prompt_cache_hit_tokens: Count = None
    cached_tokens: Count = None
    cache_read_input_tokens: Count = None
    cache_creation_input_tokens: Count = None
    reasoning_tokens: Count = None
    input_tokens: Count = None
    output_tokens: Count = None
    input_tokens_details: Any = None
    output_tokens_details: Any = None


_counts_decoder = msgspec.json.Decoder(Counts)
_NOTHING: Mapping[str, Any] = MappingProxyType({})


def chat_usage(counts: Counts) -> Usage | None:
    """The usage of a chat completion; counts that are negative or absurd are 0.

    None where both sides are 0: some servers write zeros until they have counted.
    """
    usage = _usage(counts)
    return usage if usage.input or usage.output else None


def read_usage(raw: bytes) -> Usage | None:
    """The usage in the JSON of a `usage` object of any wire; None where it holds no counts."""
    try:
        counts = _counts_decoder.decode(raw)
    except DECODE_ERRORS:
        return None
    usage = _usage(counts)
    is_counted = isinstance(counts.input_tokens, int) or isinstance(counts.output_tokens, int)
    return usage if is_counted or usage.input or usage.output else None


def _usage(counts: Counts) -> Usage:
    inputs = counts.prompt_tokens_details or counts.input_tokens_details
    inputs = inputs if isinstance(inputs, dict) else _NOTHING
    outputs = counts.completion_tokens_details or counts.output_tokens_details
    outputs = outputs if isinstance(outputs, dict) else _NOTHING
    tokens = _first_count(counts.prompt_tokens, counts.input_tokens)
    output = _first_count(counts.completion_tokens, counts.output_tokens)
    read = _first_count(
        inputs.get("cached_tokens"),
        counts.prompt_cache_hit_tokens,
        counts.cached_tokens,
        counts.cache_read_input_tokens,
    )
    created = _first_count(
        inputs.get("cache_write_tokens"), inputs.get("cache_creation_tokens"), counts.cache_creation_input_tokens
    )
    reasoning = _first_count(outputs.get("reasoning_tokens"), outputs.get("thinking_tokens"), counts.reasoning_tokens)
    # Anthropic's `input_tokens` leaves cached tokens out; OpenAI's Responses have no such fields beside it.
    if counts.prompt_tokens is None and (counts.cache_read_input_tokens or counts.cache_creation_input_tokens):
        tokens += read + created
    unexplained = _first_count(counts.total_tokens) - tokens - output
    if read + created > tokens:
        tokens, read, created = _with_cached(tokens, read, created, unexplained)
    elif unexplained > 0 and (reasoning in (0, unexplained)):
        # Reasoning on top of `completion_tokens` (xAI), also where it is named nowhere (Gemini).
        return Usage(tokens, output + unexplained, read, created, reasoning=unexplained)
    elif reasoning > output and counts.total_tokens is None:
        output += reasoning  # it cannot be a part of them
    return Usage(tokens, output, read, created, reasoning=min(reasoning, output))


def _with_cached(tokens: int, read: int, created: int, unexplained: int) -> tuple[int, int, int]:
    """Input tokens of which more than all are cached: the total says whether those come on top of them, or not."""
    if unexplained >= read + created:
        return tokens + read + created, read, created
    read = min(read, tokens)
    return tokens, read, min(created, tokens - read)


def estimate_output(size: int) -> int:
    """Tokens of so many bytes that a model wrote, rounded up."""
    return -(-size // BYTES_PER_OUTPUT_TOKEN)


def read_number(value: Count) -> int | None:
    """The number in a count, without its fraction; None for what is no number."""
    if isinstance(value, str) and (found := _NUMBER.fullmatch(value[:64])):
        return int(found[1])
    return int(value) if type(value) in (int, float) and abs(value) < _MAX_COUNT else None


def _first_count(*candidates: Count) -> int:
    for count in candidates:
        if type(count) is int and 0 < count < _MAX_COUNT:
            return count
        if count and (number := read_number(count)) and number > 0:
            return number
    return 0
