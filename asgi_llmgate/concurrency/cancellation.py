"""Ending a block of a task with an error, from outside of it.

Several events may end a request while it waits: its client disconnects, or stops reading; a model server is silent for
too long; the process is to stop. `asyncio.Task.cancel()` does not say which of them it was, nor what the task should do
then. A CancelScope says both, in the way of `asyncio.timeout`:

    with CancelScope() as scope:
        ...                        # elsewhere in this loop: scope.cancel(ClientGone)
    # ClientGone is raised here

    the block has ended                                  what it raises
    ---------------------------------------------------  ------------------------------------------------
    by itself, or by an error of its own                 that; its CancelScope adds nothing
    cancelled by its scope                               the scope's error; the task may go on
    cancelled by its scope and a scope around it         the outer scope's error, from the outer block
    cancelled by its scope and from outside the task     CancelledError

A task may be cancelled twice, also while it cleans up after the first time. So a task that was started for a block must
be awaited before the block is left: see `cancel_and_wait`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

MakeError = Callable[[], BaseException]


class CancelScope:
    """A block of the running task. It may be entered again after it was left."""

    __slots__ = ("_cancelling", "_delivered", "_error", "_task", "_timer")

    def __init__(self) -> None:
        self._task: asyncio.Task[Any] | None = None
        self._error: MakeError | None = None
        self._delivered = False
        self._cancelling = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def entered(self) -> bool:
        return self._task is not None

    def cancel(self, error: MakeError) -> None:
        """End the block, where it waits, with what `error` makes. Only the first call counts.

        To be called in the event loop of the task. A block that is not entered yet ends where it first waits.
        """
        if self._error is None:
            self._error = error
            self._deliver()

    def cancel_when(self, due: Callable[[], float], error: MakeError) -> None:
        """`cancel` at the time that `due` gives, in seconds of the event loop's clock; replaces an earlier such call.

        `due` is asked now and when its time has come, and may then give a later time. So a deadline that moves often,
        as at each chunk of a stream, costs no timer each time. Leaving the block ends the waiting.
        """
        self.stop_timer()
        self._timer = asyncio.get_running_loop().call_at(due(), self._check, due, error)

    def stop_timer(self) -> None:
        """Undo `cancel_when`."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

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
        if self._timer is not None:
            self.stop_timer()
        task, self._task = self._task, None
        make, self._error = self._error, None
        if make is None or task is None or not self._delivered:
            return
        self._delivered = False
        others = task.uncancel() > self._cancelling
        del task  # in the traceback of the error it would keep the whole request
        if not others and kind is not None and issubclass(kind, asyncio.CancelledError):
            raise make() from None

    def _deliver(self) -> None:
        task = self._task
        if task is None or self._error is None or self._delivered:
            return
        if task is asyncio.current_task():
            # A task that cancels itself notices at its next wait, and before Python 3.13 even at one after the block
            # (https://github.com/python/cpython/pull/117407).
            task.get_loop().call_soon(self._deliver)
        else:
            self._delivered = task.cancel()

    def _check(self, due: Callable[[], float], error: MakeError) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        when = due()
        if when <= loop.time():
            self.cancel(error)
        else:
            self._timer = loop.call_at(when, self._check, due, error)


async def cancel_and_wait(task: asyncio.Task[Any]) -> None:
    """Cancel a task that was started for the running one, and wait until it has ended.

    A cancellation of the running task meanwhile is passed on to `task`, and raised only when that has ended: until then
    `task` uses what the running task would release.
    """
    task.cancel()
    interrupted = False
    while not task.done():
        # asyncio.wait for a single task, in a quarter of its time.
        ended = task.get_loop().create_future()

        def end(_: object, ended: asyncio.Future[None] = ended) -> None:
            if not ended.done():
                ended.set_result(None)

        task.add_done_callback(end)
        try:
            await ended
        except asyncio.CancelledError:
            interrupted = True
            task.cancel()
        finally:
            task.remove_done_callback(end)
    if interrupted:
        raise asyncio.CancelledError
