"""Translates a response of chat completions into a response of Messages, event by event.

How it works
============

A chat completion is a sequence of deltas.  One chunk may hold reasoning, text, pieces of several tool calls, a finish
reason and the usage, in any order over time, and parallel calls arrive interleaved.  A Message is a sequence of content
blocks, of which one is open at a time.  So the work has three parts:

- `ChunkReader` reads a chunk: what it adds, and to which block or call.
- `BlockWriter` is the state machine.  A piece of some block has come: what happens to the block that is open?
- `Translator` begins and ends the response, and decides whether an end is a good one.

The end
-------

`finish_reason` is only remembered: the usage may follow it, and some servers repeat it.  The end is `[DONE]`, or the
end of the bytes after a finish reason; `stopped` tells the reader of the bytes that it need not wait long for either.
Then everything that waits is written, and `message_delta` has the stop reason and the final usage.  The end of the
bytes without either is a broken response.  Claude Code can continue after one, but only if it sees that it is broken;
so the open block stays open, and the last event is an error.  After a finish reason no failure can take anything away,
and the response ends well.

Where the client asks for verdicts on the tool calls (`plan.safeguards`), a response with calls is `held` there: all is
written but `message_delta`, which `release` writes with the verdicts.

`feed_document` runs the same machine with one large delta.
"""

from __future__ import annotations

from collections.abc import Sequence

from asgi_llmgate.errors import Broken, Failed, GateError
from asgi_llmgate.exchange_values import ResponseMetadata, Usage, Verdict
from asgi_llmgate.protocol.buffer_limit import BufferLimit
from asgi_llmgate.protocol.chat import finish_reasons
from asgi_llmgate.protocol.chat.chunks import read_chunk
from asgi_llmgate.protocol.chat.tool_calls import ToolCallAssembler
from asgi_llmgate.protocol.messages.events import Emitter
from asgi_llmgate.protocol.messages.safeguards import NO_TOOL_USES, results_json
from asgi_llmgate.protocol.rawjson.strings import escape
from asgi_llmgate.protocol.response_handler import Held
from asgi_llmgate.protocol.servers.errors.upstream_errors import silent_overflow
from asgi_llmgate.protocol.sse import END, KEEPALIVES
from asgi_llmgate.protocol.translation.response.block_writer import BlockWriter
from asgi_llmgate.protocol.translation.response.carriers import CarrierCollector
from asgi_llmgate.protocol.translation.response.chunk_reader import ChunkReader
from asgi_llmgate.protocol.translation.response.plan import ResponsePlan
from asgi_llmgate.protocol.translation.response.stop_reason import stop_reason
from asgi_llmgate.protocol.translation.response.tool_use_blocks import ToolUseWriter


