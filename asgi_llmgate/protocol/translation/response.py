"""From an OpenAI answer to an Anthropic one, event by event.

Theory of operation
===================

An OpenAI answer is a heap of deltas: one chunk may hold reasoning, text, pieces of several tool calls, a finish
reason and a count of tokens, all at once, in any order over time, and parallel calls arrive interleaved.  An
Anthropic answer is a row of blocks, of which exactly one is open.  So this is a machine with one question: a piece of
some block has come; what about the block that is open?

The state is what is open:

    idle       nothing
    text       a text block
    thinking   a thinking block
    call       a tool call, whose block must not end before its arguments are a whole JSON object
    done       the answer has ended, well or not; whatever comes now is ignored

and the input is what has come: text, thinking, or a new call.  What to do is one of

    open       begin its block
    write      it belongs to the open block: pass it on
    switch     end the open block, begin the next
    hold       let it wait in the queue until the open call is whole

`TRANSITIONS` is the whole table.  Two things stand beside it, because they depend on data and not on the state:

- More of a call that is known already goes to that call.  If the call is the open one, it is passed on, and if that
  makes the call whole, the queue moves up (`_move_up`).  If the call waits in the queue, its pieces wait with it.  If
  the call has been closed, the server contradicts itself, and the answer fails.
- A call is told when it has a name and the first of its arguments, or at the end: names come late, or in pieces.  Until
  then it is open here although no block is open outside.

The end
-------

`finish_reason` is remembered, not acted on: usage may follow it, and some servers repeat it.  The end is `[DONE]`, or
the end of the bytes after a finish reason.  Then everything that waits is told, and `message_delta`
carries the stop reason and the final count.  The end of the bytes without either is a broken answer: Claude Code
knows how to go on from one, but only if it can see that it is broken, so the open block stays open and an error event
is the last thing said.  After a finish reason no failure can take anything away any more, and the answer ends well.

`feed_document` is the same machine, fed with one big delta.
"""

from __future__ import annotations

from collections import deque
from types import MappingProxyType
from typing import Literal, TypeAlias

from asgi_llmgate.errors import Broken, GateError
from asgi_llmgate.exchange import Answer, Usage
from asgi_llmgate.protocol.buffer_limit import BufferLimit
from asgi_llmgate.protocol.chat import finish_reasons
from asgi_llmgate.protocol.chat.chunks import Chunk, Delta, Function, read_chunk
from asgi_llmgate.protocol.chat.metadata import Facts
from asgi_llmgate.protocol.chat.tool_calls import Call, Calls
from asgi_llmgate.protocol.messages.events import Emitter
from asgi_llmgate.protocol.rawjson.strings import escape, raw_text, unescape
from asgi_llmgate.protocol.sse import END, KEEPALIVES
from asgi_llmgate.protocol.translation.response_plan import ResponsePlan
from asgi_llmgate.protocol.translation.response_text import Prose

State: TypeAlias = Literal["idle", "text", "thinking", "call", "done"]
Input: TypeAlias = Literal["text", "thinking", "call"]
Action: TypeAlias = Literal["open", "write", "switch", "hold"]

TRANSITIONS: MappingProxyType[State, dict[Input, Action]] = MappingProxyType(
    {
        "idle": {"text": "open", "thinking": "open", "call": "open"},
        "text": {"text": "write", "thinking": "switch", "call": "switch"},
        "thinking": {"text": "switch", "thinking": "write", "call": "switch"},
        "call": {"text": "hold", "thinking": "hold", "call": "hold"},
    }
)

BLOCKS = 10_000
"""Content blocks that one answer may hold."""

_ENTRY = 256
"""Bytes that something in the queue takes beside its text."""


