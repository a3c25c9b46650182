"""Closes several objects, in order, also when some of them fail."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack

logger = logging.getLogger("llmgate")

Close = Callable[[], Awaitable[None] | None]
"""Closes something, such as a method `aclose`.  May be asynchronous."""


async def close_all(closing: Iterable[Close]) -> None:
    """Call them one after the other.  What one raises is logged; a cancellation is raised after the last."""
    async with AsyncExitStack() as stack:
        for close in reversed(tuple(closing)):
            stack.push_async_callback(_close, close)


async def _close(close: Close) -> None:
    try:
        closed = close()
        if closed is not None:
            await closed
    except Exception:
        logger.exception("%s failed; the others are closed all the same", getattr(close, "__qualname__", repr(close)))
