"""Reads the usage of a response that is forwarded without being understood (a passthrough)."""

from __future__ import annotations

from contextlib import suppress

import msgspec
from msgspec import Raw, Struct

from asgi_llmgate.errors import Broken
from asgi_llmgate.exchange_values import ResponseMetadata, Usage
from asgi_llmgate.protocol.buffer_limit import MAX_METADATA
from asgi_llmgate.protocol.rawjson.strings import DECODE_ERRORS
from asgi_llmgate.protocol.response_format import ResponseStart, is_event_stream, media_type
from asgi_llmgate.protocol.sse import MAX_EVENT, SSEReader
from asgi_llmgate.protocol.token_usage import read_usage

_USAGE = b'"usage"'
"""An event without these bytes is not decoded."""


class _Response(Struct, gc=False):
    id: str | None = None
    model: str | None = None
    usage: Raw = Raw(b"")


class _Document(_Response, gc=False):
    """A response, or an event that holds one: an event of OpenAI's Responses, or Anthropic's `message_start`."""

    response: _Response | None = None
    message: _Response | None = None


_document_decoder = msgspec.json.Decoder(_Document)


class UsageMeter:
    """Reads along with a response of any kind.  `usage` and `metadata` are what has been found; it never raises.

    `limit`: bytes of a document, or of an event, that are kept to be read.  A larger one is not counted.
    """

    def __init__(self, content_type: str, *, limit: int = MAX_EVENT) -> None:
        self.usage: Usage | None = None
        self.metadata: ResponseMetadata | None = None
        self._content_type = content_type
        self._limit = limit
        self._begun = False
        self._start = ResponseStart()
        self._events: SSEReader | None = None
        self._document = bytearray()
        # Bytes of a document that are kept; 0 for what is not JSON (audio, images).
        self._room = limit if "json" in media_type(content_type) else 0

    def feed(self, chunk: bytes) -> None:
        """Read the next chunk of the body."""
        if not self._begun:
            chunk = self._start.feed(chunk)
            self._begun = bool(chunk)
            if chunk and is_event_stream(self._content_type, chunk):
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
        """The body is complete."""
        if self._events is not None:
            with suppress(Broken):
                for event in self._events.end():
                    self._read(event)
        elif self._document:
            self._read(bytes(self._document))

    def _read(self, data: bytes) -> None:
        try:
            document = _document_decoder.decode(data)
        except DECODE_ERRORS:
            return
        response = document.response or document.message or document
        self.metadata = ResponseMetadata((response.model or "")[:MAX_METADATA], (response.id or "")[:MAX_METADATA])
        self.usage = read_usage(bytes(response.usage)) or self.usage
