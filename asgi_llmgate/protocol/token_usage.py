"""Token counts in a response, on any wire.

                     all input         of it cached                              output
    ---------------  ----------------  ----------------------------------------  -----------------
    chat             prompt_tokens     prompt_tokens_details.cached_tokens, ...  completion_tokens
    Responses        input_tokens      input_tokens_details.cached_tokens        output_tokens
    Messages         the sum of three  cache_read_, cache_creation_input_tokens  output_tokens

https://platform.openai.com/docs/api-reference/chat/object, https://platform.openai.com/docs/api-reference/responses/object,
https://platform.claude.com/docs/en/api/messages
"""

from __future__ import annotations

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


class PromptDetails(Struct, gc=False):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_creation_tokens: int | None = None


class CompletionDetails(Struct, gc=False):
    reasoning_tokens: int | None = None


class ChatCounts(Struct, gc=False):
    """`usage` of chat completions.  Cached tokens are in the details (OpenAI), beside them (DeepSeek, Moonshot), or
    under Anthropic's names."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
    prompt_cache_hit_tokens: int | None = None
    cached_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None


class _InputDetails(Struct, gc=False):
    cached_tokens: int | None = None


class _OutputDetails(Struct, gc=False):
    reasoning_tokens: int | None = None
    thinking_tokens: int | None = None


class _Counts(ChatCounts, gc=False):
    """`usage` in any of the three shapes."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: _InputDetails | None = None
    output_tokens_details: _OutputDetails | None = None


_counts_decoder = msgspec.json.Decoder(_Counts)


def chat_usage(counts: ChatCounts) -> Usage | None:
    """The usage of a chat completion; counts that are negative or absurd are 0.

    None where both sides are 0: some servers write zeros until they have counted.
    """
    details = counts.prompt_tokens_details or PromptDetails()
    usage = Usage(
        input=_first_count(counts.prompt_tokens),
        output=_first_count(counts.completion_tokens),
        cache_read=_first_count(
            details.cached_tokens,
            counts.prompt_cache_hit_tokens,
            counts.cached_tokens,
            counts.cache_read_input_tokens,
        ),
        cache_creation=_first_count(
            details.cache_write_tokens,
            details.cache_creation_tokens,
            counts.cache_creation_input_tokens,
        ),
        reasoning=_first_count((counts.completion_tokens_details or CompletionDetails()).reasoning_tokens),
    )
    return usage if usage.input or usage.output else None


def read_usage(raw: bytes) -> Usage | None:
    """The usage in the JSON of a `usage` object of any wire; None where it holds no counts."""
    try:
        counts = _counts_decoder.decode(raw)
    except DECODE_ERRORS:
        return None
    if counts.input_tokens is None and counts.output_tokens is None:
        return chat_usage(counts)
    input_details = counts.input_tokens_details or _InputDetails()
    output_details = counts.output_tokens_details or _OutputDetails()
    # Anthropic's `input_tokens` leaves cached tokens out; OpenAI's Responses have no such fields beside it.
    read = _at_least_zero(counts.cache_read_input_tokens)
    created = _at_least_zero(counts.cache_creation_input_tokens)
    return Usage(
        input=_at_least_zero(counts.input_tokens) + read + created,
        output=_at_least_zero(counts.output_tokens),
        cache_read=read or _at_least_zero(input_details.cached_tokens),
        cache_creation=created,
        reasoning=_at_least_zero(output_details.reasoning_tokens or output_details.thinking_tokens),
    )


def estimate_output(size: int) -> int:
    """Tokens of so many bytes that a model wrote, rounded up."""
    return -(-size // BYTES_PER_OUTPUT_TOKEN)


def _first_count(*candidates: int | None) -> int:
    for count in candidates:
        if count and 0 < count < _MAX_COUNT:
            return count
    return 0


def _at_least_zero(count: int | None) -> int:
    return max(0, count or 0)
