"""Tool calls and their results, paired.

Anthropic wants every call answered in the next user turn, OpenAI wants the answers directly after the assistant
message, before anybody else speaks.  So a conversation is taken as turns: what the assistant said, in one message or
several, and everything until it speaks again; results belong to the calls of their own turn.

Where they do not match, the refusal has Anthropic's own words: Claude Code knows them and mends its history.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from asgi_llmgate.errors import InvalidRequest
from asgi_llmgate.protocol.messages.blocks import Block, Message
from asgi_llmgate.protocol.translation.draft import Report

_SHOWN, _LONGEST = 20, 128
"""Of ids in an error, how many and how much of each: they are a caller's words, however many those are."""


@dataclass(slots=True)
class Turn:
    """`said` are the assistant's messages (none in a conversation's first turn), `after` those until it speaks again.

    Messages come with their index in the request.  `calls` are its tool calls by id, in order; `results` their results.
    """

    said: list[tuple[int, Message]] = field(default_factory=list)
    after: list[tuple[int, Message]] = field(default_factory=list)
    calls: dict[str, Block] = field(default_factory=dict)
    results: dict[str, Block] = field(default_factory=dict)

    def is_result(self, block: Block) -> bool:
        """Whether a block is the result of a call of this turn."""
        return block.type == "tool_result" and self.results.get(block.call_id) is block

    def place_of(self, block: Block) -> str:
        """Where a block of this turn stands in the request."""
        return next(
            f"messages.{index}.content.{place}"
            for index, message in (*self.said, *self.after)
            for place, other in enumerate(message.content)
            if other is block
        )


def turns_of(messages: Sequence[Message], report: Report, *, repair: bool = False) -> list[Turn]:
    """Raises `InvalidRequest` where calls and results do not match, unless they are to be repaired: then a result
    without a call is in nobody's `results`, a call may have none, and of two calls with one id the first counts."""
    turns = [Turn()]
    for index, message in enumerate(messages):
        if message.role != "assistant":
            turns[-1].after.append((index, message))
        elif turns[-1].after or not turns[-1].said:
            turns.append(Turn(said=[(index, message)]))
        else:
            turns[-1].said.append((index, message))
    pairing = _Pairing(report, repair)
    for turn in turns:
        pairing.pair(turn)
    return turns


def _shown(call_id: str) -> str:
    return call_id[:_LONGEST]


class _Pairing:
    def __init__(self, report: Report, repair: bool) -> None:
        self._report = report
        self._repair = repair
        self._ids: set[str] = set()

    def pair(self, turn: Turn) -> None:
        for _, message in turn.said:
            for block in message.content:
                if block.type == "tool_use":
                    self._call(turn, block)
        for _, message in turn.after:
            for block in message.content:
                if block.type == "tool_result":
                    self._result(turn, block)
        missing = [call for call in turn.calls if call not in turn.results]
        if missing:
            self._mend(
                "tool_use",
                f"messages.{turn.said[-1][0]}",
                "`tool_use` ids were found without `tool_result` blocks",
                f" immediately after: {', '.join(map(_shown, missing[:_SHOWN]))}. Each `tool_use` block must have a "
                "corresponding `tool_result` block in the next message.",
            )

    def _call(self, turn: Turn, block: Block) -> None:
        if block.call_id in self._ids:
            self._mend("tool_use", (turn, block), "`tool_use` ids must be unique")
        self._ids.add(block.call_id)
        turn.calls.setdefault(block.call_id, block)

    def _result(self, turn: Turn, block: Block) -> None:
        call = block.call_id
        if call not in turn.calls:
            self._mend(
                "tool_result",
                (turn, block),
                "unexpected `tool_use_id` found in `tool_result` blocks",
                f": {_shown(call)}. Each `tool_result` block must have a corresponding `tool_use` block in the "
                "previous message.",
            )
        elif call in turn.results:
            self._mend(
                "tool_result",
                (turn, block),
                "each tool_use must have a single result",
                f". Found multiple `tool_result` blocks with id: {_shown(call)}",
            )
        else:
            turn.results[call] = block

    def _mend(self, kind: str, place: str | tuple[Turn, Block], complaint: str, told: str = "") -> None:
        """`told` goes on from the complaint, for the caller: his ids are in it.  A block's place is looked for only
        where it is told: that takes a walk through the whole turn."""
        if not self._repair:
            where = place if isinstance(place, str) else place[0].place_of(place[1])
            raise InvalidRequest(f"{where}: {complaint}", told=f"{where}: {complaint}{told}")
        self._report.add("messages[].content[]." + kind)
