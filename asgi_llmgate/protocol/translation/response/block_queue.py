"""Content that waits until the tool call before it is complete."""

from __future__ import annotations

from collections import deque
from typing import Literal, TypeAlias

from asgi_llmgate.protocol.buffer_limit import BufferLimit
from asgi_llmgate.protocol.chat.assembled_call import AssembledCall

Kind: TypeAlias = Literal["text", "thinking", "call"]
"""Of a content block."""

Content: TypeAlias = bytes | AssembledCall
"""What is written into one: raw text, or a call."""

_ENTRY_SIZE = 256
"""Bytes that an entry takes in memory beside its text."""


class BlockQueue:
    """Text, reasoning and calls in the order in which their blocks will be written; `retained` counts their bytes.

    Neighbours of one kind become one entry, in however many pieces they come.
    """

    __slots__ = ("_entries", "_retained")

    def __init__(self, retained: BufferLimit) -> None:
        self._retained = retained
        self._entries: deque[tuple[Kind, bytearray | AssembledCall]] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, kind: Kind, content: Content) -> None:
        """Raises errors.ResponseTooLarge."""
        if isinstance(content, AssembledCall):
            self._retained.add(_ENTRY_SIZE)
            self._entries.append((kind, content))
            return
        last_kind, last = self._entries[-1] if self._entries else (None, None)
        if kind == last_kind and isinstance(last, bytearray):
            self._retained.add(len(content))
            last += content
        else:
            self._retained.add(_ENTRY_SIZE + len(content))
            self._entries.append((kind, bytearray(content)))

    def pop(self) -> tuple[Kind, Content]:
        """The first entry."""
        kind, content = self._entries.popleft()
        if isinstance(content, AssembledCall):
            self._retained.release(_ENTRY_SIZE)
            return kind, content
        self._retained.release(_ENTRY_SIZE + len(content))
        return kind, bytes(content)
