"""The answer side of OpenAI's wire: chat completion chunks, whole chat completions, and what servers make of them.

https://platform.openai.com/docs/api-reference/chat-streaming and .../chat/object are the standard; the rest was found
at vLLM, SGLang, Ollama, llama.cpp, DeepSeek, OpenRouter, Mistral, Moonshot and Azure.  A chunk and a completion are
one shape: what a chunk calls `delta` a completion calls `message`.

Every field may be missing or null, and a field of the wrong type is taken as missing: a server that writes a float
where a count belongs has still answered.  Values that are copied, or that come in several types, stay `msgspec.Raw`.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec import Raw, Struct

from asgi_llmgate.errors import Broken
from asgi_llmgate.exchange import Usage
from asgi_llmgate.protocol.rawjson import arrays
from asgi_llmgate.protocol.rawjson.strings import DECODE_ERRORS, is_utf8, parse_or_none, repair

_ABSENT = Raw(b"")


class Function(Struct, gc=False):
    name: str | None = None
    arguments: Raw = _ABSENT
    """A string that holds JSON, as a rule; some servers send the object itself."""


class ToolCall(Struct, gc=False):
    index: int | None = None
    id: str | None = None
    function: Function | None = None


class Delta(Struct, gc=False):
    """What one chunk adds, or the whole message.  `content` is a string or a list of parts; the reasoning has three
    names (DeepSeek and SGLang; vLLM, Ollama and OpenRouter; OpenRouter again), of which a server may use two for the
    same text."""

    content: Raw = _ABSENT
    reasoning_content: Raw = _ABSENT
    reasoning: Raw = _ABSENT
    reasoning_details: Raw = _ABSENT
    refusal: Raw = _ABSENT
    tool_calls: list[ToolCall] | None = None
    function_call: Function | None = None


class PromptDetails(Struct, gc=False):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_creation_tokens: int | None = None


class CompletionDetails(Struct, gc=False):
    reasoning_tokens: int | None = None


class Counts(Struct, gc=False):
    """`usage`.  The cache is counted in the details (OpenAI), beside them (DeepSeek, Moonshot), or in Anthropic's
    names."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
    prompt_cache_hit_tokens: int | None = None
    cached_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None


class Choice(Struct, gc=False):
    index: int | None = None
    delta: Delta | None = None
    message: Delta | None = None
    finish_reason: str | None = None
    stop_reason: Any = None
    """vLLM: the stop string that matched, or the id of a token."""
    matched_stop: Any = None
    """SGLang's name for it."""
    usage: Counts | None = None
    """Moonshot counts here."""
    error: Raw = _ABSENT
    """OpenRouter, with `finish_reason: error`."""


class Chunk(Struct, gc=False):
    id: str | None = None
    model: str | None = None
    object: str | None = None
    choices: list[Choice] | None = None
    usage: Counts | None = None
    error: Raw = _ABSENT


class _DeltaOutline(Struct, gc=False):
    tool_calls: Raw = _ABSENT


class _ChoiceOutline(Struct, gc=False):
    delta: _DeltaOutline | None = None
    message: _DeltaOutline | None = None


class _Outline(Struct, gc=False):
    choices: Raw = _ABSENT


_decoder = msgspec.json.Decoder(Chunk)
_outline = msgspec.json.Decoder(_Outline)
_choice_outline = msgspec.json.Decoder(_ChoiceOutline)

_MISTAKES = 32
"""Mistyped fields that one event may have; more is a server that speaks something else."""

_MENDED = 2**20
"""Bytes of an event up to which they are looked for: each is found by reading it all again."""

_LARGEST_COUNT = 2**53

_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")


def read_chunk(data: bytes) -> Chunk:
    """A chunk or a whole completion.  Raises `errors.Broken` for what is no JSON object."""
    if not is_utf8(data):
        data = repair(data)
    try:
        return _strict(data)
    except DECODE_ERRORS:
        return _tolerant(repair(data))


def _strict(data: bytes) -> Chunk:
    if len(data) > arrays.UNCHECKED_SIZE:
        choices = bytes(_outline.decode(data).choices)
        for choice in arrays.read_elements(choices) if choices.startswith(b"[") else ():
            outline = _choice_outline.decode(choice)
            for delta in (outline.delta, outline.message):
                if delta is not None:
                    arrays.check_length(bytes(delta.tool_calls))
    return _decoder.decode(data)


def _tolerant(data: bytes) -> Chunk:
    """The same without its mistyped fields: the decoder names the first one, it is taken out, and we look again."""
    if len(data) > _MENDED:
        try:
            return _strict(data)
        except DECODE_ERRORS:
            raise _not_a_completion() from None
    value = parse_or_none(data)
    if isinstance(value, dict):
        for _ in range(min(_MISTAKES, 2 + _MENDED // len(data))):
            try:
                return _decoder.decode(msgspec.json.encode(value))
            except msgspec.ValidationError as error:
                _remove(value, str(error))
            except DECODE_ERRORS:
                break
    raise _not_a_completion()


def _not_a_completion() -> Broken:
    return Broken("the model server sent something that is not a chat completion")


def _remove(value: Any, complaint: str) -> None:
    """Take out the field that a message like ``Expected `int`, got `str` - at `$.choices[0].index` `` ends with."""
    path = [name or int(number) for name, number in _STEP.findall(complaint.rpartition("`$")[2])]
    for step in path[:-1]:
        value = value[step]
    del value[path[-1]]


def is_given(error: Raw) -> bool:
    """Whether an `error` field says anything: some servers write an empty one into every answer."""
    return bytes(error) not in (b"", b"null", b"{}", b'""', b"false")


def usage_of(counts: Counts) -> Usage | None:
    """Never a negative or absurd count; None for the zeros that some servers write until they know."""
    details = counts.prompt_tokens_details or PromptDetails()
    usage = Usage(
        input=_count(counts.prompt_tokens),
        output=_count(counts.completion_tokens),
        cache_read=_count(
            details.cached_tokens,
            counts.prompt_cache_hit_tokens,
            counts.cached_tokens,
            counts.cache_read_input_tokens,
        ),
        cache_creation=_count(
            details.cache_write_tokens,
            details.cache_creation_tokens,
            counts.cache_creation_input_tokens,
        ),
        reasoning=_count((counts.completion_tokens_details or CompletionDetails()).reasoning_tokens),
    )
    return usage if usage.input or usage.output else None


def _count(*names: int | None) -> int:
    return next((number for number in names if number and 0 < number < _LARGEST_COUNT), 0)
