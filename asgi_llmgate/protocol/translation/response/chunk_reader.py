"""Reads the chunks of a chat completion: which choice counts, and what its delta adds to which block.

The order in a chunk
====================

1. What stands beside the choices: names, usage, an error (`chat.metadata`).
2. The choices that count (`chat.choices`); most chunks have one.
3. Of each of them, what its delta holds: carriers, reasoning, text, pieces of tool calls.
4. Its finish reason, or its error, which must not discard the content of the same choice.

A chunk that repeats the last one but for its text is not decoded: only 3. is done (`chat.repeated_chunks`).

Text and reasoning pass through up to three readers before they are written: halves of characters are joined
(`rawjson.surrogate_halves`), then tags, channels and calls in the text are found (`response.text`).  Pieces of calls
are assembled (`chat.tool_calls`).  What a reader keeps back is written when something else begins, or at the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Raw

from asgi_llmgate.protocol.chat.choices import ChoiceSelector
from asgi_llmgate.protocol.chat.chunks import Choice, Chunk, CutChunk, Function, ToolCall
from asgi_llmgate.protocol.chat.delta_content import Passage, read_passages
from asgi_llmgate.protocol.chat.metadata import MetadataReader
from asgi_llmgate.protocol.chat.repeated_chunks import ChunkTemplate, template_of
from asgi_llmgate.protocol.chat.tool_calls import ToolCallAssembler
from asgi_llmgate.protocol.messages.events import Emitter
from asgi_llmgate.protocol.rawjson.strings import raw_text
from asgi_llmgate.protocol.rawjson.surrogate_halves import SurrogateJoiner
from asgi_llmgate.protocol.translation.response.block_writer import BlockWriter
from asgi_llmgate.protocol.translation.response.carriers import CarrierCollector
from asgi_llmgate.protocol.translation.response.plan import ResponsePlan
from asgi_llmgate.protocol.translation.response.text import ResponseText


class ChunkReader:
    """Reads the chunks of one response and writes their content with `blocks`.

    `metadata`, `choices` and `text` are what has been read so far.  `changed` gets the names of the changes to text
    and calls.
    """

    __slots__ = (
        *("_assembler", "_begun", "_blocks", "_carriers", "_changed", "_emitter", "_joiner", "_plan", "_template"),
        *("choices", "metadata", "text"),
    )

    def __init__(
        self,
        plan: ResponsePlan,
        emitter: Emitter,
        *,
        blocks: BlockWriter,
        assembler: ToolCallAssembler,
        carriers: CarrierCollector,
        changed: list[str],
    ) -> None:
        self.metadata = MetadataReader(plan.input_estimate, plan.stop_sequences)
        self.choices = ChoiceSelector()
        self.text = ResponseText(plan)
        self._plan = plan
        self._emitter = emitter
        self._blocks = blocks
        self._assembler = assembler
        self._carriers = carriers
        self._changed = changed
        self._joiner: SurrogateJoiner | None = None  # from the first half of a character on
        self._begun = False
        self._template: ChunkTemplate | None = None  # the last chunk

    @property
    def has_content(self) -> bool:
        return self._blocks.started or self._blocks.call is not None or not self.text.is_empty

    def begin(self) -> None:
        """Start the response, with the plan's id, and its model where the server has not named one."""
        if self._begun:
            return
        self._begun = True
        model = self._plan.model if self._plan.echo_model else self.metadata.model or self._plan.model
        # Servers repeat their ids (Ollama makes 999 of them), and Claude Code joins messages of one id.
        self._emitter.start(self._plan.message_id, model, self._plan.input_estimate)

    def read_repeated(self, event: bytes) -> bool:
        """Read the JSON of a chunk that repeats the last one but for its text; False for another chunk, to be read."""
        template = self._template
        raw = None if template is None else template.read(event)
        if template is None or raw is None:
            return False
        kind = template.kind
        if template.call is not None:
            self._add_to_call(template.call, raw)
        elif kind == self._blocks.state and self._joiner is None and self.text.passes(kind, raw):
            self._emitter.write_text(raw)
        else:
            for piece in self.text.read(self._join([(kind, raw)])):
                self._blocks.write(*piece)
        return True

    def read(self, chunk: Chunk, event: bytes) -> None:
        """Read one chunk; `event` is its JSON.  Raises the UpstreamError in it."""
        self._template = None
        metadata = self.metadata
        is_new = not metadata.has_names or chunk.usage is not None or chunk.x_groq is not None
        if is_new or chunk.error or not chunk.choices:
            metadata.read_chunk(chunk, event)
        if isinstance(chunk, CutChunk) and self._joiner is None:
            self._joiner = SurrogateJoiner()
        found = chunk.choices or []
        choices: Iterable[Choice] = found
        if len(found) == 1 and self.choices.index is None:
            self.choices.index = found[0].index  # the first, whatever its index
        elif found and (len(found) > 1 or found[0].index != self.choices.index):
            choices = self._select(found)
        for choice in choices:
            if not self._begun:
                self.begin()
            delta = choice.delta or choice.message
            if delta is not None:
                if delta.has_carriers():
                    self._carriers.read_message(delta)
                passages = read_passages(delta)
                for kind, raw in self.text.read(self._join(passages)):
                    if kind == self._blocks.state:
                        self._emitter.write_text(raw)  # the action is `write`, as for nearly every event
                    else:
                        self._blocks.write(kind, raw)
                for call in delta.tool_calls or ():
                    self._add_to_call(call, raw_text(call.function.arguments) if call.function else b"")
                if delta.function_call is not None:
                    self._add_to_call(ToolCall(function=delta.function_call), raw_text(delta.function_call.arguments))
                if choice.delta is not None and len(found) == 1 and choice.index == self.choices.index:
                    self._template = template_of(chunk, choice, event, passages)
            # Last, because an error in it must not discard the content of the same choice.
            if choice.finish_reason or choice.usage is not None or choice.error:
                metadata.read_choice(choice)

    def read_waiting(self) -> None:
        """Read the choice that waits for the next chunk, where none comes."""
        if waiting := self.choices.rest():
            self.read(Chunk(choices=waiting), b"")

    def end(self, *, cut: bool) -> None:
        """Write what the readers have kept back.  `cut`: the server stopped the model."""
        if self._joiner is not None:
            halves: list[Passage] = [(kind, self._joiner.rest(kind)) for kind in ("thinking", "text", "refusal")]
            for kind, raw in self.text.read([half for half in halves if half[1]]):
                self._blocks.write(kind, raw)
        pieces, leaked = self.text.end(cut=cut)
        for kind, raw in pieces:
            self._blocks.write(kind, raw)
        if leaked is not None:
            self._changed.append("tool_calls.rescued" if leaked else "content.end_tokens")
            for index, found in enumerate(leaked):
                self._add_to_call(ToolCall(index, found.id, Function(found.name)), raw_text(Raw(found.arguments)))
        for call in self._assembler.settle():
            self._blocks.write("call", call)
        if self._assembler.has_lost_text():
            self._changed.append("tool_calls.arguments")

    def _select(self, choices: list[Choice]) -> Iterator[Choice]:
        for choice in choices:
            if choice.index == self.choices.index:
                yield choice
            else:
                yield from self.choices.select(
                    choice,
                    several=len(choices) > 1,
                    has_content=self.has_content,
                    has_ended=bool(self.metadata.finish_reason),
                )

    def _join(self, passages: list[Passage]) -> list[Passage]:
        """The passages with whole characters."""
        if self._joiner is None:
            return passages
        return [(kind, self._joiner.join(kind, raw)) for kind, raw in passages]

    def _add_to_call(self, piece: ToolCall, arguments: bytes) -> None:
        """Add a piece to a call; `arguments` are in raw form."""
        if self.text.limited:
            return
        index = piece.index
        if self._joiner is not None:
            arguments = self._joiner.join("call" if index is None else index, arguments)
        name = piece.function.name if piece.function else None
        call, is_new = self._assembler.add(index, piece.id or "", name or "", arguments)
        if piece.extra_content or piece.provider_specific_fields:
            self._carriers.read_call(call.number, piece)
        if is_new:
            for kind, raw in self.text.rest():
                self._blocks.write(kind, raw)
            self._blocks.write("call", call)
        elif call is self._blocks.call:
            self._blocks.write_more(call)
