"""Writes assembled tool calls as `tool_use` blocks."""

from __future__ import annotations

from collections.abc import Mapping

from asgi_llmgate.errors import Broken
from asgi_llmgate.exchange_values import ToolUse
from asgi_llmgate.protocol.buffer_limit import BufferLimit
from asgi_llmgate.protocol.chat.assembled_call import AssembledCall
from asgi_llmgate.protocol.chat.declared_names import declared_name
from asgi_llmgate.protocol.chat.tool_calls import CALL_SIZE
from asgi_llmgate.protocol.messages.events import Emitter
from asgi_llmgate.protocol.rawjson.strings import escape, unescape
from asgi_llmgate.protocol.translation.call_ids import make_call_id, read_call_id
from asgi_llmgate.protocol.translation.response.carriers import CarrierCollector
from asgi_llmgate.protocol.translation.response.plan import NO_TOOLS


class ToolUseWriter:
    """Writes the calls of one response, one block at a time.

    `tools` is what was declared to the model server, as JSON: `[]` for nothing, empty if it is not known.  `names` maps
    the model server's tool names to the client's, where they differ.  `message_id` is the response's, and
    the ids of its calls are made from it (`call_ids`).  `tool_names` are the client's names of the calls that were
    written, `changed` names what had to be changed in them.  With `kept`, a limit of memory, the calls are kept in
    `tool_uses`, as the client was sent them.
    """

    __slots__ = (
        *("_carriers", "_emitter", "_ids", "_kept", "_message_id", "_names", "_open", "_tools", "changed"),
        *("tool_names", "tool_uses"),
    )

    def __init__(
        self,
        emitter: Emitter,
        *,
        names: Mapping[str, str],
        message_id: str,
        carriers: CarrierCollector,
        tools: bytes = b"",
        kept: BufferLimit | None = None,
    ) -> None:
        self.tool_names: list[str] = []
        self.tool_uses: list[ToolUse] = []
        self.changed: list[str] = []
        self._carriers = carriers
        self._emitter = emitter
        self._names = names
        self._tools = tools
        self._message_id = message_id
        self._ids: set[str] = set()
        self._kept = kept
        self._open: tuple[str, str] | None = None  # id and name of the block that is open

    def write(self, call: AssembledCall) -> None:
        """Write what is new of a call.  Its block begins once the call has a name and the first of its arguments."""
        if call.started:
            if arguments := call.take():
                self._emitter.write_input(arguments)
        elif call.name and self._tools != NO_TOOLS:
            self._write(call, call.take())

    def _write(self, call: AssembledCall, arguments: bytes) -> None:
        if not arguments:
            return
        if not call.started:
            call.started = True
            name = call.name
            if self._tools and (name := declared_name(call.name, self._tools)) != call.name:
                self.changed.append("tool_calls.name")
            call_id = self._make_id(call, name)
            name = self._names.get(name, name)
            self.tool_names.append(name)
            self._carriers.write_block(self._emitter)
            self._emitter.open_tool(call_id, name)
            self._open = call_id, name
        self._emitter.write_input(arguments)

    def end(self, call: AssembledCall, *, cut: bool) -> None:
        """Write the rest of a call at the end of the response.  `cut`: the server stopped the model.

        Arguments that are not a JSON object are passed on as they are: the client tells the model, which calls again.
        Raises `errors.Broken` for a call without a name.
        """
        if not call.name:
            if not cut and (call.id or call.arguments):
                raise Broken("the model server sent a tool call without a name")
            self.changed.append("tool_calls.name")
            return
        call.finish()
        if self._tools == NO_TOOLS:
            self._write_as_text(call)
            return
        if call.repaired or not (cut or call.is_complete()):
            self.changed.append("tool_calls.arguments")
        self._write(call, call.take_rest())
        self._emitter.close_tool(is_cut=cut)

    def keep(self, call: AssembledCall) -> None:
        """The block of a call has ended, and its arguments are still there.  Raises `errors.ResponseTooLarge`."""
        opened, self._open = self._open, None
        if self._kept is not None and opened is not None:
            self._kept.add(len(call.arguments) + CALL_SIZE)
            self.tool_uses.append(ToolUse(*opened, unescape(bytes(call.arguments)).encode()))

    def _write_as_text(self, call: AssembledCall) -> None:
        """Write a call where the request has no tools (litellm#13053): no client can do anything with it."""
        call.started = True
        self.changed.append("tool_calls")
        self._emitter.open_block("text")
        self._emitter.write_text(escape(f"[tool call {call.name}: ") + call.take_rest() + b"]")
        self._emitter.close()

    def _make_id(self, call: AssembledCall, name: str) -> str:
        """The client's id of a call; `name` is the tool's, as the server knows it.  The id holds the server's, unless
        another call of this response has the same."""
        upstream_id = "" if call.id in self._ids else call.id
        self._ids.add(upstream_id)
        call_id = make_call_id(self._message_id, call.number, upstream_id, name)
        if upstream_id and read_call_id(call_id, name) is None:
            self._carriers.hold_id(call.number, upstream_id)
        return call_id
