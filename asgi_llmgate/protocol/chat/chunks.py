"""Responses of OpenAI's chat completions: chunks, complete completions, and the deviations of servers.

https://platform.openai.com/docs/api-reference/chat-streaming and .../chat/object are the standard.  The deviations were
found at vLLM, SGLang, Ollama, llama.cpp, DeepSeek, OpenRouter, Mistral, Moonshot and Azure.  A chunk and a completion
have one shape: what a chunk calls `delta` a completion calls `message`.

Every field may be missing or null, and a field of the wrong type counts as missing: a response with a list in
place of a name is still usable.  Values that are copied, or that come in several types, stay `msgspec.Raw`.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec import Raw, Struct

from asgi_llmgate.protocol.rawjson import arrays
from asgi_llmgate.protocol.rawjson.strings import DECODE_ERRORS, is_utf8, parse_or_none, repair
from asgi_llmgate.protocol.rawjson.surrogate_halves import mark_halves
from asgi_llmgate.protocol.servers.errors.upstream_errors import unreadable_response
from asgi_llmgate.protocol.token_usage import Counts

_ABSENT = Raw(b"")


class Function(Struct, gc=False):
    name: str | None = None
    arguments: Raw = _ABSENT
    """Usually a string that holds JSON; some servers send the object itself."""


class ToolCall(Struct, gc=False):
    index: int | None = None
    id: str | None = None
    function: Function | None = None
    extra_content: Raw = _ABSENT
    """Gemini: what must come back with the call.  LiteLLM has it in the next field."""
    provider_specific_fields: Raw = _ABSENT


class Delta(Struct, gc=False):
    """What one chunk adds, or the complete message.

    `content` is a string or a list of parts.  Reasoning has many names (DeepSeek and SGLang; vLLM, Ollama and
    OpenRouter; GitHub Copilot; Ollama's own API; OpenRouter again), of which a server may fill two with the same text.
    """

    content: Raw = _ABSENT
    reasoning_content: Raw = _ABSENT
    reasoning: Raw = _ABSENT
    reasoning_text: Raw = _ABSENT
    thinking: Raw = _ABSENT
    reasoning_details: Raw = _ABSENT
    thinking_blocks: Raw = _ABSENT
    """LiteLLM: Anthropic's."""
    reasoning_opaque: Raw = _ABSENT
    """GitHub Copilot: encrypted."""
    reasoning_signature: Raw = _ABSENT
    extra_content: Raw = _ABSENT
    refusal: Raw = _ABSENT
    tool_calls: list[ToolCall] | None = None
    function_call: Function | None = None

    def has_carriers(self) -> bool:
        """Whether there is something that must come back with the message (`translation.carriers`)."""
        return bool(
            self.reasoning_details
            or self.extra_content
            or self.thinking_blocks
            or self.reasoning_opaque
            or self.reasoning_signature
        )


class Choice(Struct, gc=False):
    index: int | None = None
    delta: Delta | None = None
    message: Delta | None = None
    finish_reason: str | None = None
    stop_reason: Any = None
    """vLLM: the stop sequence that matched, or the id of a token."""
    matched_stop: Any = None
    """SGLang's name for it."""
    usage: Counts | None = None
    """Moonshot counts here."""
    error: Raw = _ABSENT
    """OpenRouter, with `finish_reason: error`."""


class _XGroq(Struct, gc=False):
    usage: Counts | None = None


class Chunk(Struct, gc=False):
    id: str | None = None
    model: str | None = None
    object: str | None = None
    choices: list[Choice] | None = None
    usage: Counts | None = None
    x_groq: _XGroq | None = None
    """Groq counts here, in the last chunk, where the usage was not asked for."""
    error: Raw = _ABSENT
    base_resp: Raw = _ABSENT
    """MiniMax: the status, also of a success."""


class CorrectedChunk(Chunk, gc=False):
    """A chunk whose JSON had to be corrected before it could be decoded: its values are not the server's own bytes."""


class CutChunk(CorrectedChunk, gc=False):
    """A chunk with half of a character at the end or the beginning of a text (see `rawjson.surrogate_halves`)."""


class _DeltaOutline(Struct, gc=False):
    tool_calls: Raw = _ABSENT


class _ChoiceOutline(Struct, gc=False):
    delta: _DeltaOutline | None = None
    message: _DeltaOutline | None = None


class _Outline(Struct, gc=False):
    choices: Raw = _ABSENT


_decoder = msgspec.json.Decoder(Chunk)
_corrected_decoder = msgspec.json.Decoder(CorrectedChunk)
_cut_decoder = msgspec.json.Decoder(CutChunk)
_outline_decoder = msgspec.json.Decoder(_Outline)
_choice_decoder = msgspec.json.Decoder(_ChoiceOutline)

_MAX_MISTYPED = 32
"""Mistyped fields in one event; a server with more speaks another format."""

_MAX_CORRECTED = 2**20
"""Bytes of an event whose mistyped fields are removed: each removal decodes the event again."""

_PATH_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")


def read_chunk(data: bytes, *, is_piece: bool = False) -> Chunk:
    """A chunk or a completion.  Raises an UpstreamError for what is not one: the error that it says, or Broken.

    `is_piece`: the next chunk may have the other half of a character; then the result may be a `CutChunk`.
    """
    decoder: msgspec.json.Decoder[Any] = _decoder
    # msgspec does not check UTF-8 in the values that it skips, and these are copied to the client.
    if not data.isascii() and not is_utf8(data):
        data, decoder = repair(data), _corrected_decoder
    try:
        return decoder.decode(data) if len(data) <= arrays.UNCHECKED_SIZE else _decode_large(data, decoder)
    except DECODE_ERRORS:
        if is_piece and len(data) <= _MAX_CORRECTED:
            marked, is_cut = mark_halves(data)
            return _decode_mistyped(marked, _cut_decoder if is_cut else _corrected_decoder)
        return _decode_mistyped(repair(data))


def _decode_large(data: bytes, decoder: msgspec.json.Decoder[Any]) -> Chunk:
    """Decode after a check that no list is too long."""
    choices = bytes(_outline_decoder.decode(data).choices)
    for choice in arrays.decode_array(choices) if choices.startswith(b"[") else ():
        outline = _choice_decoder.decode(choice)
        for delta in (outline.delta, outline.message):
            if delta is not None:
                arrays.check_length(bytes(delta.tool_calls))
    found: Chunk = decoder.decode(data)
    return found


def _decode_mistyped(data: bytes, decoder: msgspec.json.Decoder[Any] = _corrected_decoder) -> Chunk:
    """Decode without mistyped fields: the decoder names the first one, it is removed, and so on."""
    if len(data) > _MAX_CORRECTED:
        try:
            return _decode_large(data, decoder)
        except DECODE_ERRORS:
            raise unreadable_response(data) from None
    value = parse_or_none(data)
    if isinstance(value, dict):
        for _ in range(min(_MAX_MISTYPED, 2 + _MAX_CORRECTED // len(data))):
            try:
                found: Chunk = decoder.decode(msgspec.json.encode(value))
                return found
            except msgspec.ValidationError as error:
                _remove(value, str(error))
            except DECODE_ERRORS:
                break
    raise unreadable_response(data)


def _remove(value: Any, message: str) -> None:
    """Remove the field that a message like ``Expected `int`, got `str` - at `$.choices[0].index` `` ends with."""
    path = [name or int(number) for name, number in _PATH_STEP.findall(message.rpartition("`$")[2])]
    for step in path[:-1]:
        value = value[step]
    del value[path[-1]]


def is_given(error: Raw) -> bool:
    """Whether an `error` field holds an error: some servers write an empty one into every response."""
    return bytes(error) not in (b"", b"null", b"{}", b'""', b"false")
