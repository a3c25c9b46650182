"""Draining: the time between the signal to stop and the end of the process.

ASGI has no message for it: an app learns of a shutdown when its last request is over. Until then servers differ.
uvicorn waits as long as a stream lasts; gunicorn kills the worker at the end of its grace without any notice. So, where
the settings ask for it, the gateway handles SIGTERM itself:

    SIGTERM                  draining begins, /readyz says so; the previous handler, the server's, is called
    `after` seconds later    calls that are still open end: ShuttingDown is raised in them, where they wait

Streams then end with an `event: error`, and each call has its usage record, before the server stops waiting for them.
What is still open when the lifespan ends, or when a server cancels it, gets LAST_SECONDS for the same.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
import time
from contextlib import suppress
from types import FrameType, TracebackType

from asgi_llmgate.concurrency.cancellation import CancelScope
from asgi_llmgate.errors import ShuttingDown

logger = logging.getLogger("llmgate")

AFTER = 20.0
"""Seconds that open calls still have when draining begins, by default."""

LAST_SECONDS = 2.0
"""Seconds for the ends of streams to be sent."""


class Draining:
    """Ends the calls that are open when the server stops; one object, shared by a Gateway and its app.

    `after` is in seconds. With `signal` draining begins at SIGTERM, else only by a call of `begin`.

        async with draining.call():     # raises ShuttingDown
            ...
    """

    def __init__(self, *, after: float = AFTER, signal: bool = False) -> None:
        self._after = after
        self._wants_handler = signal
        self._deadline: float | None = None  # time.monotonic(), the same for all loops and threads
        self._calls: set[_OpenCall] = set()
        self._requests: set[asyncio.Future[None]] = set()

    @property
    def begun(self) -> bool:
        return self._deadline is not None

    def install_handler(self) -> None:
        """Install the handler for SIGTERM if the settings ask for one: once, in this process.

        To be called at each request and not at startup: workers are forked after the gateway is built, servers install
        their own handler after the lifespan has started, or never send a lifespan; this one has to be called first.
        """
        if not self._wants_handler:
            return
        self._wants_handler = False
        if threading.current_thread() is not threading.main_thread():
            logger.warning(
                "server.drain.signal: no effect, because this server runs its apps outside the main thread, "
                "and only the main thread receives signals"
            )
            return
        self._loop = asyncio.get_running_loop()
        self._previous = signal.signal(signal.SIGTERM, self._on_signal)

    def begin(self) -> None:
        """Begin draining, from any thread or a signal handler. A second call changes nothing."""
        if self._deadline is not None:
            return
        self._deadline = time.monotonic() + self._after
        for call in tuple(self._calls):
            call.set_deadline_threadsafe()

    async def finish(self) -> None:
        """End what is open in this loop now, and wait until it has ended. The gateway may be used again after it.

        uvicorn has cancelled the requests by then, and ends the process as soon as this returns.
        """
        loop = asyncio.get_running_loop()
        for call in tuple(self._calls):
            if call.loop is loop:
                call.end_at(loop.time())
        requests = [request for request in tuple(self._requests) if request.get_loop() is loop]
        if requests:
            await asyncio.wait(requests, timeout=LAST_SECONDS)

    def begin_request(self) -> asyncio.Future[None]:
        """From now on `finish` waits for this request, with the end of its response and its usage record."""
        if self._wants_handler:
            self.install_handler()
        over = asyncio.get_running_loop().create_future()
        self._requests.add(over)
        return over

    def end_request(self, over: asyncio.Future[None]) -> None:
        """The request is over for which `begin_request` has returned this."""
        self._requests.discard(over)
        over.set_result(None)

    def call(self) -> _OpenCall:
        """A block that is cancelled where it waits when its time is over, and then raises ShuttingDown."""
        return _OpenCall(self)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.begin()
        if callable(self._previous):
            self._previous(number, frame)
        elif self._previous == signal.SIG_DFL:
            # The server has no handler of its own, so the system's would have ended the process at once.
            self._loop.call_soon_threadsafe(self._loop.call_later, self._after + LAST_SECONDS, _end_process)


class _OpenCall:
    """A block that ends with ShuttingDown at a time that may become known only later."""

    __slots__ = ("_draining", "_scope", "_task", "loop")

    def __init__(self, draining: Draining) -> None:
        self._draining = draining
        self._scope = CancelScope()

    def set_deadline_threadsafe(self) -> None:
        with suppress(RuntimeError):  # the loop is closed, and so is the call
            self.loop.call_soon_threadsafe(self._set_deadline)

    def end_at(self, when: float) -> None:
        """End the block at a time of its loop, unless it is being cancelled already."""
        self._scope.stop_timer()
        if not self._task.cancelling():
            self._scope.cancel_when(lambda: when, ShuttingDown)

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self.loop = asyncio.get_running_loop()
        self._scope.__enter__()
        self._draining._calls.add(self)
        if self._draining._deadline is not None:
            self._set_deadline()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._draining._calls.discard(self)
        del self._task
        self._scope.__exit__(kind, error, trace)

    def _set_deadline(self) -> None:
        deadline = self._draining._deadline
        if deadline is not None and self in self._draining._calls:
            self.end_at(self.loop.time() + deadline - time.monotonic())


def _end_process() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.raise_signal(signal.SIGTERM)
