"""An answer for a client that speaks OpenAI's wire: handed on as it is, and read on the way.

https://platform.openai.com/docs/api-reference/chat-streaming

We ask for a stream's usage whether the client does or not, because every call is metered; the chunk that brings it is
kept back from a client that did not ask, and the null that announces it in every other chunk does no harm.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asgi_llmgate.errors import Broken, GateError
from asgi_llmgate.exchange import Answer, Usage
from asgi_llmgate.protocol.chat.chunks import Chunk, Delta, Function, read_chunk
from asgi_llmgate.protocol.chat.delta_content import content_of, reasoning_of, refusal_of
from asgi_llmgate.protocol.chat.metadata import LONGEST, Facts
from asgi_llmgate.protocol.chat.tool_calls import Call, Calls
from asgi_llmgate.protocol.forwarded_request import ForwardedRequest
from asgi_llmgate.protocol.forwarded_response import Forwarder
from asgi_llmgate.protocol.rawjson import objects
from asgi_llmgate.protocol.rawjson.objects import to_json
from asgi_llmgate.protocol.rawjson.strings import raw_text
from asgi_llmgate.protocol.servers.corrections import Corrections
from asgi_llmgate.protocol.servers.dialects import Dialect
from asgi_llmgate.protocol.sse import END, KEEPALIVES
from asgi_llmgate.protocol.translation.response_plan import ResponsePlan


def completion_body(
    request: ForwardedRequest, *, model: str, dialect: Dialect, extra_body: Mapping[str, Any], corrections: Corrections
) -> tuple[bytes, bool]:
    """The client's body with what the gateway decides on in it; and whether the client gets the usage chunk."""
    changes: dict[str, bytes] = {"model": to_json(model)}
    asked: dict[str, Any] = {}
    if request.stream:
        asked = objects.read_value(objects.get_raw(request.fields, "stream_options")) or {}
        if not isinstance(asked, dict):
            asked = {}
        if dialect.include_usage and "stream_options" not in corrections.refused_fields:
            changes["stream_options"] = to_json({**asked, "include_usage": True})
    changes.update((name, to_json(value)) for name, value in extra_body.items())
    return request.opened.replace_values(changes), asked.get("include_usage") is True


class ChatForwarder(Forwarder):
    """A ResponseHandler.  `shows_usage`: the client asked for the chunk with the counts."""

    wire = "chat"

    def __init__(self, *, stream: bool, request_id: str, input_estimate: int, shows_usage: bool = False) -> None:
        super().__init__(stream=stream, request_id=request_id)
        self._shows_usage = shows_usage
        plan = ResponsePlan(message_id="", model="", input_estimate=input_estimate)
        self._facts = Facts(plan)
        self._calls = Calls(plan, retained=None)
        self._named: list[Call] = []
        self._size = 0

    @property
    def usage(self) -> Usage:
        return self._facts.usage(self._size)

    @property
    def metadata(self) -> Answer:
        return self._facts.answer(call.name for call in self._named)

    def feed_event(self, event: bytes) -> None:
        if self.done or event in KEEPALIVES or self._is_unasked():
            return
        if event == END:
            self._end()
            return
        try:
            chunk = read_chunk(event)
            self._note(chunk, event)
        except GateError as error:
            self.fail(error)
            return
        if chunk.choices or chunk.usage is None or self._shows_usage:
            self.started = self.started or bool(chunk.choices)
            self._pass(event)

    def feed_document(self, document: bytes) -> None:
        try:
            if self._stream:
                raise Broken("the model server did not stream its answer")
            chunk = read_chunk(document)
            self._note(chunk, document)
            if not chunk.choices:
                raise Broken("the model server sent an empty answer")
        except GateError as error:
            self.fail(error)
            return
        self._pass_whole(document)

    def end(self) -> None:
        if self.done:
            return
        if self._facts.finish_reason:
            self._end()
        else:
            self.fail(Broken("the model server closed the stream before it finished"))

    def _end(self) -> None:
        if not self._facts.finish_reason and not self.started:
            self.fail(Broken("the model server sent an empty answer"))
            return
        self.done = True
        self._pass(END)

    def _note(self, chunk: Chunk, event: bytes) -> None:
        """Raises the UpstreamError that the chunk reports."""
        self._facts.note_chunk(chunk, event)
        for choice in chunk.choices or ():
            self._facts.note_choice(choice)
            if (delta := choice.delta or choice.message) is not None:
                self._size += _size(delta)
                self._note_calls(delta)

    def _note_calls(self, delta: Delta) -> None:
        """Only pieces with a name are looked at: whatever else comes of a call does not change what is called."""
        for piece in delta.tool_calls or ():
            if piece.function is not None and piece.function.name:
                self._note_call(piece.index, piece.id, piece.function)
        if delta.function_call is not None and delta.function_call.name:
            self._note_call(None, None, delta.function_call)

    def _note_call(self, index: int | None, call_id: str | None, function: Function) -> None:
        name, arguments = (function.name or "")[:LONGEST], raw_text(function.arguments)
        call, is_new = self._calls.place(index, (call_id or "")[:LONGEST], name, arguments)
        if is_new:
            self._named.append(call)


def _size(delta: Delta) -> int:
    """Bytes that the model wrote."""
    calls = [call.function for call in delta.tool_calls or () if call.function is not None]
    return (
        sum(len(raw) for _, raw in content_of(delta))
        + len(reasoning_of(delta))
        + len(refusal_of(delta))
        + sum(len(call.arguments) for call in calls)
    )
