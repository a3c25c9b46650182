"""Reads a chunk that repeats the last one but for its text, without decoding it.

Nearly all chunks of a stream differ in one string only: a piece of the text, of the reasoning, or of a call's
arguments.  The bytes before it and after it are the same each time.  So what a decoder would find in such a chunk is
what it found in the last one, with another string in that place:

    {"id":"1","choices":[{"index":0,"delta":{"content":"Hel"},"finish_reason":null}]}
    {"id":"1","choices":[{"index":0,"delta":{"content":"lo"},"finish_reason":null}]}

OpenAI pads its chunks with random letters, so that their sizes tell nothing about the text; the padding is the last
member, and is not compared.

Whatever is not certain is left to the decoder: a string that is not valid in itself, a string with halves of a
character in it, a chunk whose bytes around the string have changed.
"""

from __future__ import annotations

import re

from asgi_llmgate.protocol.chat.chunks import Choice, Chunk, Delta, ToolCall
from asgi_llmgate.protocol.chat.delta_content import Kind, Passage
from asgi_llmgate.protocol.rawjson.strings import is_utf8

_RAW = re.compile(rb'[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u(?![dD][89a-fA-F])[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+')
"""The inside of a JSON string without surrogates, apart from UTF-8."""

_MAX_RAW = 256
"""Bytes of a string; the decoder reads a longer one faster."""

_PADDING_NAME = b',"obfuscation":"'
_PADDING = re.compile(_PADDING_NAME + rb'[0-9A-Za-z]*"\}')


class ChunkTemplate:
    """A chunk, as far as others may repeat it.

    What varies is a text of a `kind`, or the arguments of `call`.
    """

    __slots__ = ("_after", "_before", "_end", "_is_padded", "_start", "call", "kind")

    def __init__(
        self, before: bytes, after: bytes, *, is_padded: bool, kind: Kind = "text", call: ToolCall | None = None
    ) -> None:
        self._before = before
        self._after = after
        self._start, self._end = len(before), -len(after)
        self._is_padded = is_padded
        self.kind = kind
        self.call = call

    def read(self, event: bytes) -> bytes | None:
        """The string in a chunk that repeats this one, in raw form; None for any other chunk."""
        if self._is_padded:
            event = _without_padding(event)
        if event.startswith(self._before) and event.endswith(self._after):
            raw = event[self._start : self._end]
            # Nothing is left where what stands before and after the string overlaps.
            if 0 < len(raw) <= _MAX_RAW and _RAW.fullmatch(raw) and (raw.isascii() or is_utf8(raw)):
                return raw
        return None


def template_of(chunk: Chunk, choice: Choice, event: bytes, passages: list[Passage]) -> ChunkTemplate | None:
    """The template that a chunk is; None where it says more than one string, or where that is not certain.

    `choice` is its only one, `event` its JSON, `passages` are what its delta says.  What stands beside the choices says
    nothing new when it is repeated.
    """
    # The values of a chunk that had to be corrected are not the bytes of the event.
    if type(chunk) is not Chunk:
        return None
    delta = choice.delta
    if delta is None or choice.finish_reason or choice.usage is not None or choice.error:
        return None
    if delta.has_carriers() or delta.function_call is not None or len(passages) + len(delta.tool_calls or ()) != 1:
        return None
    kind: Kind = "text"
    call = None
    if delta.tool_calls:
        call = delta.tool_calls[0]
        if call.function is None:
            return None
        value = bytes(call.function.arguments)
    else:
        kind = passages[0][0]
        value = _field_of(delta, kind)
        if value[1:-1] != passages[0][1]:
            return None
    padded, event = event, _without_padding(event)
    at = event.find(value)
    # Where the same string stands twice, it is not known which of them is the text.
    if not value.startswith(b'"') or at < 0 or at != event.rfind(value):
        return None
    before, after = event[: at + 1], event[at + len(value) - 1 :]
    return ChunkTemplate(before, after, is_padded=event != padded, kind=kind, call=call)


def _field_of(delta: Delta, kind: Kind) -> bytes:
    """The field that the text of a kind is read from first."""
    if kind == "text":
        return bytes(delta.content)
    return bytes(delta.reasoning_content or delta.reasoning or delta.reasoning_text or delta.thinking)


def _without_padding(event: bytes) -> bytes:
    at = event.rfind(_PADDING_NAME)
    return event[:at] if at >= 0 and _PADDING.fullmatch(event, at) else event
