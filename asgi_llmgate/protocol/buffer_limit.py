"""Limits of what is kept of a response: one for all of it, and one for each part whose length the server decides.

Most of a response goes out as it comes in.  Kept are the arguments of a tool call until they are complete, what waits
for such a call, a document, and a Message that goes out as one document; each of them can be as long as the server
likes.  They share one `BufferLimit`.
"""

from __future__ import annotations

from asgi_llmgate.errors import ResponseTooLarge

RESPONSE_LIMIT = 32 * 2**20
"""Bytes.  A response of 128,000 tokens has half a MiB of text; a larger one holds pictures, or comes from a server that
repeats itself without end."""

MAX_METADATA = 256
"""Characters of a response's id, its model or its finish reason; a longer one is cut."""

MAX_TOOL_CALLS = 1024
"""Tool calls in one response."""

MAX_TOOL_NAME = 256
"""Characters of a tool's name.  Anthropic allows 128 in a request, OpenAI 64."""

MAX_CALL_ID = 64 * 1024
"""Characters of a tool call's id.  LiteLLM and agentgateway put Gemini's thought signatures into it: kilobytes."""


class BufferLimit:
    """Counts the bytes that are kept of one response, at most `limit`."""

    __slots__ = ("_limit", "size")

    def __init__(self, limit: int = RESPONSE_LIMIT) -> None:
        self.size = 0
        self._limit = limit

    def add(self, size: int) -> None:
        """Count bytes that are about to be kept.  Raises errors.ResponseTooLarge."""
        if self.size + size > self._limit:
            raise ResponseTooLarge(self._limit)
        self.size += size

    def check(self, size: int) -> None:
        """Check that there is room for bytes that are kept only for a moment.  Raises errors.ResponseTooLarge."""
        if self.size + size > self._limit:
            raise ResponseTooLarge(self._limit)

    def release(self, size: int) -> None:
        """The bytes are no longer kept."""
        self.size -= size
