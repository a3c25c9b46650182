"""One value per event loop.

What holds sockets belongs to the loop that opened them: used from another one it fails, or hangs
(https://github.com/encode/httpx/issues/2058).  And there are many loops in practice: one per test, one per
`async_to_sync` call, one per server thread.  So each loop gets its own value when it first asks.

The map is swept by hand.  A WeakKeyDictionary would never let go: the value refers to its key, by way of its sockets.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class PerLoop(Generic[T]):
    """`factory` makes the value inside the running loop, `close` closes it there.

    The value of a loop that was closed first is swept when another loop makes its own.  Then its `close` is driven one
    step: on a closed loop there is nothing left to wait for, only to be marked as closed.
    """

    def __init__(self, factory: Callable[[], T], close: Callable[[T], Coroutine[Any, Any, None]]) -> None:
        self._factory = factory
        self._close = close
        self._values: dict[asyncio.AbstractEventLoop, T] = {}
        self._lock = threading.Lock()

    def get(self) -> T:
        """The running loop's value, made now if need be."""
        loop = asyncio.get_running_loop()
        if loop in self._values:
            return self._values[loop]
        with self._lock:
            self._sweep()
            value = self._values[loop] = self._factory()
        return value

    async def aclose(self) -> None:
        """Close the running loop's value, if it has one.  The next `get` makes another."""
        loop = asyncio.get_running_loop()
        with self._lock:
            self._sweep()
            if loop not in self._values:
                return
            value = self._values.pop(loop)
        await self._close(value)

    def _sweep(self) -> None:
        for loop in list(self._values):
            if loop.is_closed():
                closing = self._close(self._values.pop(loop))
                with suppress(Exception):  # StopIteration where it is done; else it is not the next loop's trouble
                    closing.send(None)
                closing.close()
