"""Tool calls and their results, paired.

Anthropic requires the result of each call in the next user message.  OpenAI requires the results directly after the
assistant message, before any other message.  So a conversation is taken as turns: the assistant's messages, one or
several, and all messages until the assistant's next one.  Results belong to the calls of their own turn.

The refusals have Anthropic's own wording: Claude Code knows it and repairs its history.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from asgi_llmgate.errors import InvalidRequest
from asgi_llmgate.protocol.messages.blocks import Block, Message
from asgi_llmgate.protocol.translation.request.draft import Dropped

# The ids in a message are a caller's text of any number and length.
_MAX_SHOWN = 20
"""Ids in one message."""
_MAX_LENGTH = 128
"""Characters of one id."""


class Turn(msgspec.Struct, eq=False):
    """The assistant's messages and those that follow them, each with its index in the request.

    The first turn of a conversation has no messages of the assistant.  `calls` are the tool calls by id, in order;
    `results` their results by the same id; `upstream_ids` the ids for the server by the same, once they are made.
    `thinking` are the assistant's thinking blocks, `said` its other blocks.  With each message in `following` are its
    blocks that are in no `results`.
    """

    assistant: list[tuple[int, Message]] = []
    following: list[tuple[int, Message, list[Block]]] = []
    calls: dict[str, Block] = {}
    results: dict[str, Block] = {}
    thinking: list[Block] = []
    said: list[Block] = []
    upstream_ids: dict[str, str] = {}

    def place_of(self, block: Block) -> str:
        """The path in the request of a block of this turn, or of the result that it is in.  Walks through the whole
        turn."""
        messages = [*self.assistant, *((index, message) for index, message, _ in self.following)]
        return next(
            f"messages.{index}.content.{place}"
            for index, message in messages
            for place, other in enumerate(message.content)
            if other is block or block in other.inner
        )


def split_turns(messages: Sequence[Message], dropped: Dropped, *, repair: bool = False) -> list[Turn]:
    """The turns of a conversation, with calls and results paired.

    Raises InvalidRequest where they do not match.  With `repair` they are reported in `dropped` instead: a result
    without a call is in no `results`, a call may have no result, and of two calls with one id the first counts.
    """
    mismatch = _Mismatch(dropped, repair)
    turn = Turn()
    turns = [turn]
    for index, message in enumerate(messages):
        if message.role != "assistant":
            others: list[Block] = []
            turn.following.append((index, message, others))
            for block in message.content:
                if block.type != "tool_result":
                    others.append(block)
                elif block.call_id in turn.calls and block.call_id not in turn.results:
                    turn.results[block.call_id] = block
                else:
                    mismatch.of_result(turn, block)
                    others.append(block)
            continue
        if turn.following or not turn.assistant:
            if len(turn.results) < len(turn.calls):
                mismatch.of_calls(turn)
            turn = Turn()
            turns.append(turn)
        turn.assistant.append((index, message))
        for block in message.content:
            if block.type == "tool_use":
                # Anthropic refuses an id that an earlier turn has too.  Here results belong to their own turn, and a
                # history may come from a server that begins again in each turn.
                if turn.calls.setdefault(block.call_id, block) is not block:
                    mismatch.of_call(turn, block)
            elif block.type == "thinking":
                turn.thinking.append(block)
            else:
                turn.said.append(block)
    if len(turn.results) < len(turn.calls):
        mismatch.of_calls(turn)
    return turns


def _shorten(call_id: str) -> str:
    return call_id[:_MAX_LENGTH]


class _Mismatch(msgspec.Struct):
    """Refuses what does not match, or with `repair` reports it."""

    dropped: Dropped
    repair: bool

    def of_call(self, turn: Turn, block: Block) -> None:
        """A second call with the id of another one."""
        self._report("tool_use", (turn, block), "`tool_use` ids must be unique")

    def of_calls(self, turn: Turn) -> None:
        """Calls without a result."""
        missing = [call for call in turn.calls if call not in turn.results]
        self._report(
            "tool_use",
            f"messages.{turn.assistant[-1][0]}",
            "`tool_use` ids were found without `tool_result` blocks",
            f" immediately after: {', '.join(map(_shorten, missing[:_MAX_SHOWN]))}. Each `tool_use` block must "
            "have a corresponding `tool_result` block in the next message.",
        )

    def of_result(self, turn: Turn, block: Block) -> None:
        """A result without a call, or a second one of a call."""
        call = block.call_id
        if call in turn.calls:
            complaint = "each tool_use must have a single result"
            ids = f". Found multiple `tool_result` blocks with id: {_shorten(call)}"
        else:
            complaint = "unexpected `tool_use_id` found in `tool_result` blocks"
            ids = (
                f": {_shorten(call)}. Each `tool_result` block must have a corresponding `tool_use` block in the "
                "previous message."
            )
        self._report("tool_result", (turn, block), complaint, ids)

    def _report(self, kind: str, place: str | tuple[Turn, Block], complaint: str, ids: str = "") -> None:
        """`ids` continues the complaint, for the caller only."""
        if not self.repair:
            # A block's path takes a walk to find, so it is looked for only here.
            where = place if isinstance(place, str) else place[0].place_of(place[1])
            raise InvalidRequest(f"{where}: {complaint}", client_message=f"{where}: {complaint}{ids}")
        self.dropped.add("messages[].content[]." + kind)
