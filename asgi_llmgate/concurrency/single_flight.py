"""Many ask, one goes.

Callers that want the same thing at the same time share one piece of work (named after Go's x/sync/singleflight).  The
work is a task of its own: a caller who is cancelled, because its client has left, does not take it away from the
others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Flights by key.  Each event loop has its own: a task can only be awaited where it runs."""

    def __init__(self) -> None:
        self._flights: dict[tuple[asyncio.AbstractEventLoop, Hashable], asyncio.Task[T]] = {}

    async def run(self, key: Hashable, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The result of the flight under `key`, or its exception; `work` starts one if none is in the air."""
        return await asyncio.shield(self.start(key, work))

    def start(self, key: Hashable, work: Callable[[], Coroutine[Any, Any, T]]) -> asyncio.Task[T]:
        """The same without waiting, to refresh something behind a caller who is served a stale value meanwhile."""
        loop = asyncio.get_running_loop()
        place = (loop, key)
        flight = self._flights.get(place)
        if flight is None:
            flight = self._flights[place] = loop.create_task(work())
            flight.add_done_callback(lambda done: self._land(place, done))
        return flight

    def is_flying(self, key: Hashable) -> bool:
        """Whether there is a flight under `key`, in this loop or another that is still open."""
        return any(other == key and not loop.is_closed() for loop, other in tuple(self._flights))

    def _land(self, place: tuple[asyncio.AbstractEventLoop, Hashable], flight: asyncio.Task[T]) -> None:
        del self._flights[place]
        if not flight.cancelled():
            flight.exception()  # seen: those who wait get it, and where nobody waits it is no news
