"""An answer of a server that speaks Anthropic's wire itself: handed on as it is, and read on the way.

https://platform.claude.com/docs/en/build-with-claude/streaming

Each event goes out whole, so that whatever happens the client is never left inside one.  `message_start` and
`message_delta` hold the counts of tokens; an `error` goes out in our words, with our request id; and a stream that ends
without `message_stop` ends in an `error`, as everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec
from msgspec import Raw, Struct

from asgi_llmgate.errors import (
    Broken,
    CredentialRefused,
    Failed,
    Overloaded,
    QuotaExhausted,
    UnknownModel,
    UpstreamError,
)
from asgi_llmgate.exchange import Answer, Usage
from asgi_llmgate.protocol.chat.metadata import LONGEST
from asgi_llmgate.protocol.chat.tool_calls import LONGEST_NAME, MOST
from asgi_llmgate.protocol.forwarded_response import Forwarder
from asgi_llmgate.protocol.rawjson import arrays
from asgi_llmgate.protocol.rawjson.strings import DECODE_ERRORS
from asgi_llmgate.protocol.redaction import redacted
from asgi_llmgate.protocol.servers.upstream_errors import MESSAGES, reported_error, upstream_error
from asgi_llmgate.protocol.token_usage import read_usage
from asgi_llmgate.protocol.translation.response_text import BYTES_PER_TOKEN

VERSION = (b"anthropic-version", b"2023-06-01")
"""For a client that does not say which version it speaks."""


class _Block(Struct, gc=False):
    type: str = ""
    name: Any = None


class _Message(Struct, gc=False):
    type: str = ""
    id: str = ""
    model: str = ""
    stop_reason: str | None = None
    usage: Raw = Raw(b"")


class _Whole(_Message, gc=False):
    content: Raw = Raw(b"")


class _Event(Struct, gc=False):
    type: str
    message: _Message | None = None
    content_block: _Block | None = None
    delta: _Message | None = None
    usage: Raw = Raw(b"")


class _Said(Struct, gc=False):
    type: str = ""
    message: str = ""


class _Envelope(Struct, gc=False):
    error: _Said


_whole = msgspec.json.Decoder(_Whole)
_blocks = msgspec.json.Decoder(list[_Block] | None)
_event = msgspec.json.Decoder(_Event)
_envelope = msgspec.json.Decoder(_Envelope)


_KINDS: Mapping[tuple[type[UpstreamError], str], type[UpstreamError]] = {(Overloaded, "api_error"): Failed}
"""Where the type says more than the status: a 502 or 503 of a gateway like this one."""


def forwarded_error(status: int, body: bytes, headers: Mapping[str, str], *, now: float | None = None) -> UpstreamError:
    """The error that an answer other than a message is: Anthropic's own words, since the client knows them, but for
    what is our key's or our account's trouble.  Takes what `failures.upstream_error` takes."""
    error = upstream_error(status, body, headers, now=now)
    if isinstance(error, (CredentialRefused, QuotaExhausted)):
        return error
    try:
        said = _envelope.decode(body).error
    except DECODE_ERRORS:
        return error
    if kind := UnknownModel if status == 404 else _KINDS.get((type(error), said.type)):
        error = kind(MESSAGES[kind], detail=error.detail, status=status)
    error.told = redacted(said.message) or error.told
    if (retry := headers.get("x-should-retry")) is not None:
        error.should_retry = retry == "true"
    return error


def anthropic_headers(headers: Mapping[str, str]) -> tuple[tuple[bytes, bytes], ...]:
    """The client's `anthropic-*` headers, for a server that speaks its wire; the version is added where it is missing.

    No other header of the client goes to a model server.
    """
    found = tuple(
        (name.encode("latin-1"), value.encode("latin-1"))
        for name, value in headers.items()
        if name.startswith("anthropic-")
    )
    return found if "anthropic-version" in headers else (*found, VERSION)


class MessagesForwarder(Forwarder):
    """A ResponseHandler; `input_estimate` is in tokens."""

    wire = "messages"

    def __init__(self, *, stream: bool, request_id: str, input_estimate: int) -> None:
        super().__init__(stream=stream, request_id=request_id)
        self._usage = Usage(input=input_estimate)
        self._size = 0
        self._counted = False
        self._model = ""
        self._id = ""
        self._stop_reason = ""
        self._called: dict[str, None] = {}

    @property
    def usage(self) -> Usage:
        """The last count; before the final one, what has gone out is estimated."""
        if self._counted:
            return self._usage
        return replace(self._usage, output=max(self._usage.output, -(-self._size // BYTES_PER_TOKEN)), estimated=True)

    @property
    def metadata(self) -> Answer:
        reasons = (self._stop_reason,) if self._stop_reason else ()
        return Answer(self._model, self._id, reasons, tuple(self._called))

    def feed_event(self, event: bytes) -> None:
        if self.done or self._is_unasked():
            return
        try:
            read = _event.decode(event)
        except DECODE_ERRORS:
            read = _Event("")
        if not read.type.isidentifier():  # it becomes a line of its own
            self.fail(Broken("the model server sent something that is not an event of Anthropic's"))
            return
        if read.type == "error":
            self.fail(reported_error(event))
            return
        self._note(read, event)
        self._pass(event, read.type)
        self.done = read.type == "message_stop"

    def feed_document(self, document: bytes) -> None:
        blocks: list[_Block] = []
        try:
            message = _whole.decode(document)
            if message.content:
                arrays.check_length(bytes(message.content))
                blocks = _blocks.decode(message.content) or []
        except (*DECODE_ERRORS, Broken):
            message = _Whole()
        if message.type != "message" or self._stream:
            self.fail(Broken("the model server's answer is not what was asked for"))
            return
        self._note_message(message)
        self._note_reason(message)
        self._count(message.usage, final=True)
        for block in blocks:
            self._note_call(block)
        self._pass_whole(document)

    def end(self) -> None:
        if not self.done:
            self.fail(Broken("the model server closed the stream before it finished"))

    def _note(self, read: _Event, event: bytes) -> None:
        match read.type:
            case "content_block_delta":
                self._size += len(event)
            case "content_block_start":
                self.started = True
                self._note_call(read.content_block or _Block())
            case "message_start" if read.message is not None:
                self._note_message(read.message)
                self._count(read.message.usage, final=False)
            case "message_delta":
                self._note_reason(read.delta or _Message())
                self._count(read.usage, final=True)

    def _note_call(self, block: _Block) -> None:
        is_call = block.type.endswith("tool_use")  # server_tool_use and mcp_tool_use, too
        if is_call and isinstance(block.name, str) and len(self._called) < MOST:
            self._called[block.name[:LONGEST_NAME]] = None

    def _note_message(self, message: _Message) -> None:
        self._model, self._id = message.model[:LONGEST], message.id[:LONGEST]

    def _note_reason(self, message: _Message) -> None:
        self._stop_reason = (message.stop_reason or self._stop_reason)[:LONGEST]

    def _count(self, raw: Raw, *, final: bool) -> None:
        usage = read_usage(bytes(raw))
        if usage is None:
            return
        # `message_delta` repeats the counts of the input, or leaves them out.
        known = self._usage if final and not usage.input else usage
        self._usage = replace(known, output=usage.output, reasoning=usage.reasoning)
        self._counted = self._counted or final
