"""The text and the reasoning of one response: which of it the client gets, and how much there was."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, TypeAlias

from asgi_llmgate.protocol.chat.delta_content import Kind, Passage
from asgi_llmgate.protocol.chat.harmony_channels import HarmonyChannels
from asgi_llmgate.protocol.chat.leaked_calls.found import LeakedCall
from asgi_llmgate.protocol.chat.leaked_calls.scanner import LeakedCalls
from asgi_llmgate.protocol.chat.think_tags import ThinkTags
from asgi_llmgate.protocol.rawjson.strings import escape, unescape
from asgi_llmgate.protocol.token_usage import BYTES_PER_OUTPUT_TOKEN
from asgi_llmgate.protocol.translation.response.plan import ResponsePlan

BlockText: TypeAlias = tuple[Literal["text", "thinking"], bytes]
"""A piece of a text or thinking block, in raw form."""


class ResponseText:
    """Makes pieces of blocks of the passages of one response.

    - Reasoning in tags (`plan.think_tags`) or in a channel (`plan.channels`) is taken out of the text.
    - Reasoning is passed on only where the plan says so (`plan.thinking`).
    - A text that begins with the client's own prefill loses it (`plan.prefill`).
    - A client that allows fewer tokens than the server's minimum gets no more than it allows (`plan.output_limit`);
      `/model` in Claude Code asks for one token.

    - Tool calls in the text are kept back for the end, where the server's parser may have missed them
      (`plan.leaked_calls`).

    `size` is the bytes of all that the model wrote, also of what is not passed on; `limited`: the client's limit was
    reached; `refused`: the model wrote a refusal.
    """

    __slots__ = ("_leaked", "_prefill", "_room", "_tags", "_thinking", "limited", "refused", "size")

    def __init__(self, plan: ResponsePlan) -> None:
        self.size = 0
        self.limited = False
        self.refused = False
        self._prefill = plan.prefill
        self._thinking = plan.thinking
        self._tags = ThinkTags(holds=plan.thinking) if plan.think_tags else HarmonyChannels() if plan.channels else None
        self._leaked = LeakedCalls(plan.tools, plan.leaked_calls) if plan.leaked_calls else None
        # Characters that may still be passed on.  There is no tokenizer here, so the limit holds only roughly.
        self._room = None if plan.output_limit is None else plan.output_limit * BYTES_PER_OUTPUT_TOKEN

    def passes(self, kind: Kind, raw: bytes) -> bool:
        """Count a text that is passed on as it is; False, and it is not counted, where `read` has to look at it."""
        if self._prefill or self._room is not None or (self._tags is not None and not self._tags.settled):
            return False
        if self._leaked is not None and not self._leaked.passes(kind, raw):
            return False
        self.size += len(raw)
        return True

    def read(self, passages: Iterable[Passage]) -> list[BlockText]:
        """What the passages of one delta become."""
        if self._tags is not None and not self._tags.settled:
            passages = self._split(passages, self._tags)
        if self._leaked is not None:
            passages = self._leaked.read(passages)
        pieces: list[BlockText] = []
        for kind, raw in passages:
            if kind != "thinking" and self._prefill:
                raw, self._prefill = _without_prefix(raw, self._prefill), ""
            self.size += len(raw)
            if kind == "thinking" and not self._thinking:
                continue
            if kind == "refusal":
                self.refused = True
            if self._room is not None:
                raw = self._limit(raw, self._room)
            if raw:
                pieces.append(("thinking" if kind == "thinking" else "text", raw))
        return pieces

    @property
    def is_empty(self) -> bool:
        """Whether the model has written nothing so far."""
        is_held = self._leaked is not None and self._leaked.holds
        return not (self.size or is_held or (isinstance(self._tags, ThinkTags) and self._tags.is_holding))

    def rest(self) -> list[BlockText]:
        """The buffered text, when the text ends or something else begins.  Calls are no longer looked for."""
        pieces = self._rest_of_tags()
        if self._leaked is not None:
            leaked, self._leaked = self._leaked, None
            pieces += self.read(leaked.release())
        return pieces

    def end(self, *, cut: bool) -> tuple[list[BlockText], list[LeakedCall] | None]:
        """The buffered text, at the end of the response, and what was kept back of the text as tool calls: none where
        that was only end tokens, None where nothing was.  `cut`: the server stopped the model."""
        if self._tags is None and self._leaked is None:
            return [], None
        pieces = self._rest_of_tags()
        calls = self._leaked.end() if self._leaked is not None and not cut else None
        if calls is not None:
            self._leaked = None
        return pieces + self.rest(), calls

    def _rest_of_tags(self) -> list[BlockText]:
        if self._tags is None or self._tags.settled:
            return []
        return self.read([self._tags.rest()])

    def _split(self, passages: Iterable[Passage], tags: ThinkTags | HarmonyChannels) -> Iterator[Passage]:
        for kind, raw in passages:
            if kind == "text" and not tags.settled:
                yield from tags.split(raw)
            else:
                if kind == "thinking" and isinstance(tags, ThinkTags) and tags.is_unopened:
                    yield tags.rest()  # the server finds the thinking itself, so the text is text
                yield kind, raw

    def _limit(self, raw: bytes, room: int) -> bytes:
        text = unescape(raw)
        self._room = max(0, room - len(text))
        if len(text) <= room:
            return raw
        self.limited = True
        return escape(text[:room])


def _without_prefix(raw: bytes, prefix: str) -> bytes:
    text = unescape(raw)
    return escape(text.removeprefix(prefix)) if text.startswith(prefix) else raw
