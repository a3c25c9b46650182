"""The time between the word that the server is to stop and its end.

ASGI has no message for it: an app learns of a shutdown when its last request is over.  Until then servers differ.
uvicorn waits as long as a stream lasts, gunicorn kills at the end of its grace and tells nobody.  So, where the
settings ask for it, the gateway listens for SIGTERM itself:

    SIGTERM                  `begun`: /readyz says so.  The handler that was there before, the server's, is called
    `after` seconds later    calls that are still open end: ShuttingDown is raised in them, where they stand

Streams then end with an `event: error`, and each call has its record, before the server stops waiting for them.  What
is still open when the lifespan ends, or when a server has lost its patience and cancels it, gets a moment for the same.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType

from asgi_llmgate.concurrency.cancellation import CancelScope
from asgi_llmgate.errors import ShuttingDown

logger = logging.getLogger("llmgate")

_LAST_WORDS = 2.0
"""Seconds for the ends of streams to go out."""


class Draining:
    """Ends the calls that are open when the server stops: one object, which a Gateway and its app have both.

    `after` is in seconds.  With `signal` it begins at SIGTERM, else only when somebody calls `begin`.

        async with draining.call():     # raises ShuttingDown
            ...
    """

    def __init__(self, *, after: float = 20.0, signal: bool = False) -> None:
        self._after = after
        self._deaf = not signal
        self._deadline: float | None = None
        self._calls: set[_OpenCall] = set()
        self._requests: set[asyncio.Future[None]] = set()

    @property
    def begun(self) -> bool:
        return self._deadline is not None

    def listen(self) -> None:
        """Install the handler, once and in this process: called for each request, since workers are forked before."""
        if self._deaf:
            return
        self._deaf = True
        if threading.current_thread() is not threading.main_thread():
            logger.warning("server.drain.signal: this server runs its apps beside the main thread, where no signal is")
            return
        self._loop = asyncio.get_running_loop()
        self._previous = signal.signal(signal.SIGTERM, self._on_signal)

    def begin(self) -> None:
        """From any thread, or a signal handler; a second time changes nothing."""
        if self._deadline is not None:
            return
        self._deadline = time.monotonic() + self._after
        for call in tuple(self._calls):
            call.shorten()

    async def finish(self) -> None:
        """End what is open in this loop now, and wait until it has ended.  The gateway may be used again after it.

        uvicorn has cancelled requests by then and ends the process as soon as this returns.
        """
        loop = asyncio.get_running_loop()
        for call in tuple(self._calls):
            if call.loop is loop:
                call.expire(loop.time())
        requests = [request for request in tuple(self._requests) if request.get_loop() is loop]
        if requests:
            await asyncio.wait(requests, timeout=_LAST_WORDS)

    @contextmanager
    def request(self) -> Iterator[None]:
        """The whole of a request, with the end of its answer and its record."""
        over = asyncio.get_running_loop().create_future()
        self._requests.add(over)
        try:
            yield
        finally:
            self._requests.discard(over)
            over.set_result(None)

    def call(self) -> _OpenCall:
        """A block that is cancelled where it stands when its time is over, and raises ShuttingDown then."""
        return _OpenCall(self)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.begin()
        if callable(self._previous):
            self._previous(number, frame)
        elif self._previous == signal.SIG_DFL:  # the server has left it to the system, which ends the process
            self._loop.call_soon_threadsafe(self._loop.call_later, self._after + _LAST_WORDS, _end_process)


class _OpenCall:
    """A block that ends with ShuttingDown at a time which may be known only later."""

    __slots__ = ("_draining", "_scope", "_task", "_timer", "loop")

    def __init__(self, draining: Draining) -> None:
        self._draining = draining
        self._scope = CancelScope()
        self._timer: asyncio.TimerHandle | None = None

    def shorten(self) -> None:
        with suppress(RuntimeError):  # the loop is closed: so is the call
            self.loop.call_soon_threadsafe(self._shorten)

    def expire(self, when: float) -> None:
        """At a time of its loop; a call that is being cancelled has its end already."""
        self._stop_timer()
        if not self._task.cancelling():
            self._timer = self.loop.call_at(when, self._scope.cancel, ShuttingDown)

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self.loop = asyncio.get_running_loop()
        self._scope.__enter__()
        self._draining._calls.add(self)
        self._shorten()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._draining._calls.discard(self)
        self._stop_timer()
        del self._task
        self._scope.__exit__(kind, error, trace)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _shorten(self) -> None:
        deadline = self._draining._deadline
        if deadline is not None and self in self._draining._calls:
            self.expire(self.loop.time() + deadline - time.monotonic())


def _end_process() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.raise_signal(signal.SIGTERM)
