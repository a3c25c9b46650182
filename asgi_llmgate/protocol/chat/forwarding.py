"""Chat completions that are forwarded to a client of the same wire, and read on the way.

https://platform.openai.com/docs/api-reference/chat-streaming

The usage of a stream is asked for whether the client does or not, because every call is recorded.  The chunk with the
usage is kept back from a client that has not asked for it; the `"usage": null` in the other chunks is harmless.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asgi_llmgate.errors import Broken, GateError
from asgi_llmgate.exchange_values import ResponseMetadata, Usage
from asgi_llmgate.protocol.buffer_limit import MAX_METADATA, MAX_TOOL_NAME
from asgi_llmgate.protocol.chat.assembled_call import AssembledCall
from asgi_llmgate.protocol.chat.chunks import Chunk, Delta, Function, read_chunk
from asgi_llmgate.protocol.chat.delta_content import read_passages
from asgi_llmgate.protocol.chat.metadata import MetadataReader
from asgi_llmgate.protocol.chat.tool_calls import ToolCallAssembler
from asgi_llmgate.protocol.forwarded_request import ForwardedRequest
from asgi_llmgate.protocol.forwarded_response import Forwarder
from asgi_llmgate.protocol.rawjson import objects
from asgi_llmgate.protocol.rawjson.objects import to_json
from asgi_llmgate.protocol.rawjson.strings import raw_text
from asgi_llmgate.protocol.servers.corrections.changes import Corrections
from asgi_llmgate.protocol.servers.dialects import Dialect
from asgi_llmgate.protocol.sse import END, KEEPALIVES


def forwarded_body(
    request: ForwardedRequest, *, model: str, dialect: Dialect, extra_body: Mapping[str, Any], corrections: Corrections
) -> tuple[bytes, bool]:
    """The client's body with the fields that the gateway decides on; and whether the client asked for the usage."""
    changes: dict[str, bytes] = {"model": to_json(model)}
    stream_options: dict[str, Any] = {}
    if request.stream:
        found = objects.read_value(objects.get_raw(request.fields, "stream_options"))
        if isinstance(found, dict):
            stream_options = found
        if dialect.include_usage and "stream_options" not in corrections.refused_fields:
            changes["stream_options"] = to_json({**stream_options, "include_usage": True})
    changes.update((name, to_json(value)) for name, value in extra_body.items())
    return request.opened.replace_values(changes), stream_options.get("include_usage") is True


class ChatForwarder(Forwarder):
    """A ResponseHandler.  `shows_usage`: the client asked for the chunk with the usage."""

    wire = "chat"

    def __init__(self, *, stream: bool, request_id: str, input_estimate: int, shows_usage: bool = False) -> None:
        super().__init__(stream=stream, request_id=request_id)
        self._shows_usage = shows_usage
        self._metadata = MetadataReader(input_estimate)
        self._assembler = ToolCallAssembler()
        self._calls: list[AssembledCall] = []
        self._size = 0  # bytes of text, reasoning and arguments

    @property
    def usage(self) -> Usage:
        return self._metadata.usage(self._size)

    @property
    def metadata(self) -> ResponseMetadata:
        return self._metadata.metadata(call.name for call in self._calls)

    def feed_event(self, event: bytes) -> None:
        if self.done or event in KEEPALIVES:
            return
        if not self._stream:
            self._fail_unexpected_stream()
        elif event == END:
            self._complete()
        else:
            try:
                chunk = read_chunk(event)
                self._read(chunk, event)
            except GateError as error:
                self.fail(error)
                return
            if chunk.choices:
                self.started = True
            elif self.stopped if chunk.usage is None else not self._shows_usage:
                return  # what is sent after the stop reason keeps the stream open
            self._forward_event(event)

    def feed_document(self, document: bytes) -> None:
        try:
            if self._stream:
                raise Broken("the model server did not stream its response")
            chunk = read_chunk(document)
            self._read(chunk, document)
            if not chunk.choices:
                raise Broken("the model server sent an empty response")
        except GateError as error:
            self.fail(error)
            return
        self._forward_document(document)

    def end(self) -> None:
        if self.done:
            return
        if self._metadata.finish_reason:
            self._complete()
        else:
            self.fail(Broken("the model server closed the stream before it finished"))

    def _complete(self) -> None:
        if not self._metadata.finish_reason and not self.started:
            self.fail(Broken("the model server sent an empty response"))
            return
        self.stopped = self.done = True
        self._forward_event(END)

    def _read(self, chunk: Chunk, event: bytes) -> None:
        """Raises the UpstreamError that the chunk reports."""
        self._metadata.read_chunk(chunk, event)
        for choice in chunk.choices or ():
            self._metadata.read_choice(choice)
            self.stopped = bool(self._metadata.finish_reason)
            delta = choice.delta or choice.message
            if delta is not None:
                self._size += sum([len(raw) for _, raw in read_passages(delta)])
                if delta.tool_calls or delta.function_call is not None:
                    self._read_calls(delta)

    def _read_calls(self, delta: Delta) -> None:
        for piece in delta.tool_calls or ():
            if piece.function is not None:
                self._size += len(piece.function.arguments)
                self._read_call(piece.index, piece.id, piece.function)
        if delta.function_call is not None:
            self._read_call(None, None, delta.function_call)

    def _read_call(self, index: int | None, call_id: str | None, function: Function) -> None:
        # Only a piece with a name can change which tools are called.
        if function.name:
            name, arguments = function.name[:MAX_TOOL_NAME], raw_text(function.arguments)
            call, is_new = self._assembler.add(index, (call_id or "")[:MAX_METADATA], name, arguments)
            if is_new:
                self._calls.append(call)