class Translator:
    """A ResponseHandler that writes with `emitter`.  `retained` counts what waits in the queue, and the arguments of
    calls.

    `started`: the first block has begun, so that no other attempt can take this one's place.  `finished`: the server
    has said why it stopped, so that only the count of tokens may follow.  `error`: what the answer ended in, if not
    well.  `reported`: what was changed on the way, for the record.  No method raises; after the end all of them do
    nothing.
    """

    def __init__(self, plan: ResponsePlan, emitter: Emitter, retained: BufferLimit | None = None) -> None:
        self.started = False
        self.error: GateError | None = None
        self.take = emitter.take
        self._plan = plan
        self._emitter = emitter
        self._retained = retained or BufferLimit()
        self._blocks = 0
        self._state: State = "idle"
        self._call: Call | None = None  # the open one
        self._queue: deque[tuple[Input, bytearray | Call]] = deque()
        self._facts = Facts(plan)
        self._prose = Prose(plan)
        self._calls = Calls(plan, self._retained)
        self.changed = self._calls.reported
        self._begun = False
        self._said_done = False
        self._is_local = False

    @property
    def done(self) -> bool:
        return self._state == "done"

    @property
    def finished(self) -> bool:
        return bool(self._facts.finish_reason)

    @property
    def usage(self) -> Usage:
        """The server's last count, or an estimate as long as, or where, it has not counted."""
        return Usage() if self._is_local else self._facts.usage(self._prose.size + self._calls.size)

    @property
    def metadata(self) -> Answer:
        """What the server said about itself, and which tools the client has been told to call."""
        return self._facts.answer(self._calls.told)

    def _begin(self) -> None:
        """Start the answer, also before the server has spoken; then under the plan's id and model."""
        self._begun = True
        plan, facts = self._plan, self._facts
        model = plan.model if plan.echo_model else facts.model or plan.model
        self._emitter.start(facts.id or plan.message_id, model, plan.input_estimate)

    def ping(self) -> None:
        """Write a keep-alive; before it, the start of the response."""
        if self._state == "done":
            return
        self._begin()
        self._emitter.ping()

    def feed_event(self, event: bytes) -> None:
        """One event's data."""
        if self._state == "done":
            return
        if event == END:
            self._said_done = True
            self.end()
        elif event not in KEEPALIVES:
            try:
                self._chunk(read_chunk(event), event)
            except GateError as error:
                self.fail(error)

    def feed_document(self, completion: bytes) -> None:
        """An answer that came as one JSON document."""
        self._said_done = True
        try:
            chunk = read_chunk(completion)
            for choice in chunk.choices or ():
                if choice.message is not None:
                    for number, call in enumerate(choice.message.tool_calls or ()):
                        call.index = number
            self._chunk(chunk, completion)
            self._end()
        except GateError as error:
            self._fail(error)

    def write_local(self, text: str) -> None:
        """An answer of our own, for which nobody was asked; an empty one is the answer to `max_tokens: 0`."""
        self._is_local = True
        self._begin()
        if text:
            self._emitter.text(escape(text))
            self._emitter.close()
        self._emitter.finish("end_turn" if text else "max_tokens", None, self.usage)
        self._state = "done"

    def end(self) -> None:
        """The server's bytes have ended."""
        if self._state == "done":
            return
        try:
            self._end()
        except GateError as error:
            self._fail(error)

    def fail(self, error: GateError) -> None:
        """Something went wrong.  If all but the count of tokens had been said, the answer ends well nevertheless."""
        if self.finished:
            self.end()
        elif self._state != "done":
            self._fail(error)

    def _fail(self, error: GateError) -> None:
        self._state = "done"
        self.error = error
        self._queue.clear()
        self._emitter.fail(error)

    def _chunk(self, chunk: Chunk, event: bytes) -> None:
        self._facts.note_chunk(chunk, event)
        for choice in chunk.choices or ():
            if choice.index:
                continue  # we ask for one; a server that sends more is heard once
            if not self._begun:
                self._begin()
            delta = choice.delta or choice.message
            if delta is not None:
                self._delta(delta)
            self._facts.note_choice(choice)

    def _delta(self, delta: Delta) -> None:
        for kind, raw in self._prose.read(delta):
            self._take(kind, raw)
        for call in delta.tool_calls or ():
            self._add_to_call(call.index, call.id, call.function or Function())
        if delta.function_call is not None:
            self._add_to_call(None, None, delta.function_call)

    def _add_to_call(self, index: int | None, call_id: str | None, function: Function) -> None:
        arguments = raw_text(function.arguments)
        if self._prose.limited:
            return
        call, is_new = self._calls.place(index, call_id or "", function.name or "", arguments)
        if is_new:
            self._flush()
            self._take("call", call)
        elif call is self._call:
            self._tell(call)
            if self._queue and call.has_just_become_whole():
                self._move_up()
        elif call.closed and unescape(arguments).strip():
            raise Broken("the model server went on with a tool call that was complete")

    def _take(self, kind: Input, block: bytes | Call) -> None:
        action = TRANSITIONS[self._state][kind]
        if action == "hold":
            self._hold(kind, block)
            if len(self._queue) == 1:
                self._move_up()
            return
        if action == "switch":
            self._emitter.close()
        if action != "write":
            self._blocks += 1
            if self._blocks > BLOCKS:
                raise Broken(f"the model server's answer has more than {BLOCKS} content blocks")
        self._state = kind
        if isinstance(block, Call):
            self._call = block
            self._tell(block)
            return
        self.started = True
        if kind == "text":
            self._emitter.text(block)
        else:
            self._emitter.thinking(block)

    def _hold(self, kind: Input, block: bytes | Call) -> None:
        """Let it wait.  Neighbours of one kind are one passage, in however many pieces they come."""
        if isinstance(block, Call):
            self._retained.add(_ENTRY)
            self._queue.append((kind, block))
            return
        last_kind, last = self._queue[-1] if self._queue else ("", None)
        if kind == last_kind and isinstance(last, bytearray):
            self._retained.add(len(block))
            last += block
        else:
            self._retained.add(_ENTRY + len(block))
            self._queue.append((kind, bytearray(block)))

    def _tell(self, call: Call) -> None:
        self._calls.tell(call, self._emitter)
        self.started = self.started or call.opened

    def _move_up(self) -> None:
        """Tell what waits, as far as calls are whole."""
        while self._queue:
            if self._call is not None:
                if not (self._call.opened and self._call.is_whole()):
                    return
                self._emitter.close()
                self._leave(self._call)
            kind, block = self._queue.popleft()
            if isinstance(block, Call):
                self._retained.release(_ENTRY)
                self._take(kind, block)
            else:
                self._retained.release(_ENTRY + len(block))
                self._take(kind, bytes(block))

    def _leave(self, call: Call) -> None:
        self._calls.close(call)
        self._call = None
        self._state = "idle"

    def _flush(self) -> None:
        for kind, raw in self._prose.rest():
            self._take(kind, raw)

    def _end(self) -> None:
        """Tell the rest, then how it ended.  Raises errors.Broken where that would hide a loss."""
        if not self.finished and not self._said_done:
            raise Broken("the model server closed the stream before it finished")
        if not (self.finished or self.started or self._call or self._prose.size):
            raise Broken("the model server sent an empty answer")
        self._tell_rest()
        facts = self._facts
        if not finish_reasons.is_known(facts.finish_reason):
            self.changed.append("finish_reason")
        reason = finish_reasons.stop_reason(
            "length" if self._prose.limited else facts.finish_reason,
            called=bool(self._calls.told),
            refused=self._prose.refused,
            matched=facts.matched is not None,
        )
        self._emitter.finish(reason, facts.matched if reason == "stop_sequence" else None, self.usage)
        self._state = "done"

    def _tell_rest(self) -> None:
        """Tell what was held back and what waits, and end the last block; an answer of nothing is one empty block."""
        self._flush()
        while self._call is not None:
            self._calls.settle(
                self._call, self._emitter, cut=self._prose.limited or finish_reasons.is_cut(self._facts.finish_reason)
            )
            self.started = self.started or self._call.opened
            self._leave(self._call)
            self._move_up()
        if not self.started:
            self._take("text", b"")
        if self._state != "idle":
            self._emitter.close()
