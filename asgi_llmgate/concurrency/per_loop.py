"""One value per event loop, such as a connection pool.

Sockets belong to the loop that opened them: used from another loop they fail, or hang
(https://github.com/encode/httpx/issues/2058).  A process may have many loops: one per test, one per `async_to_sync`
call, one per server thread.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class PerLoop(Generic[T]):
    """`factory` makes the value inside the running loop, when it is first needed; `close` closes it there.

    The values of loops that have been closed are removed when another loop makes or closes its own.
    """

    # Not a WeakKeyDictionary, which would keep its entries for ever: a value refers to its loop by its sockets.

    def __init__(self, factory: Callable[[], T], close: Callable[[T], Coroutine[Any, Any, None]]) -> None:
        self._factory = factory
        self._close = close
        self._values: dict[asyncio.AbstractEventLoop, T] = {}
        self._lock = threading.Lock()

    def get(self) -> T:
        """The running loop's value, made now if there is none."""
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
                # One step of the coroutine marks the value as closed.  On a closed loop nothing can be waited for.
                closing = self._close(self._values.pop(loop))
                with suppress(Exception):  # StopIteration when it is done; other errors do not concern this loop
                    closing.send(None)
                closing.close()
