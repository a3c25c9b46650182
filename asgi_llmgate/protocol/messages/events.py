"""Writes a response on Anthropic's wire: as a stream of events, or as one Message.

The translator decides what is written and in which order; an emitter writes it.  One translator drives both emitters,
so a response is the same whether it is streamed or not.  The grammar of the stream, as
https://platform.claude.com/docs/en/build-with-claude/streaming has it and as clients require it:

    message_start  (content_block_start(i)  content_block_delta(i)*  content_block_stop(i))*  message_delta
    message_stop

with i = 0, 1, 2 ... and one block open at a time; a `ping` may stand anywhere after message_start.  Or, at any place,
`error` and nothing more: a block that was open then stays open, which shows the client that it is incomplete.  The
`event:` line is required: clients skip an event without one.  A block starts empty, because clients take text and tool
input from deltas only.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, Protocol, TypeAlias

from asgi_llmgate.errors import GateError
from asgi_llmgate.exchange_values import Usage
from asgi_llmgate.protocol.buffer_limit import BufferLimit
from asgi_llmgate.protocol.error_bodies import error_event
from asgi_llmgate.protocol.rawjson.strings import embedded_object, escape

SIGNATURE = "llmgate"
"""The `signature` of every thinking block that is written here, or its beginning (`translation.carriers`).  By it such
a block is recognised when the client sends it back: it does not come from Anthropic."""


INVALID_INPUT = "INVALID_JSON"
"""The member that holds the text of a tool input that is not a JSON object, in a Message; a stream has the text itself.
https://platform.claude.com/docs/en/agents-and-tools/tool-use/fine-grained-tool-streaming has that name."""


TextKind: TypeAlias = Literal["text", "thinking"]


class Emitter(Protocol):
    """Writes one response.  `raw` is JSON-escaped characters without the quotes (see `rawjson.strings`).

    What takes `raw`, `close` and `close_tool` raise errors.ResponseTooLarge where the content is kept and there is no
    room for it.
    """

    def start(self, message_id: str, model: str, input_tokens: int) -> None:
        """The response begins.  A second call is ignored."""

    def open_block(self, kind: TextKind) -> None:
        """Open a text or thinking block.  No other block may be open."""

    def write_text(self, raw: bytes) -> None:
        """More of the open text or thinking block."""

    def open_tool(self, call_id: str, name: str) -> None:
        """Open a tool_use block.  No other block may be open."""

    def write_input(self, raw: bytes) -> None:
        """More of the open call's input: a piece of its JSON, itself written as a JSON string."""

    def close_tool(self, *, is_cut: bool) -> None:
        """The open call has ended, whatever its input is.  `is_cut`: the model was stopped before the end of it."""

    def close(self, signature: str = SIGNATURE) -> None:
        """The open block is complete; `signature` is for a thinking block."""

    def ping(self) -> None:
        """Keep the connection alive."""

    def finish(self, stop_reason: str, stop_sequence: str | None, usage: Usage, safeguard_results: bytes = b"") -> None:
        """The response is complete.  `safeguard_results` are JSON (`safeguards`), empty where none were asked for."""

    def fail(self, error: GateError) -> None:
        """The response ends here and is incomplete."""

    def take(self) -> bytes:
        """The bytes that are ready, once.  Raises what `fail` was given where no error can be written."""


def usage_json(usage: Usage) -> bytes:
    """Anthropic's `usage`, whose `input_tokens` are those that no cache was involved in."""
    fresh = max(0, usage.input - usage.cache_read - usage.cache_creation)
    details = b',"output_tokens_details":{"thinking_tokens":%d}' % usage.reasoning if usage.reasoning else b""
    return b'{"input_tokens":%d,"cache_creation_input_tokens":%d,"cache_read_input_tokens":%d,"output_tokens":%d%b}' % (
        fresh,
        usage.cache_creation,
        usage.cache_read,
        usage.output,
        details,
    )


def _ending(stop_reason: str, stop_sequence: str | None, safeguard_results: bytes) -> bytes:
    sequence = b"null" if stop_sequence is None else b'"%b"' % escape(stop_sequence)
    details = (
        b',"stop_details":{"type":"refusal","category":null,"explanation":null}' if stop_reason == "refusal" else b""
    )
    results = b',"safeguard_results":%b' % safeguard_results if safeguard_results else b""
    return b'"stop_reason":"%b","stop_sequence":%b%b%b' % (stop_reason.encode(), sequence, details, results)


_MESSAGE = b'{"id":"%b","type":"message","role":"assistant","model":"%b","content":%b,%b,"usage":%b}'


_BLOCK_START = (
    b'event: content_block_start\ndata: {"type":"content_block_start","index":%d,"content_block":{"type":%b}}\n\n'
)
_SIGNATURE_DELTA = (
    b"event: content_block_delta\n"
    b'data: {"type":"content_block_delta","index":%d,"delta":{"type":"signature_delta","signature":"%b"}}\n\n'
)
_DELTA = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":%b:"'
"""The beginning of a delta, up to its text: index and kind."""

_BLOCKS: Mapping[TextKind, tuple[bytes, bytes]] = MappingProxyType(
    {
        "text": (b'"text","text":""', b'"text_delta","text"'),
        "thinking": (b'"thinking","thinking":"","signature":""', b'"thinking_delta","thinking"'),
    }
)
"""How a block begins, and of which kind its deltas are."""


