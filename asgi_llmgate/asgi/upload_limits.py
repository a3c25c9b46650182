"""Limits for request bodies while they arrive: how slow one may be, and the memory of all of them together.

A body has GRACE seconds, and one more for each `min_rate` bytes that arrive, but never more than GRACE ahead: a token
bucket. So it takes at most GRACE + size / `min_rate` seconds, and a connection that keeps the rate is not affected.

`content-length` does not count, because it costs a client nothing. Nor does a fast beginning: in Apache's
mod_reqtimeout, which counts it, 30 MB that are sent at once may be held for half an hour with a byte now and then.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from asgi_llmgate._types import Message, Receive
from asgi_llmgate.concurrency.resumed import resumed
from asgi_llmgate.errors import BodyTooSlow, TooManyBodies

TIMEOUT = 10.0
"""Seconds without a further piece."""

MIN_RATE = 16 * 2**10
"""Bytes per second."""

MEMORY = 512 * 2**20
"""Bytes, of all bodies of a process."""

GRACE = 20.0
"""Seconds that a body may be behind the rate."""

Timer = Callable[[float], AbstractAsyncContextManager[Any]]
"""Raises TimeoutError at the end of a block that takes longer: asyncio.timeout."""


class Uploads:
    """The limits of all bodies of a process, in any event loop and thread.

    `timeout` is the longest silence in seconds, `min_rate` is in bytes per second, `memory` in bytes. `held` are the
    bytes in memory now.
    """

    def __init__(
        self,
        *,
        timeout: float = TIMEOUT,
        min_rate: float = MIN_RATE,
        memory: int = MEMORY,
        now: Callable[[], float] = time.monotonic,
        timer: Timer = asyncio.timeout,
    ) -> None:
        self.timeout = timeout
        self.min_rate = min_rate
        self.memory = memory
        self.held = 0
        self._lock = threading.Lock()
        self.now = now
        self.timer = timer

    def upload(self) -> Upload:
        """The limits of one body that begins to arrive now."""
        return Upload(self)

    def take(self, size: int) -> bool:
        """Count bytes as held, or (negative) as released. False if there is no room for them."""
        with self._lock:
            if size > 0 and self.held + size > self.memory:
                return False
            self.held += size
            return True


class Upload:
    """The limits of one body. `held` are the bytes that it has reserved."""

    def __init__(self, limits: Uploads) -> None:
        self._limits = limits
        self._deadline = limits.now() + GRACE
        self.held = 0

    async def wait(self, receive: Receive) -> Message:
        """The next message. Raises BodyTooSlow, but not where the message is there and this process was late."""
        steps = receive().__await__()
        try:
            waits_for = next(steps)
        except StopIteration as arrived:  # most bodies have arrived when they are asked for: no timer for these
            message: Message = arrived.value
        else:
            message = await self._wait_in_time(resumed(steps, waits_for))
        if message.get("more_body", False):
            earned = len(message.get("body", b"")) / self._limits.min_rate
            self._deadline = min(self._deadline + earned, self._limits.now() + GRACE)
        return message

    async def _wait_in_time(self, receiving: Awaitable[Message]) -> Message:
        limits = self._limits
        left = self._deadline - limits.now()
        try:
            async with limits.timer(max(min(left, limits.timeout), 0.0)):
                return await receiving
        except TimeoutError:
            raise self._too_slow(paused=left >= limits.timeout) from None

    def _too_slow(self, *, paused: bool) -> BodyTooSlow:
        limits = self._limits
        if paused:
            return BodyTooSlow(f"no further piece of the request body arrived for {limits.timeout:g} seconds")
        error = BodyTooSlow(f"the request body arrives at less than {limits.min_rate:g} bytes per second")
        error.should_retry = False  # a pause may be an accident, but a slow connection stays slow
        return error

    def hold(self, size: int) -> None:
        """Reserve this many bytes in place of those before. Raises TooManyBodies."""
        if size != self.held and not self._limits.take(size - self.held):
            raise TooManyBodies(
                f"the gateway holds at most {self._limits.memory} bytes of request bodies at once: try again later"
            )
        self.held = size
