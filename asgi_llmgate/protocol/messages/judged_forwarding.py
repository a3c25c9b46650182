"""Messages that are forwarded from a server of the same wire, whose client asks for verdicts on the tool calls.

A server of this wire may give verdicts itself (`safeguard_results`).  They go to the client as they are, unless a rule
of the gateway decides otherwise.  Most other servers of this wire do not know the field, and then the gateway gives all
of them, as it does for a translated response.

What is held back is `message_delta` and all that comes after it.  No byte of other events is changed, and none of these
unless their results are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from asgi_llmgate.errors import Broken, GateError
from asgi_llmgate.exchange_values import ToolUse, Verdict
from asgi_llmgate.protocol.buffer_limit import MAX_TOOL_CALLS, BufferLimit
from asgi_llmgate.protocol.messages.forwarding import MessagesForwarder
from asgi_llmgate.protocol.messages.safeguards import (
    NO_TOOL_USES,
    amended_results,
    results_json,
    server_verdicts,
)
from asgi_llmgate.protocol.rawjson import objects
from asgi_llmgate.protocol.rawjson.strings import DECODE_ERRORS
from asgi_llmgate.protocol.response_handler import Held

_CALL_SIZE = 512
"""Bytes that a call takes in memory beside its input, and an event that is held."""

_UNREADABLE = "the model server's response has a tool call that cannot be read"

_RESULTS = "safeguard_results"


class _Block(Struct, gc=False):
    type: str = ""
    id: Any = None
    name: Any = None
    input: Raw = Raw(b"{}")


class _Delta(Struct, gc=False):
    type: str = ""
    partial_json: str = ""


class _BlockEvent(Struct, gc=False):
    index: int = 0
    content_block: _Block | None = None
    delta: _Delta | None = None


class _Document(Struct, gc=False):
    content: list[_Block] | None = None
    safeguard_results: Raw = Raw(b"")


_decode_event = msgspec.json.Decoder(_BlockEvent).decode
_decode_document = msgspec.json.Decoder(_Document).decode
_decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode


class JudgedForwarder(MessagesForwarder):
    """A ResponseHandler.  `retained` counts the inputs of tool calls, and what is held."""

    def __init__(self, *, stream: bool, request_id: str, input_estimate: int, retained: BufferLimit) -> None:
        super().__init__(stream=stream, request_id=request_id, input_estimate=input_estimate)
        self._retained = retained
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._ending: list[tuple[str, bytes]] = []  # kind and data of the events that are held
        self._document = b""
        self._results = b""  # the server's own
        self._by_server: Mapping[str, Verdict] | None = None

    def feed_event(self, event: bytes) -> None:
        if self.held is None:
            super().feed_event(event)

    def feed_document(self, document: bytes) -> None:
        if self.held is None:
            super().feed_document(document)

    def end(self) -> None:
        if self.held is None:
            super().end()

    def release(self, verdicts: Sequence[Verdict]) -> None:
        super().release(verdicts)
        if self._by_server is None:
            self._write_ending(results_json(verdicts))
            return
        changed = [each for each in verdicts if _differs(each, self._by_server.get(each.tool_use.id))]
        self._write_ending(amended_results(self._results, changed) if changed else b"")

    def _write(self, event: bytes, kind: str) -> None:
        try:
            if kind == "content_block_start" or b"input_json_delta" in event:
                self._read_call(_decode_event(event))
            if self._ending or kind in ("message_delta", "message_stop"):
                self._retained.add(len(event) + _CALL_SIZE)
                self._ending.append((kind, event))
                if kind == "message_stop":
                    if len(self._ending) == 1:
                        raise Broken("the model server closed the stream before it finished")
                    self._hold(_last_results(self._ending))
            else:
                super()._write(event, kind)
        except DECODE_ERRORS:
            self._abandon(Broken(_UNREADABLE))
        except GateError as error:
            self._abandon(error)

    def _forward_document(self, document: bytes) -> None:
        try:
            found = _decode_document(document)
            self._retained.add(len(document))
            for block in found.content or ():
                self._begin_call(block)
            self._document = document
            self._hold(bytes(found.safeguard_results))
        except DECODE_ERRORS:
            self._abandon(Broken(_UNREADABLE))
        except GateError as error:
            self._abandon(error)

    def _read_call(self, found: _BlockEvent) -> None:
        if found.content_block is not None:
            self._by_index.pop(found.index, None)
            if (call := self._begin_call(found.content_block)) is not None:
                self._by_index[found.index] = call
        elif found.delta is not None and (call := self._by_index.get(found.index)) is not None:
            piece = found.delta.partial_json.encode()
            self._retained.add(len(piece))
            call.pieces += piece

    def _begin_call(self, block: _Block) -> _Call | None:
        if block.type != "tool_use":  # the server runs `server_tool_use` and `mcp_tool_use` itself
            return None
        if not (isinstance(block.id, str) and isinstance(block.name, str)):
            raise Broken(_UNREADABLE)
        if len(self._calls) >= MAX_TOOL_CALLS:
            raise Broken(f"the model server's response has more than {MAX_TOOL_CALLS} tool calls")
        self._retained.add(len(block.id) + len(block.name) + len(block.input) + _CALL_SIZE)
        call = _Call(block)
        self._calls.append(call)
        return call

    def _hold(self, results: bytes) -> None:
        """The response is complete: wait for the verdicts on its calls, or write its end."""
        self.started = self.stopped = True
        tool_uses = [call.tool_use() for call in self._calls]
        self._results = results
        self._by_server = server_verdicts(results, tool_uses)
        if tool_uses:
            self.held = Held(tool_uses, self._by_server or {})
        else:
            self._write_ending(NO_TOOL_USES if self._by_server is None else b"")

    def _write_ending(self, results: bytes) -> None:
        """Write what is held, with these results; with none as it is."""
        if self._document:
            super()._forward_document(_with_results(self._document, results) if results else self._document)
            return
        ending = _replaced(self._ending, results) if results else self._ending
        for kind, event in ending:
            super()._write(event, kind)

    def _abandon(self, error: GateError) -> None:
        """End the response with an error, although the server may have said why it stopped."""
        self.stopped = False
        self.fail(error)


class _Call:
    """A tool call as it arrives.  Clients read its input from the deltas, if any come."""

    __slots__ = ("_block", "pieces")

    def __init__(self, block: _Block) -> None:
        self._block = block
        self.pieces = bytearray()

    def tool_use(self) -> ToolUse:
        return ToolUse(self._block.id, self._block.name, bytes(self.pieces or self._block.input))


def _differs(verdict: Verdict, own: Verdict | None) -> bool:
    """Whether a client must be told otherwise than by the server's own verdict."""
    if own is None or own.outcome != verdict.outcome:
        return True
    return verdict.outcome == "flag" and own.explanation != verdict.explanation


