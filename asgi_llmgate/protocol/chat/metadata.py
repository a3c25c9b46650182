"""What a server says about its answer, beside the answer: who it is, why it stopped, how much it counted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from asgi_llmgate.exchange import Answer, Usage
from asgi_llmgate.protocol.chat import finish_reasons
from asgi_llmgate.protocol.chat.chunks import Choice, Chunk, Counts, is_given, usage_of
from asgi_llmgate.protocol.servers.upstream_errors import reported_error
from asgi_llmgate.protocol.translation.response_plan import ResponsePlan
from asgi_llmgate.protocol.translation.response_text import BYTES_PER_TOKEN

LONGEST = 256
"""Characters of a name that a server gives itself, its answer or its reasons; what is longer is cut."""


class Facts:
    """Collects them from chunk to chunk: of names the first that is not empty, of counts and reasons the last.

    `matched` is the client's own stop sequence, where the server says that it ended the answer.
    """

    __slots__ = ("_plan", "_usage", "finish_reason", "id", "matched", "model")

    def __init__(self, plan: ResponsePlan) -> None:
        self._plan = plan
        self._usage: Usage | None = None
        self.id = ""
        self.model = ""
        self.finish_reason = ""
        self.matched: str | None = None

    def answer(self, called: Iterable[str]) -> Answer:
        """`called`: the names of the tools that it calls, one for each call."""
        reasons = (self.finish_reason,) if self.finish_reason else ()
        return Answer(self.model, self.id, reasons, tuple(dict.fromkeys(called)))

    def note_chunk(self, chunk: Chunk, event: bytes) -> None:
        """Raises the UpstreamError that the event reports, if it does."""
        if (chunk.error and is_given(chunk.error)) or (chunk.object == "error" and not chunk.choices):
            raise reported_error(event)
        self.id = self.id or (chunk.id or "")[:LONGEST]
        self.model = self.model or (chunk.model or "")[:LONGEST]
        if chunk.usage is not None:
            self._count(chunk.usage)

    def note_choice(self, choice: Choice) -> None:
        """Raises the UpstreamError that the choice ends in, if it does."""
        if choice.error and is_given(choice.error):
            raise reported_error(bytes(choice.error))
        if choice.usage is not None:
            self._count(choice.usage)
        if choice.finish_reason:
            if failure := finish_reasons.failure(choice.finish_reason):
                raise failure
            self.finish_reason = choice.finish_reason[:LONGEST]
            self.matched = finish_reasons.matched_stop(
                (choice.stop_reason, choice.matched_stop), self._plan.stop_sequences
            )

    def usage(self, size: int) -> Usage:
        """The last count, completed by an estimate where the server has not counted; `size` is what it wrote, in
        bytes."""
        usage = self._usage or Usage()
        if usage.input and (usage.output or not size):
            return usage
        return replace(
            usage,
            input=usage.input or self._plan.input_estimate,
            output=usage.output or -(-size // BYTES_PER_TOKEN),
            estimated=True,
        )

    def _count(self, counts: Counts) -> None:
        self._usage = usage_of(counts) or self._usage
