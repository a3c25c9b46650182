"""The prose of one answer: what of its text and reasoning reaches the client, and how much there was of it.

Between a delta and a block stand four rules.  Reasoning is passed on only to a client that asked for it.  Reasoning
that stands inline is taken out of the text.  A text that begins with what the client wrote itself, as a prefill, loses
that.  And a client that allows fewer tokens than the server's least (`/model`
in Claude Code asks for one) gets no more than it allowed.
"""

from __future__ import annotations

from asgi_llmgate.protocol.chat.chunks import Delta
from asgi_llmgate.protocol.chat.delta_content import Passage, content_of, reasoning_of, refusal_of
from asgi_llmgate.protocol.chat.think_tags import ThinkTags
from asgi_llmgate.protocol.rawjson.strings import escape, unescape
from asgi_llmgate.protocol.translation.response_plan import ResponsePlan

BYTES_PER_TOKEN = 4
"""How much text a token is, roughly, where nobody counted or a limit must be held without a tokenizer."""


class Prose:
    """Reads the deltas of one answer.

    `size` is the bytes of all that the model wrote, also of what is not passed on; `limited`: the client's own limit
    was reached; `refused`: some of it came as a refusal.
    """

    __slots__ = ("_prefill", "_room", "_tags", "_thinking", "limited", "refused", "size")

    def __init__(self, plan: ResponsePlan) -> None:
        self.size = 0
        self.limited = False
        self.refused = False
        self._prefill = plan.prefill
        self._thinking = plan.thinking
        self._tags = ThinkTags() if plan.think_tags else None
        self._room = None if plan.output_limit is None else plan.output_limit * BYTES_PER_TOKEN

    def read(self, delta: Delta) -> list[Passage]:
        """The passages of a delta, in the order in which a model thinks and speaks."""
        passages = content_of(delta)
        if self._tags is not None:
            passages = [piece for passage in passages for piece in self._split(passage, self._tags)]
        if reasoning := reasoning_of(delta):
            passages.insert(0, ("thinking", reasoning))
        if refusal := refusal_of(delta):
            self.refused = True
            passages.append(("text", refusal))
        return self._admit(passages)

    def rest(self) -> list[Passage]:
        """What was held back, when the text ends or something else begins."""
        if self._tags is None or self._tags.settled:
            return []
        return self._admit([self._tags.rest()])

    def _split(self, passage: Passage, tags: ThinkTags) -> list[Passage]:
        return [passage] if tags.settled or passage[0] == "thinking" else list(tags.split(passage[1]))

    def _admit(self, passages: list[Passage]) -> list[Passage]:
        admitted: list[Passage] = []
        for kind, raw in passages:
            if kind == "text" and self._prefill:
                raw, self._prefill = _without(raw, self._prefill), ""
            self.size += len(raw)
            if kind == "thinking" and not self._thinking:
                continue
            if self._room is not None:
                raw = self._limit(raw, self._room)
            if raw:
                admitted.append((kind, raw))
        return admitted

    def _limit(self, raw: bytes, room: int) -> bytes:
        text = unescape(raw)
        self._room = max(0, room - len(text))
        if len(text) <= room:
            return raw
        self.limited = True
        return escape(text[:room])


def _without(raw: bytes, prefill: str) -> bytes:
    text = unescape(raw)
    return escape(text.removeprefix(prefill)) if text.startswith(prefill) else raw
