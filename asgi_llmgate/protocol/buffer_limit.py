"""How much of one answer is kept here at a time.

What has gone out to the client is not kept.  What has not is: the arguments of a tool call until they are whole, what
waits behind one, a Message that is built to be sent as one document, a document that is still coming, an event without
its end.  Whoever keeps any of it takes the room for it here first, so there is one bound on all of it together.
"""

from __future__ import annotations

from asgi_llmgate.errors import ResponseTooLarge

RESPONSE_LIMIT = 32 * 2**20
"""Bytes.  An answer of 128,000 tokens is half a MiB of text; what is larger is pictures, or a server gone mad."""


class BufferLimit:
    """Counts the bytes that are kept of one answer, of which there may be `limit`."""

    __slots__ = ("_limit", "size")

    def __init__(self, limit: int = RESPONSE_LIMIT) -> None:
        self.size = 0
        self._limit = limit

    def add(self, size: int) -> None:
        """To be asked before the bytes are kept.  Raises errors.ResponseTooLarge."""
        self.check(size)
        self.size += size

    def check(self, size: int) -> None:
        """Whether there is room for what is kept only for a moment.  Raises errors.ResponseTooLarge."""
        if self.size + size > self._limit:
            raise ResponseTooLarge(self._limit)

    def release(self, size: int) -> None:
        """The bytes are not kept any longer."""
        self.size -= size
