"""Timeouts of an upstream request.

    pool, connect   for a connection; the transport keeps these two
    first_byte      until the first byte of the BODY: many model servers send the head before they have read the prompt
    idle            for each further byte
    total           for the whole response; off by default, because a long response is not an error

The time that the reader needs between two reads counts only for `total`, because a slow client may cause it.
"""
# Deadline does what `asyncio.timeout` around each read would do, with one timer for all of them.  A response of a
# thousand chunks is a thousand reads, and setting and cancelling a timer costs more than reading a chunk.  So the timer
# stays as it is while bytes arrive, and when it fires it checks whether the deadline has moved.  It does not cancel the
# read, which waits for one future: it resolves that.

from __future__ import annotations

import asyncio
import math
from types import TracebackType

import msgspec

from asgi_llmgate.concurrency.cancellation import CancelScope
from asgi_llmgate.concurrency.chunks import resolve
from asgi_llmgate.errors import Phase, TimedOut


class Timeouts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Seconds: to connect, to wait for a free connection, to the first byte, between two bytes, and for all of it.

    None: no limit.  `first_byte` and `total` count from the start of the request.
    """

    connect: float | None = 10.0
    pool: float | None = 10.0
    first_byte: float | None = 600.0
    idle: float | None = 300.0
    total: float | None = None


_WAITING_FOR: dict[Phase, str] = {
    "pool": "a free connection to the {server}",
    "connect": "a connection to the {server}",
    "first_byte": "the {server} to begin its response",
    "idle": "the {server} to go on with its response",
    "total": "the {server} to finish its response",
}


def timed_out(phase: Phase, detail: str = "") -> TimedOut:
    text = f"timed out waiting for {_WAITING_FOR[phase]}"
    told = text.format(server="model server")  # a caller waits for no other
    return TimedOut(text.format(server="server"), client_message=told, phase=phase, detail=detail)


class Deadline:
    """`with deadline:` around the wait for a head raises TimedOut when the time is up, and passes a cancellation from
    outside on.  The waits for the body are told by `watch`; `is_up` says that the last of them took too long."""

    __slots__ = ("_due", "_end", "_idle", "_loop", "_phase", "_restarts", "_scope", "_timer", "_waiter", "is_up")

    def __init__(self, timeouts: Timeouts) -> None:
        self._loop = asyncio.get_running_loop()
        now = self._loop.time()
        self._idle = _seconds(timeouts.idle)
        self._end = now + _seconds(timeouts.total)
        self._due = now + _seconds(timeouts.first_byte)
        self._phase: Phase = "first_byte"
        self._scope = CancelScope()
        self._timer: asyncio.TimerHandle | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._restarts = False  # bytes have come since the last wait
        self.is_up = False

    def note_bytes(self) -> None:
        """The next wait has the whole idle time."""
        self._restarts, self.is_up = True, False
        if self._phase == "first_byte":
            self._phase = "idle"
            self.close()

    def watch(self, waiter: asyncio.Future[None]) -> None:
        """A wait for bytes begins, or goes on after a ping: `waiter` is resolved when its time is up."""
        self._waiter, self.is_up = waiter, False
        if self._restarts:
            self._restarts = False
            self._due = self._loop.time() + self._idle
        if self._timer is None:
            self._set_timer(min(self._due, self._end))

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def __enter__(self) -> None:
        self._scope.__enter__()
        when = min(self._due, self._end)
        if self._timer is None or self._timer.when() > when:
            self._set_timer(when)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._scope.__exit__(kind, error, trace)

    def _set_timer(self, when: float) -> None:
        self.close()
        if when < math.inf:
            self._timer = self._loop.call_at(when, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        when = min(self._due, self._end)
        waiter = self._waiter
        if not self._scope.entered and (waiter is None or waiter.done()):
            return
        if self._loop.time() < when:
            self._set_timer(when)
        elif self._scope.entered:
            self._scope.cancel(self.error)
        else:
            self.is_up = True
            resolve(waiter)

    def error(self) -> TimedOut:
        """What is to be raised for a time that is up."""
        return timed_out("total" if self._end < self._due else self._phase)


def _seconds(value: float | None) -> float:
    return math.inf if value is None else value
