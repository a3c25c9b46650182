"""Token counts in an answer that is handed on, whoever's words they are in.

                     all input         of it cached                              output
    ---------------  ----------------  ----------------------------------------  -----------------
    chat             prompt_tokens     prompt_tokens_details.cached_tokens, ...  completion_tokens
    Responses        input_tokens      input_tokens_details.cached_tokens        output_tokens
    Messages         the sum of three  cache_read_, cache_creation_input_tokens  output_tokens

https://platform.openai.com/docs/api-reference/responses/object, https://platform.claude.com/docs/en/api/messages
"""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from asgi_llmgate.errors import Broken
from asgi_llmgate.exchange import Answer, Usage
from asgi_llmgate.protocol.chat.chunks import Counts, usage_of
from asgi_llmgate.protocol.chat.metadata import LONGEST
from asgi_llmgate.protocol.rawjson.strings import DECODE_ERRORS
from asgi_llmgate.protocol.sse import MAX_EVENT, SSEReader, is_event_stream, media_type

_USAGE = b'"usage"'


class _InputDetails(Struct, gc=False):
    cached_tokens: int | None = None


class _OutputDetails(Struct, gc=False):
    reasoning_tokens: int | None = None
    thinking_tokens: int | None = None


class AnyCounts(Counts, gc=False):
    """`usage` in any of the three shapes."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: _InputDetails | None = None
    output_tokens_details: _OutputDetails | None = None


class _Inner(Struct, gc=False):
    """A Responses event wraps the response, a `message_start` the message."""

    id: str | None = None
    model: str | None = None
    usage: Raw = Raw(b"")


class _Document(_Inner, gc=False):
    response: _Inner | None = None
    message: _Inner | None = None


_document = msgspec.json.Decoder(_Document)
_counts = msgspec.json.Decoder(AnyCounts)


def read_usage(raw: bytes) -> Usage | None:
    """The counts of a `usage` object; None where it counts nothing, or is something else."""
    try:
        counts = _counts.decode(raw)
    except DECODE_ERRORS:
        return None
    if counts.input_tokens is None and counts.output_tokens is None:
        return usage_of(counts)
    inner, outer = counts.input_tokens_details or _InputDetails(), counts.output_tokens_details or _OutputDetails()
    read, created = _natural(counts.cache_read_input_tokens), _natural(counts.cache_creation_input_tokens)
    return Usage(
        input=_natural(counts.input_tokens) + read + created,
        output=_natural(counts.output_tokens),
        cache_read=read or _natural(inner.cached_tokens),
        cache_creation=created,
        reasoning=_natural(outer.reasoning_tokens or outer.thinking_tokens),
    )


def _natural(count: int | None) -> int:
    return max(0, count or 0)


class Meter:
    """Reads along with an answer of any kind.  `usage` and `answer` are what has been found; it never raises.

    `limit`: bytes of a document, or of an event, that are kept to be read; a larger one is handed on uncounted.
    """

    def __init__(self, content_type: str, *, limit: int = MAX_EVENT) -> None:
        self.usage: Usage | None = None
        self.answer: Answer | None = None
        self._content_type = content_type
        self._limit = limit
        self._begun = False
        self._events: SSEReader | None = None
        self._document = bytearray()
        self._room = limit if "json" in media_type(content_type) else 0

    def feed(self, chunk: bytes) -> None:
        """The next piece of the answer."""
        if not self._begun and (begin := chunk.lstrip()):
            self._begun = True
            if is_event_stream(self._content_type, begin):
                self._events = SSEReader(max_event=self._limit)
        if self._events is None:
            if len(self._document) + len(chunk) <= self._room:
                self._document += chunk
            else:
                self._room = 0
                self._document.clear()
            return
        try:
            for event in self._events.feed(chunk):
                if _USAGE in event:
                    self._read(event)
        except Broken:
            self._events, self._room = None, 0

    def end(self) -> None:
        """The answer is whole."""
        if self._events is not None:
            for event in self._events.end():
                self._read(event)
        elif self._document:
            self._read(bytes(self._document))

    def _read(self, data: bytes) -> None:
        try:
            document = _document.decode(data)
        except DECODE_ERRORS:
            return
        inner = document.response or document.message or document
        self.answer = Answer((inner.model or "")[:LONGEST], (inner.id or "")[:LONGEST])
        self.usage = read_usage(bytes(inner.usage)) or self.usage