class Translator:
    """A ResponseHandler that writes with `emitter`.

    `retained` counts the queue and the arguments of calls.
    """

    __slots__ = (
        *("_assembler", "_blocks", "_carriers", "_chunks", "_emitter", "_is_complete", "_is_local", "_metadata"),
        *("_safeguards", "_stop", "_tools", "changed", "done", "error", "held", "stopped", "take"),
    )

    def __init__(self, plan: ResponsePlan, emitter: Emitter, retained: BufferLimit | None = None) -> None:
        retained = retained or BufferLimit()
        self.stopped = False
        self.done = False
        self.error: GateError | None = None
        self.held: Held | None = None
        self.take = emitter.take
        self._safeguards = plan.safeguards
        self._stop: tuple[str, str | None] = ("", None)  # stop reason and stop sequence
        self._emitter = emitter
        self._assembler = assembler = ToolCallAssembler(retained)
        self._carriers = carriers = CarrierCollector(plan.seal, plan.message_id, retained)
        self._tools = ToolUseWriter(
            emitter,
            names=plan.names,
            message_id=plan.message_id,
            carriers=carriers,
            tools=plan.tools,
            kept=retained if plan.safeguards else None,
        )
        self.changed = carriers.changed = self._tools.changed
        self._blocks = BlockWriter(
            emitter, tools=self._tools, assembler=assembler, carriers=carriers, retained=retained
        )
        self._chunks = ChunkReader(
            plan, emitter, blocks=self._blocks, assembler=assembler, carriers=carriers, changed=self.changed
        )
        self._metadata = self._chunks.metadata
        self._is_complete = False  # `[DONE]`, or a document: nothing is missing at the end
        self._is_local = False

    @property
    def started(self) -> bool:
        return self._blocks.started

    @property
    def usage(self) -> Usage:
        """The server's last counts; what it has not counted is estimated."""
        return Usage() if self._is_local else self._metadata.usage(self._chunks.text.size + self._assembler.size)

    @property
    def metadata(self) -> ResponseMetadata:
        """What the server says about the response, and the tools that the client was sent calls of."""
        return self._metadata.metadata(self._tools.tool_names)

    def feed_event(self, event: bytes) -> None:
        if self.done or self.held is not None:
            return
        try:
            if self._chunks.read_repeated(event):
                return
            if event == END:
                self._is_complete = True
                self.end()
            elif event not in KEEPALIVES:
                self._chunks.read(read_chunk(event, is_piece=True), event)
                self.stopped = bool(self._metadata.finish_reason)
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
            self._chunks.read(completion, document)
            self._finish()
        except GateError as error:
            self._fail(error)

    def write_local(self, text: str) -> None:
        """Write a response of the gateway's own, and end it; an empty one is the response to `max_tokens: 0`."""
        self._is_local = True
        self._chunks.begin()
        if text:
            self._emitter.open_block("text")
            self._emitter.write_text(escape(text))
            self._emitter.close()
        self._stop = "end_turn" if text else "max_tokens", None
        self._write_end(NO_TOOL_USES if self._safeguards else b"")

    def ping(self) -> None:
        """A keep-alive; before it, the start of the response."""
        if not self.done:
            self._chunks.begin()
            self._emitter.ping()

    def release(self, verdicts: Sequence[Verdict]) -> None:
        self.held = None
        self._write_end(results_json(verdicts))

    def end(self) -> None:
        if self.done or self.held is not None:
            return
        try:
            self._finish()
        except GateError as error:
            self._fail(error)

    def fail(self, error: GateError) -> None:
        """After a finish reason only the usage is missing: then the response ends well all the same."""
        if self.held is not None:
            self.held = None
            self._fail(error)
        elif self._metadata.finish_reason:
            self.end()
        elif not self.done:
            self._fail(error)

    def _fail(self, error: GateError) -> None:
        self.stopped = self.done = True
        self.error = error
        self._blocks.clear()
        self._emitter.fail(error)

    def _finish(self) -> None:
        """Write what is left, then the stop reason.  Raises errors.Broken where that would hide a loss."""
        metadata, text = self._metadata, self._chunks.text
        self._chunks.read_waiting()
        if not metadata.finish_reason and (not self._is_complete or self._chunks.choices.ignored):
            raise Broken("the model server closed the stream before it finished")
        has_content = self._chunks.has_content
        if not (metadata.finish_reason or has_content):
            raise Broken("the model server sent an empty response")
        if not has_content and metadata.had_no_room():
            raise silent_overflow()
        ended = finish_reasons.ending(metadata.finish_reason)
        is_cut = ended in ("length", "refusal")  # then an incomplete tool call is no mistake of the model
        self._chunks.end(cut=is_cut)
        self._blocks.end(cut=is_cut or text.limited or text.refused)
        self._carriers.end()
        if ended is None:
            if metadata.finish_reason and not has_content:
                raise Failed("the model server gave no content, and a reason that is not known")
            self.changed.append("finish_reason")
        reason = stop_reason(
            "length" if text.limited else ended,
            has_tool_calls=bool(self._tools.tool_names),
            refused=text.refused,
            stop_matched=metadata.matched_stop is not None,
        )
        self._stop = reason, metadata.matched_stop if reason == "stop_sequence" else None
        if self._tools.tool_uses:
            self.stopped = True
            self.held = Held(self._tools.tool_uses)
        else:
            self._write_end(NO_TOOL_USES if self._safeguards else b"")

    def _write_end(self, safeguard_results: bytes) -> None:
        self._emitter.finish(*self._stop, self.usage, safeguard_results)
        self.stopped = self.done = True
