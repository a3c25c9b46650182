"""Ending a block of a task with an error, from outside of it.

Several things may end a request where it stands: its client leaves, or stops reading; a model server is silent for too
long; the process is to stop.  asyncio has one word for all of them, `Task.cancel()`, which says neither who has said it
nor what is to become of it.  A CancelScope says both, in the way of `asyncio.timeout`:

    with CancelScope() as scope:
        ...                        # elsewhere in this loop: scope.cancel(ClientGone)
    # ClientGone is raised here

    the block has ended                                  what comes out of it
    ---------------------------------------------------  ------------------------------------------------
    by itself, or by an error of its own                 that; its CancelScope has nothing to add
    cancelled by its scope                               the scope's error; the task may go on
    cancelled by its scope and a scope around it         the outer scope's error, out of the outer block
    cancelled by its scope and by who runs the task      CancelledError

Whoever cancels may do so twice, and in the middle of the cleaning up after the first time.  So a task that was started
for a block is not left behind by it: see `end`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self


class CancelScope:
    """A block of the running task; it may be entered again when it was left."""

    __slots__ = ("_cancelling", "_delivered", "_error", "_task")

    def __init__(self) -> None:
        self._task: asyncio.Task[Any] | None = None
        self._error: Callable[[], BaseException] | None = None
        self._delivered = False
        self._cancelling = 0

    @property
    def entered(self) -> bool:
        return self._task is not None

    def cancel(self, error: Callable[[], BaseException]) -> None:
        """End the block, where it waits, with what `error` makes: the first time counts.

        Called in the loop of the task.  A block that is not entered yet ends where it first waits.
        """
        if self._error is None:
            self._error = error
            self._deliver()

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a CancelScope is entered by a task")
        self._task, self._cancelling = task, task.cancelling()
        if self._error is not None:
            self._deliver()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        make, self._error = self._error, None
        if make is None or task is None or not self._delivered:
            return
        self._delivered = False
        others = task.uncancel() > self._cancelling
        del task  # in the traceback of what may come out of it, it would keep the whole request
        if not others and kind is not None and issubclass(kind, asyncio.CancelledError):
            raise make() from None

    def _deliver(self) -> None:
        task = self._task
        if task is None or self._error is None or self._delivered:
            return
        if task is asyncio.current_task():
            # Said by the task itself it would hold for its next wait, and before Python 3.13 even one after the block
            # (https://github.com/python/cpython/pull/117407).
            task.get_loop().call_soon(self._deliver)
        else:
            self._delivered = task.cancel()


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel a task that was started for the running one, and wait until it has ended.

    A cancellation that comes meanwhile is handed on to it, and raised when it has ended: before, what the task uses
    would be taken away under it.
    """
    task.cancel()
    interrupted = False
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError:
            interrupted = True
            task.cancel()
    if interrupted:
        raise asyncio.CancelledError
