"""What uploads may cost: how slow one may be, and how much memory all of them together may hold.

The deadline moves with what has arrived, whatever `content-length` promises: GRACE seconds and one more for each
`min_rate` bytes, as in Apache's mod_reqtimeout.  A promise costs nothing, so a deadline that went by it would let a
caller who sends a byte now and then hold a connection and a slot for half an hour; a link that is faster than
`min_rate` notices no difference.
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
"""Seconds that an upload has beside those for its size."""

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
    """One upload: `received` are the bytes that count for its deadline, `held` those that it has reserved."""

    def __init__(self, terms: Uploads) -> None:
        self._terms = terms
        self._started = terms.now()
        self.received = 0
        self.held = 0

    async def wait(self, receive: Receive) -> Message:
        """The next piece.  Raises BodyTooSlow; not for what is there already, however late this process asks for it."""
        terms = self._terms
        left = GRACE + self.received / terms.min_rate - (terms.now() - self._started)
        try:
            async with terms.timer(max(min(left, terms.timeout), 0.0)):
                return await receive()
        except TimeoutError:
            pass
        if left >= terms.timeout:
            raise BodyTooSlow(f"nothing more of the request body came in for {terms.timeout:g} seconds")
        error = BodyTooSlow(f"the request body came in at less than {terms.min_rate:g} bytes per second")
        error.should_retry = False  # a pause may be an accident, but a link stays as slow as it is
        raise error

    def hold(self, size: int) -> None:
        """Hold this many bytes from now on, instead of as many as before.  Raises TooManyBodies."""
        if not self._terms.take(size - self.held):
            raise TooManyBodies(f"the gateway holds no more than {self._terms.memory} bytes of requests at once")
        self.held = size
