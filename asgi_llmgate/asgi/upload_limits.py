"""What uploads may cost: how slow one may be, and how much memory all of them together may hold.

An upload has GRACE seconds, and wins one more for each `min_rate` bytes that arrive, but never has more than GRACE
ahead: a token bucket.  So it takes no longer than GRACE + size / `min_rate`, and a link that keeps the rate notices
nothing.
Neither what `content-length` promises counts, which costs nothing, nor what has come in fast before: in Apache's
mod_reqtimeout, which counts that, 30 MB sent at once buy half an hour of holding them with a byte now and then.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from asgi_llmgate._types import Message, Receive
from asgi_llmgate.errors import BodyTooSlow, TooManyBodies

TIMEOUT = 10.0
MIN_RATE = 16 * 2**10
MEMORY = 512 * 2**20

GRACE = 20.0
"""Seconds that an upload may be behind its rate."""

Timer = Callable[[float], AbstractAsyncContextManager[Any]]
"""Raises TimeoutError at the end of a block that takes longer: asyncio.timeout."""


class Uploads:
    """The terms of all uploads of a process, whatever event loop or thread they are in.

    `timeout` is the longest silence in seconds, `min_rate` bytes per second, `memory` bytes for bodies that are held.
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
        """The accounts of one upload that begins now."""
        return Upload(self)

    def take(self, size: int) -> bool:
        """Count bytes as held, or no longer; False where there is no room for more."""
        with self._lock:
            if size > 0 and self.held + size > self.memory:
                return False
            self.held += size
            return True


class Upload:
    """One upload; `held` are the bytes that it has reserved."""

    def __init__(self, terms: Uploads) -> None:
        self._terms = terms
        self._deadline = terms.now() + GRACE
        self.held = 0

    async def wait(self, receive: Receive) -> Message:
        """The next message.  Raises BodyTooSlow; not for what is there already, however late this process asks."""
        terms = self._terms
        left = self._deadline - terms.now()
        try:
            async with terms.timer(max(min(left, terms.timeout), 0.0)):
                message = await receive()
        except TimeoutError:
            raise self._too_slow(paused=left >= terms.timeout) from None
        won = len(message.get("body", b"")) / terms.min_rate
        self._deadline = min(self._deadline + won, terms.now() + GRACE)
        return message

    def _too_slow(self, *, paused: bool) -> BodyTooSlow:
        terms = self._terms
        if paused:
            return BodyTooSlow(f"nothing more of the request body came in for {terms.timeout:g} seconds")
        error = BodyTooSlow(f"the request body came in at less than {terms.min_rate:g} bytes per second")
        error.should_retry = False  # a pause may be an accident, but a link stays as slow as it is
        return error

    def hold(self, size: int) -> None:
        """Hold this many bytes from now on, instead of as many as before.  Raises TooManyBodies."""
        if not self._terms.take(size - self.held):
            raise TooManyBodies(f"the gateway holds no more than {self._terms.memory} bytes of requests at once")
        self.held = size
