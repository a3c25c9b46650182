"""Callers that need the same result at the same time share one task.

The name is that of Go's package: https://pkg.go.dev/golang.org/x/sync/singleflight
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Running tasks by key.  Each event loop has its own, because a task can be awaited only in its loop."""

    def __init__(self) -> None:
        self._tasks: dict[tuple[asyncio.AbstractEventLoop, Hashable], asyncio.Task[T]] = {}

    async def run(self, key: Hashable, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The result of the task under `key`, or its exception.  `work` is started if there is no such task."""
        # shield: a caller that is cancelled, because its client has left, must not cancel the task for the others.
        return await asyncio.shield(self.start(key, work))

    def start(self, key: Hashable, work: Callable[[], Coroutine[Any, Any, T]]) -> asyncio.Task[T]:
        """The same without waiting: refreshes a value while the caller uses the old one."""
        loop = asyncio.get_running_loop()
        loop_and_key = (loop, key)
        task = self._tasks.get(loop_and_key)
        if task is None:
            task = self._tasks[loop_and_key] = loop.create_task(work())
            task.add_done_callback(lambda done: self._remove(loop_and_key, done))
        return task

    def is_running(self, key: Hashable) -> bool:
        """Whether there is a task under `key`, in this loop or another that is not closed."""
        return any(other == key and not loop.is_closed() for loop, other in tuple(self._tasks))

    def _remove(self, loop_and_key: tuple[asyncio.AbstractEventLoop, Hashable], task: asyncio.Task[T]) -> None:
        del self._tasks[loop_and_key]
        if not task.cancelled():
            task.exception()  # marks it as retrieved; asyncio would log it if no caller waits
