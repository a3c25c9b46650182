"""Translates a response of chat completions into a response of Messages, event by event.

How it works
============

A chat completion is a sequence of deltas.  One chunk may hold reasoning, text, pieces of several tool calls, a finish
reason and the usage, in any order over time, and parallel calls arrive interleaved.  A Message is a sequence of content
blocks, of which one is open at a time.  So this is a state machine, and its question is: a piece of some block has
come; what happens to the block that is open?

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
  queue moves up (`_move_up`).  If the call waits in the queue, its pieces wait with it.  If the call is closed,
  they are left out: they repeat it, or are no part of it (see `assembled_call`).
- The block of a call begins once the call has a name and the first of its arguments, or at the end: names come late,
  or in pieces, and `{}` may be a placeholder.  Until then the state is `call` although no block has begun.

The end
-------

`finish_reason` is only remembered: the usage may follow it, and some servers repeat it.  The end is `[DONE]`, or the
end of the bytes after a finish reason; `stopped` tells the reader of the bytes that it need not wait long for either.
Then everything that waits is written, and `message_delta` has the stop reason and the final usage.  The end of the
bytes without either is a broken response.  Claude Code can continue after one, but only if it sees that it is broken;
so the open block stays open, and the last event is an error.  After a finish reason no failure can take anything away,
and the response ends well.

`feed_document` runs the same machine with one large delta.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import MappingProxyType
from typing import Literal, TypeAlias

from msgspec import Raw

from asgi_llmgate.errors import Broken, Failed, GateError
from asgi_llmgate.exchange_values import ResponseMetadata, Usage
from asgi_llmgate.protocol.buffer_limit import BufferLimit
from asgi_llmgate.protocol.chat import finish_reasons
from asgi_llmgate.protocol.chat.assembled_call import AssembledCall
from asgi_llmgate.protocol.chat.choices import ChoiceSelector
from asgi_llmgate.protocol.chat.chunks import Choice, Chunk, CutChunk, Function, ToolCall, read_chunk
from asgi_llmgate.protocol.chat.delta_content import Passage, read_passages
from asgi_llmgate.protocol.chat.metadata import MetadataReader
from asgi_llmgate.protocol.chat.tool_calls import ToolCallAssembler
from asgi_llmgate.protocol.messages.events import SIGNATURE, Emitter
from asgi_llmgate.protocol.rawjson.strings import escape, raw_text
from asgi_llmgate.protocol.rawjson.surrogate_halves import SurrogateJoiner
from asgi_llmgate.protocol.servers.errors.upstream_errors import silent_overflow
from asgi_llmgate.protocol.sse import END, KEEPALIVES
from asgi_llmgate.protocol.translation.response.block_queue import BlockQueue, Content, Kind
from asgi_llmgate.protocol.translation.response.carriers import CarrierCollector
from asgi_llmgate.protocol.translation.response.plan import ResponsePlan
from asgi_llmgate.protocol.translation.response.stop_reason import stop_reason
from asgi_llmgate.protocol.translation.response.text import ResponseText
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


class Translator:
    """A ResponseHandler that writes with `emitter`.

    `retained` counts the queue and the arguments of calls.
    """

    __slots__ = (
        *("_assembler", "_begun", "_blocks", "_call", "_carriers", "_emitter", "_is_complete", "_is_local"),
        *("_metadata", "_plan"),
        *(
            "_choices",
            "_joiner",
            "_queue",
            "_state",
            "_text",
            "_tools",
            "changed",
            "done",
            "error",
            "started",
            "stopped",
        ),
        "take",
    )

    def __init__(self, plan: ResponsePlan, emitter: Emitter, retained: BufferLimit | None = None) -> None:
        retained = retained or BufferLimit()
        self.started = False
        self.stopped = False
        self.done = False
        self.error: GateError | None = None
        self.take = emitter.take
        self._plan = plan
        self._emitter = emitter
        self._metadata = MetadataReader(plan.input_estimate, plan.stop_sequences)
        self._choices = ChoiceSelector()
        self._joiner: SurrogateJoiner | None = None
        self._text = ResponseText(plan)
        self._assembler = ToolCallAssembler(retained)
        self._carriers = CarrierCollector(plan.seal, plan.message_id, retained)
        self._tools = ToolUseWriter(
            emitter, names=plan.names, message_id=plan.message_id, carriers=self._carriers, tools=plan.tools
        )
        self.changed = self._carriers.changed = self._tools.changed
        self._state: State = "idle"
        self._call: AssembledCall | None = None  # the open one
        self._queue = BlockQueue(retained)
        self._blocks = 0
        self._begun = False
        self._is_complete = False  # `[DONE]`, or a document: nothing is missing at the end
        self._is_local = False

    @property
    def usage(self) -> Usage:
        """The server's last counts; what it has not counted is estimated."""
        return Usage() if self._is_local else self._metadata.usage(self._text.size + self._assembler.size)

    @property
    def metadata(self) -> ResponseMetadata:
        """What the server says about the response, and the tools that the client was sent calls of."""
        return self._metadata.metadata(self._tools.tool_names)

    def feed_event(self, event: bytes) -> None:
        if self.done:
            return
        if event == END:
            self._is_complete = True
            self.end()
        elif event not in KEEPALIVES:
            try:
                self._feed(read_chunk(event, is_piece=True), event)
            except GateError as error:
                self.fail(error)

    def feed_document(self, document: bytes) -> None:
        self._is_complete = True
        try:
            completion = read_chunk(document)
            for choice in completion.choices or ():
                if choice.message is not None:
                    # The calls of a completion are complete, and a missing or repeated index must not join them.
                    for number, call in enumerate(choice.message.tool_calls or ()):
                        call.index = number
            self._feed(completion, document)
            self._finish()
        except GateError as error:
            self._fail(error)

    def write_local(self, text: str) -> None:
        """Write a response of the gateway's own, and end it; an empty one is the response to `max_tokens: 0`."""
        self._is_local = True
        self._begin()
        if text:
            self._emitter.open_block("text")
            self._emitter.write_text(escape(text))
            self._emitter.close()
        self._emitter.finish("end_turn" if text else "max_tokens", None, self.usage)
        self.stopped = self.done = True

    def ping(self) -> None:
        """A keep-alive; before it, the start of the response."""
        if not self.done:
            self._begin()
            self._emitter.ping()

    def end(self) -> None:
        if self.done:
            return
        try:
            self._finish()
        except GateError as error:
            self._fail(error)

    def fail(self, error: GateError) -> None:
        """After a finish reason only the usage is missing: then the response ends well all the same."""
        if self._metadata.finish_reason:
            self.end()
        elif not self.done:
            self._fail(error)

    def _begin(self) -> None:
        """Start the response, with the plan's id, and its model where the server has not named one."""
        if self._begun:
            return
        self._begun = True
        model = self._plan.model if self._plan.echo_model else self._metadata.model or self._plan.model
        # Servers repeat their ids (Ollama makes 999 of them), and Claude Code joins messages of one id.
        self._emitter.start(self._plan.message_id, model, self._plan.input_estimate)

    def _fail(self, error: GateError) -> None:
        self.stopped = self.done = True
        self.error = error
        self._queue.clear()
        self._emitter.fail(error)

    def _feed(self, chunk: Chunk, event: bytes) -> None:
        metadata = self._metadata
        is_new = not metadata.has_names or chunk.usage is not None or chunk.x_groq is not None
        if is_new or chunk.error or not chunk.choices:
            metadata.read_chunk(chunk, event)
        if isinstance(chunk, CutChunk) and self._joiner is None:
            self._joiner = SurrogateJoiner()
        choices: Iterable[Choice] = chunk.choices or ()
        if chunk.choices and (len(chunk.choices) > 1 or chunk.choices[0].index != self._choices.index):
            choices = self._select(chunk.choices)
        for choice in choices:
            if not self._begun:
                self._begin()
            delta = choice.delta or choice.message
            if delta is not None:
                if (
                    delta.reasoning_details
                    or delta.extra_content
                    or delta.thinking_blocks
                    or delta.reasoning_opaque
                    or delta.reasoning_signature
                ):
                    self._carriers.read_message(delta)
                passages = read_passages(delta)
                if self._joiner is not None:
                    passages = [(kind, self._joiner.join(kind, raw)) for kind, raw in passages]
                for kind, raw in self._text.read(passages):
                    if kind == self._state:
                        self._emitter.write_text(raw)  # the action is `write`, as for nearly every event
                    else:
                        self._write(kind, raw)
                for call in delta.tool_calls or ():
                    self._add_to_call(call.index, call.id, call.function or Function(), call)
                if delta.function_call is not None:
                    self._add_to_call(None, None, delta.function_call)
            # Last, because an error in it must not discard the content of the same choice.
            if choice.finish_reason or choice.usage is not None or choice.error:
                metadata.read_choice(choice)
                self.stopped = bool(metadata.finish_reason)

    def _select(self, choices: list[Choice]) -> Iterator[Choice]:
        for choice in choices:
            if choice.index == self._choices.index:
                yield choice
            else:
                yield from self._choices.select(
                    choice,
                    several=len(choices) > 1,
                    has_content=self._has_content(),
                    has_ended=bool(self._metadata.finish_reason),
                )

    def _has_content(self) -> bool:
        return self.started or self._call is not None or not self._text.is_empty

    def _add_to_call(
        self, index: int | None, call_id: str | None, function: Function, piece: ToolCall | None = None
    ) -> None:
        arguments = raw_text(function.arguments)
        if self._text.limited:
            return
        if self._joiner is not None:
            arguments = self._joiner.join("call" if index is None else index, arguments)
        call, is_new = self._assembler.add(index, call_id or "", function.name or "", arguments)
        if piece is not None and (piece.extra_content or piece.provider_specific_fields):
            self._carriers.read_call(call.number, piece)
        if is_new:
            self._write_rest_of_text()
            self._write("call", call)
        elif call is self._call:
            self._write_call(call)
            if self._queue and call.is_complete():
                self._move_up()

    def _write(self, kind: Kind, content: Content) -> None:
        action = TRANSITIONS[self._state][kind]
        if action == "hold":
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
            self._state = kind
        if isinstance(content, AssembledCall):
            self._call = content
            self._write_call(content)
        else:
            assert kind != "call"
            self.started = True
            if action != "write":
                if kind == "text":
                    self._carriers.write_block(self._emitter)
                self._emitter.open_block(kind)
            self._emitter.write_text(content)

    def _close_text(self) -> None:
        """End the open block of text or thinking."""
        if self._state == "thinking":
            self._emitter.close(self._carriers.take_signature() or SIGNATURE)
        else:
            self._emitter.close()

    def _write_call(self, call: AssembledCall) -> None:
        self._tools.write(call)
        if call.started:
            self.started = True

    def _write_rest_of_text(self) -> None:
        for kind, raw in self._text.rest():
            self._write(kind, raw)

    def _write_end_of_text(self, *, cut: bool) -> None:
        pieces, leaked = self._text.end(cut=cut)
        for kind, raw in pieces:
            self._write(kind, raw)
        if leaked is not None:
            self.changed.append("tool_calls.rescued" if leaked else "content.end_tokens")
            for index, call in enumerate(leaked):
                self._add_to_call(index, call.id, Function(call.name, Raw(call.arguments)))

    def _move_up(self) -> None:
        """Write what waits, up to the first call that is not complete."""
        while self._queue:
            if self._call is not None:
                if not (self._call.started and self._call.is_complete()):
                    return
                self._emitter.close()
                self._close(self._call)
            self._write(*self._queue.pop())

    def _close(self, call: AssembledCall) -> None:
        self._assembler.close(call)
        self._call = None
        self._state = "idle"

    def _finish(self) -> None:
        """Write what is left, then the stop reason.  Raises errors.Broken where that would hide a loss."""
        metadata, text = self._metadata, self._text
        if waiting := self._choices.rest():
            self._feed(Chunk(choices=waiting), b"")
        if not metadata.finish_reason and (not self._is_complete or self._choices.ignored):
            raise Broken("the model server closed the stream before it finished")
        has_content = self._has_content()
        if not (metadata.finish_reason or has_content):
            raise Broken("the model server sent an empty response")
        if not has_content and metadata.had_no_room():
            raise silent_overflow()
        self._write_rest()
        if self._state != "idle":
            self._close_text()
        self._carriers.end()
        if finish_reasons.ending(metadata.finish_reason) is None:
            if metadata.finish_reason and not has_content:
                raise Failed("the model server gave no content, and a reason that is not known")
            self.changed.append("finish_reason")
        reason = stop_reason(
            "length" if text.limited else metadata.finish_reason,
            has_tool_calls=bool(self._tools.tool_names),
            refused=text.refused,
            stop_matched=metadata.matched_stop is not None,
        )
        stop_sequence = metadata.matched_stop if reason == "stop_sequence" else None
        self._emitter.finish(reason, stop_sequence, self.usage)
        self.stopped = self.done = True

    def _write_rest(self) -> None:
        """Write what was buffered and what waits; an empty response gets one empty block."""
        cut = finish_reasons.is_cut(self._metadata.finish_reason)
        if self._joiner is not None:
            halves: list[Passage] = [(kind, self._joiner.rest(kind)) for kind in ("thinking", "text", "refusal")]
            for kind, raw in self._text.read([half for half in halves if half[1]]):
                self._write(kind, raw)
        self._write_end_of_text(cut=cut)
        cut = cut or self._text.limited or self._text.refused
        for call in self._assembler.settle():
            self._write("call", call)
        if self._assembler.has_lost_text():
            self.changed.append("tool_calls.arguments")
        while self._call is not None:
            self._tools.end(self._call, cut=cut)
            if self._call.started:
                self.started = True
            self._close(self._call)
            self._move_up()
        if not self.started:
            self._write("text", b"")
