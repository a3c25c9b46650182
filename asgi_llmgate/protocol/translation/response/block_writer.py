"""Writes the content blocks of a response, of which one is open at a time: what happens to it when a piece comes.

The state is what is open:

    idle       nothing
    text       a text block
    thinking   a thinking block
    call       a tool call, whose block must not end before its arguments are a complete JSON object

The input is what has come: text, thinking, or a new call.  The action is one of

    open       begin its block
    write      it belongs to the open block: write it
    switch     end the open block, begin the next
    hold       put it into the queue until the open call is complete

`TRANSITIONS` is the whole table.  Two rules stand beside it, because they depend on data and not on the state:

- More of a call that has begun goes to that call.  If the call is open, it is written, and if it is complete now, the
  queue moves up (`write_more`).  If the call waits in the queue, its pieces wait with it.  If the call is closed,
  they are left out: they repeat it, or are no part of it (see `assembled_call`).
- The block of a call begins once the call has a name and the first of its arguments, or at the end: names come late,
  or in pieces, and `{}` may be a placeholder.  Until then the state is `call` although no block has begun.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Literal, TypeAlias

from asgi_llmgate.errors import Broken
from asgi_llmgate.protocol.buffer_limit import BufferLimit
from asgi_llmgate.protocol.chat.assembled_call import AssembledCall
from asgi_llmgate.protocol.chat.tool_calls import ToolCallAssembler
from asgi_llmgate.protocol.messages.events import SIGNATURE, Emitter
from asgi_llmgate.protocol.translation.response.block_queue import BlockQueue, Content, Kind
from asgi_llmgate.protocol.translation.response.carriers import CarrierCollector
from asgi_llmgate.protocol.translation.response.tool_use_blocks import ToolUseWriter

State: TypeAlias = Literal["idle", "text", "thinking", "call"]
Action: TypeAlias = Literal["open", "write", "switch", "hold"]

TRANSITIONS: MappingProxyType[State, dict[Kind, Action]] = MappingProxyType(
    {
        "idle": {"text": "open", "thinking": "open", "call": "open"},
        "text": {"text": "write", "thinking": "switch", "call": "switch"},
        "thinking": {"text": "switch", "thinking": "write", "call": "switch"},
        "call": {"text": "hold", "thinking": "hold", "call": "hold"},
    }
)

MAX_BLOCKS = 10_000
"""Content blocks in one response."""


class BlockWriter:
    """Writes the blocks of one response with `emitter`, those of calls with `tools`.

    `state` is what is open, `call` the open call; `started`: a block has begun.  Calls that are closed are reported to
    `assembler`, the signatures of thinking blocks come from `carriers`, and `retained` counts what waits in the queue.
    """

    __slots__ = (
        *("_assembler", "_blocks", "_carriers", "_emitter", "_queue", "_retained", "_tools"),
        *("call", "started", "state"),
    )

    def __init__(
        self,
        emitter: Emitter,
        *,
        tools: ToolUseWriter,
        assembler: ToolCallAssembler,
        carriers: CarrierCollector,
        retained: BufferLimit,
    ) -> None:
        self.state: State = "idle"
        self.call: AssembledCall | None = None
        self.started = False
        self._emitter = emitter
        self._tools = tools
        self._assembler = assembler
        self._carriers = carriers
        self._retained = retained
        self._queue: BlockQueue | None = None  # from the first that has to wait on
        self._blocks = 0

    def write(self, kind: Kind, content: Content) -> None:
        """A piece has come: text or thinking in raw form, or a new call.

        Raises `errors.Broken` for more blocks than a response may have.
        """
        action = TRANSITIONS[self.state][kind]
        if action == "hold":
            if self._queue is None:
                self._queue = BlockQueue(self._retained)
            self._queue.put(kind, content)
            # The first in the queue: the open call may have been complete already.
            if len(self._queue) == 1:
                self._move_up()
            return
        if action == "switch":
            self._close_text()
        if action != "write":
            self._blocks += 1
            if self._blocks > MAX_BLOCKS:
                raise Broken(f"the model server's response has more than {MAX_BLOCKS} content blocks")
            self.state = kind
        if isinstance(content, AssembledCall):
            self.call = content
            self._tools.write(content)
            if content.started:
                self.started = True
        else:
            assert kind != "call"
            self.started = True
            if action != "write":
                if kind == "text":
                    self._carriers.write_block(self._emitter)
                self._emitter.open_block(kind)
            self._emitter.write_text(content)

    def write_more(self, call: AssembledCall) -> None:
        """More of the open call has come."""
        self._tools.write(call)
        if call.started:
            self.started = True
        if self._queue and call.is_complete():
            self._move_up()

    def end(self, *, cut: bool) -> None:
        """End what is open and write what waits; an empty response gets one empty block.

        `cut`: the model was stopped before the end.  Raises `errors.Broken` for a call without a name.
        """
        while self.call is not None:
            self._tools.end(self.call, cut=cut)
            if self.call.started:
                self.started = True
            self._close(self.call)
            self._move_up()
        if not self.started:
            self.write("text", b"")
        if self.state != "idle":
            self._close_text()

    def clear(self) -> None:
        """The response has failed: what waits is left out."""
        self._queue = None

    def _move_up(self) -> None:
        """Write what waits, up to the first call that is not complete."""
        while self._queue:
            if self.call is not None:
                if not (self.call.started and self.call.is_complete()):
                    return
                self._emitter.close()
                self._close(self.call)
            self.write(*self._queue.pop())

    def _close_text(self) -> None:
        """End the open block of text or thinking."""
        if self.state == "thinking":
            self._emitter.close(self._carriers.take_signature() or SIGNATURE)
        else:
            self._emitter.close()

    def _close(self, call: AssembledCall) -> None:
        self._tools.keep(call)
        self._assembler.close(call)
        self.call = None
        self.state = "idle"