def _last_results(ending: Sequence[tuple[str, bytes]]) -> bytes:
    """The results in the held events: the last ones, as a client that reads event by event ends up with."""
    found = [delta[_RESULTS] for kind, event in ending if _RESULTS in (delta := _delta(kind, event))]
    return bytes(found[-1]) if found else b""


def _delta(kind: str, event: bytes) -> dict[str, Raw]:
    if kind != "message_delta":
        return {}
    return objects.read_object(_decode_fields(event).get("delta")) or {}


def _replaced(ending: Sequence[tuple[str, bytes]], results: bytes) -> list[tuple[str, bytes]]:
    """The held events, with these results in the last `message_delta`, and none in another."""
    written: list[tuple[str, bytes]] = []
    missing = True
    for kind, event in reversed(ending):
        delta = _delta(kind, event)
        if kind == "message_delta" and (missing or _RESULTS in delta):
            delta.pop(_RESULTS, None)
            if missing:
                delta[_RESULTS] = Raw(results)
            event = objects.to_json({**_decode_fields(event), "delta": Raw(objects.to_json(delta))})
            missing = False
        written.append((kind, event))
    return written[::-1]


def _with_results(document: bytes, results: bytes) -> bytes:
    return objects.to_json({**_decode_fields(document), _RESULTS: Raw(results)})
