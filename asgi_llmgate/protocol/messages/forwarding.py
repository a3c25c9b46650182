"""Messages that are forwarded from a server of the same wire, and read on the way.

https://platform.claude.com/docs/en/build-with-claude/streaming

Each event is forwarded complete, so a client is never left inside one.  `message_start` and `message_delta` hold the
usage.  An `error` event is replaced by the gateway's own, with its request id; and a stream that ends without
`message_stop` ends in an `error`, as every incomplete stream does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec
from msgspec import Raw, Struct

from asgi_llmgate.errors import (
    Blocked,
    Broken,
    CredentialRefused,
    Failed,
    Overloaded,
    PromptTooLong,
    QuotaExhausted,
    UnknownModel,
    UpstreamError,
)
from asgi_llmgate.exchange_values import ResponseMetadata, Usage
from asgi_llmgate.protocol.buffer_limit import MAX_METADATA, MAX_TOOL_CALLS, MAX_TOOL_NAME
from asgi_llmgate.protocol.forwarded_response import Forwarder
from asgi_llmgate.protocol.rawjson import arrays
from asgi_llmgate.protocol.rawjson.strings import DECODE_ERRORS
from asgi_llmgate.protocol.redaction import redacted
from asgi_llmgate.protocol.servers.errors.upstream_errors import (
    MESSAGES,
    reported_error,
    unreadable_response,
    upstream_error,
)
from asgi_llmgate.protocol.token_usage import estimate_output, read_usage

VERSION = (b"anthropic-version", b"2023-06-01")
"""The header for a client that does not send one."""


class _Block(Struct, gc=False):
    type: str = ""
    name: Any = None


class _MessageHead(Struct, gc=False):
    """The fields of a message beside its content, or of a `message_delta`."""

    type: str = ""
    id: str = ""
    model: str = ""
    stop_reason: str | None = None
    usage: Raw = Raw(b"")


class _Message(_MessageHead, gc=False):
    content: Raw = Raw(b"")


class _Event(Struct, gc=False):
    type: str
    message: _MessageHead | None = None
    content_block: _Block | None = None
    delta: _MessageHead | None = None
    usage: Raw = Raw(b"")


class _ErrorDetails(Struct, gc=False):
    type: str = ""
    message: str = ""


class _ErrorBody(Struct, gc=False):
    error: _ErrorDetails


_message_decoder = msgspec.json.Decoder(_Message)
_blocks_decoder = msgspec.json.Decoder(list[_Block] | None)
_event_decoder = msgspec.json.Decoder(_Event)
_error_decoder = msgspec.json.Decoder(_ErrorBody)


_BY_ERROR_TYPE: Mapping[tuple[type[UpstreamError], str], type[UpstreamError]] = {(Overloaded, "api_error"): Failed}
"""Where the error type is more exact than the status: a 502 or 503 of a gateway like this one."""


def forwarded_error(status: int, body: bytes, headers: Mapping[str, str], *, now: float | None = None) -> UpstreamError:
    """The error of an error response, with Anthropic's own message, which the client knows.

    The message is replaced where it is about the gateway's key or account, and where another server of this wire has
    its own words for a conversation that is too long.  The parameters are those of
    `servers.errors.upstream_errors.upstream_error`.
    """
    error = upstream_error(status, body, headers, now=now)
    if isinstance(error, (Blocked, CredentialRefused, QuotaExhausted)):
        return error
    try:
        details = _error_decoder.decode(body).error
    except DECODE_ERRORS:
        return error
    if kind := UnknownModel if status == 404 else _BY_ERROR_TYPE.get((type(error), details.type)):
        error = kind(MESSAGES[kind], detail=error.detail, status=status)
    if not isinstance(error, PromptTooLong):
        error.client_message = redacted(details.message) or error.client_message
    if (retry := headers.get("x-should-retry")) is not None:
        error.should_retry = retry == "true"
    return error


def anthropic_headers(headers: Mapping[str, str], *, without: str = "") -> tuple[tuple[bytes, bytes], ...]:
    """The client's `anthropic-*` headers, for a server that speaks its wire; the version is added where it is missing.

    No other header of the client goes to a model server.  Values of `anthropic-beta` that begin with `without` are left
    out.
    """
    if without:
        betas = [beta for beta in headers.get("anthropic-beta", "").split(",") if not beta.strip().startswith(without)]
        headers = {**headers, "anthropic-beta": ",".join(betas)}
    found = tuple(
        (name.encode("latin-1"), value.encode("latin-1"))
        for name, value in headers.items()
        if name.startswith("anthropic-") and value
    )
    return found if "anthropic-version" in headers else (*found, VERSION)


class MessagesForwarder(Forwarder):
    """A ResponseHandler.  `input_estimate` is the tokens of the prompt, until the server has counted them."""

    wire = "messages"

    def __init__(self, *, stream: bool, request_id: str, input_estimate: int) -> None:
        super().__init__(stream=stream, request_id=request_id)
        self._usage = Usage(input=input_estimate)
        self._size = 0  # bytes of the deltas
        self._is_counted = False
        self._model = ""
        self._id = ""
        self._stop_reason = ""
        self._tool_names: dict[str, None] = {}

    @property
    def usage(self) -> Usage:
        """The server's last counts; until the final ones, the output is estimated from what has been forwarded."""
        if self._is_counted:
            return self._usage
        return replace(self._usage, output=max(self._usage.output, estimate_output(self._size)), estimated=True)

    @property
    def metadata(self) -> ResponseMetadata:
        reasons = (self._stop_reason,) if self._stop_reason else ()
        return ResponseMetadata(self._model, self._id, reasons, tuple(self._tool_names))

    def feed_event(self, event: bytes) -> None:
        if self.done:
            return
        if not self._stream:
            self._fail_unexpected_stream()
            return
        try:
            found = _event_decoder.decode(event)
        except DECODE_ERRORS:
            found = _Event("")
        if not found.type.isidentifier():  # the type becomes a line of the stream: it must not hold a line break
            self.fail(unreadable_response(event, "the model server sent something that is not an event of Anthropic's"))
            return
        if found.type == "error":
            self.fail(reported_error(event))
            return
        if self.stopped and found.type == "ping":
            return  # what is sent after the stop reason keeps the stream open
        self._read(found, event)
        self._write(event, found.type)

    def feed_document(self, document: bytes) -> None:
        blocks: list[_Block] = []
        try:
            message = _message_decoder.decode(document)
            if message.content:
                arrays.check_length(bytes(message.content))
                blocks = _blocks_decoder.decode(message.content) or []
        except Broken as error:
            self.fail(error)
            return
        except DECODE_ERRORS:
            message = _Message()
        if message.type != "message" or self._stream:
            self.fail(unreadable_response(document, "the model server's response is not what was asked for"))
            return
        self._read_head(message)
        self._read_stop_reason(message)
        self._read_usage(message.usage, final=True)
        for block in blocks:
            self._read_tool_name(block)
        self._forward_document(document)

    def end(self) -> None:
        """After the stop reason only `message_stop` is missing, which says nothing more."""
        if self.done:
            return
        if self._stop_reason:
            self._write(b'{"type":"message_stop"}', "message_stop")
        else:
            self.fail(Broken("the model server closed the stream before it finished"))

    def _write(self, event: bytes, kind: str) -> None:
        self._forward_event(event, kind)
        if kind == "message_stop":
            self.stopped = self.done = True

    def _read(self, found: _Event, event: bytes) -> None:
        match found.type:
            case "content_block_delta":
                self._size += len(event)
            case "content_block_start":
                self.started = True
                self._read_tool_name(found.content_block or _Block())
            case "message_start" if found.message is not None:
                self._read_head(found.message)
                self._read_usage(found.message.usage, final=False)
            case "message_delta":
                self._read_stop_reason(found.delta or _MessageHead())
                self.stopped = bool(self._stop_reason)
                self._read_usage(found.usage, final=True)

    def _read_tool_name(self, block: _Block) -> None:
        is_call = block.type.endswith("tool_use")  # also server_tool_use and mcp_tool_use
        if is_call and isinstance(block.name, str) and len(self._tool_names) < MAX_TOOL_CALLS:
            self._tool_names[block.name[:MAX_TOOL_NAME]] = None

    def _read_head(self, message: _MessageHead) -> None:
        self._model, self._id = message.model[:MAX_METADATA], message.id[:MAX_METADATA]

    def _read_stop_reason(self, message: _MessageHead) -> None:
        self._stop_reason = (message.stop_reason or self._stop_reason)[:MAX_METADATA]

    def _read_usage(self, raw: Raw, *, final: bool) -> None:
        usage = read_usage(bytes(raw))
        if usage is None:
            return
        # `message_delta` repeats the counts of the input, or leaves them out.
        known = self._usage if final and not usage.input else usage
        self._usage = replace(known, output=usage.output, reasoning=usage.reasoning)
        self._is_counted = self._is_counted or final