class SSEEmitter:
    """Writes the stream.  `request_id` is written into an error event."""

    __slots__ = ("_begun", "_index", "_is_thinking", "_out", "_prefix", "_request_id")

    def __init__(self, request_id: str = "") -> None:
        self._request_id = request_id
        self._begun = False
        self._out: list[bytes] = []
        self._index = -1  # of the block that was opened last
        self._is_thinking = False
        self._prefix = b""  # of the deltas of the open block: all that stands before their text

    def take(self) -> bytes:
        out = b"".join(self._out)
        self._out.clear()
        return out

    def start(self, message_id: str, model: str, input_tokens: int) -> None:
        if self._begun:
            return
        self._begun = True
        no_ending = b'"stop_reason":null,"stop_sequence":null'
        usage = usage_json(Usage(input=input_tokens))
        message = _MESSAGE % (escape(message_id), escape(model), b"[]", no_ending, usage)
        self._out.append(b'event: message_start\ndata: {"type":"message_start","message":%b}\n\n' % message)

    def open_block(self, kind: TextKind) -> None:
        block, delta = _BLOCKS[kind]
        self._index += 1
        self._is_thinking = kind == "thinking"
        self._prefix = _DELTA % (self._index, delta)
        self._out.append(_BLOCK_START % (self._index, block))

    def write_text(self, raw: bytes) -> None:
        if raw:
            self._out.append(b'%b%b"}}\n\n' % (self._prefix, raw))

    def open_tool(self, call_id: str, name: str) -> None:
        block = b'"tool_use","id":"%b","name":"%b","input":{}' % (escape(call_id), escape(name))
        self._index += 1
        self._is_thinking = False
        self._prefix = _DELTA % (self._index, b'"input_json_delta","partial_json"')
        self._out.append(_BLOCK_START % (self._index, block))

    def write_input(self, raw: bytes) -> None:
        self._out.append(b'%b%b"}}\n\n' % (self._prefix, raw))

    def close_tool(self, *, is_cut: bool) -> None:
        self.close()

    def close(self, signature: str = SIGNATURE) -> None:
        if self._is_thinking:
            self._out.append(_SIGNATURE_DELTA % (self._index, signature.encode()))
        self._out.append(b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n' % self._index)

    def ping(self) -> None:
        if self._begun:
            self._out.append(b'event: ping\ndata: {"type":"ping"}\n\n')

    def finish(self, stop_reason: str, stop_sequence: str | None, usage: Usage, safeguard_results: bytes = b"") -> None:
        self._out.append(
            b'event: message_delta\ndata: {"type":"message_delta","delta":{%b},"usage":%b}\n\n'
            b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
            % (_ending(stop_reason, stop_sequence, safeguard_results), usage_json(usage))
        )

    def fail(self, error: GateError) -> None:
        self._out.append(error_event(error, self._request_id, "messages"))


_BLOCK_SIZE = 128
"""Bytes that a block of a Message takes beside its content."""


class MessageEmitter:
    """Collects the Message; `retained` counts its content."""

    __slots__ = ("_blocks", "_call", "_ending", "_error", "_head", "_kind", "_pieces", "_retained", "_usage")

    def __init__(self, retained: BufferLimit | None = None) -> None:
        self._retained = retained or BufferLimit()
        self._head: tuple[bytes, bytes] | None = None
        self._blocks: list[bytes] = []
        self._kind = ""
        self._call: tuple[bytes, bytes] = (b"", b"")
        self._pieces = bytearray()
        self._ending = b""
        self._usage = b""
        self._error: GateError | None = None

    def take(self) -> bytes:
        """The Message as JSON, once it is complete.  Raises what `fail` was given."""
        if self._error is not None:
            raise self._error
        assert self._head is not None
        return _MESSAGE % (*self._head, b"[%b]" % b",".join(self._blocks), self._ending, self._usage)

    def start(self, message_id: str, model: str, input_tokens: int) -> None:
        if self._head is None:
            self._head = (escape(message_id), escape(model))

    def open_block(self, kind: TextKind) -> None:
        self._kind = kind

    def write_text(self, raw: bytes) -> None:
        self._retained.add(len(raw))
        self._pieces += raw

    def open_tool(self, call_id: str, name: str) -> None:
        self._kind = "tool"
        self._call = (escape(call_id), escape(name))

    def write_input(self, raw: bytes) -> None:
        self.write_text(raw)

    def close_tool(self, *, is_cut: bool) -> None:
        content = bytes(self._pieces)
        found = embedded_object(content)
        if found is None:
            found = b"{}" if is_cut else b'{"%b":"%b"}' % (INVALID_INPUT.encode(), content)
            self._retained.add(max(0, len(found) - len(content)))
        self._end_block(b'{"type":"tool_use","id":"%b","name":"%b","input":%b}' % (*self._call, found))

    def close(self, signature: str = SIGNATURE) -> None:
        if self._kind == "tool":
            self.close_tool(is_cut=True)
        elif self._kind == "thinking":
            self._end_block(
                b'{"type":"thinking","thinking":"%b","signature":"%b"}' % (bytes(self._pieces), signature.encode())
            )
        else:
            self._end_block(b'{"type":"text","text":"%b"}' % bytes(self._pieces))

    def _end_block(self, block: bytes) -> None:
        self._retained.add(_BLOCK_SIZE)
        self._pieces.clear()
        self._blocks.append(block)

    def ping(self) -> None:
        pass

    def finish(self, stop_reason: str, stop_sequence: str | None, usage: Usage, safeguard_results: bytes = b"") -> None:
        self._ending = _ending(stop_reason, stop_sequence, safeguard_results)
        self._usage = usage_json(usage)

    def fail(self, error: GateError) -> None:
        self._error = error
        self._pieces.clear()
        self._blocks.clear()
