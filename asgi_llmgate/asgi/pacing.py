"""The chunks of a stream, a signal for each silence of the client's, and an end for streams that do not end.

A client that receives nothing for a while gives up, so an event stream gets a ping while there is nothing to send. What
counts is what the client was sent, and not what the model server has sent: hidden reasoning, comments, and the pieces
of a tool call without a name are silence to the client.

Only one task may call `send`, so no second one sends pings: the wait for the next chunk returns None. That wait is for
one future (`Chunks.more`), which a chunk resolves, or the timer here. Opening the source waits in many places and
cannot be left half-way, so a task does that. Reading costs one future per chunk, and no task and no timer: one timer
checks, when it fires, whether the silence has been long enough.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Coroutine
from types import TracebackType
from typing import Any, Protocol, Self, TypeAlias

from asgi_llmgate.concurrency.cancellation import cancel_and_wait
from asgi_llmgate.concurrency.chunks import Chunks, resolve


class Source(Chunks, Protocol):
    """A response that is read, and must be closed."""

    async def aclose(self) -> None: ...


Open: TypeAlias = Callable[[], Coroutine[Any, Any, Source | None]]


class Paced:
    """The chunks of a source as they come, waiting ones joined; None when a client was sent nothing for long enough.

    `open` opens the source; None is a source without chunks. `sent_at` is when the client was last sent something, in
    seconds of the event loop's clock, and None before anything was: then the silence counts from the start and lasts
    `first` seconds, later `every` seconds. With `every=None` there are no signals.

    Use it with `async with`: leaving the block closes the source. An error of the source is raised after the chunks
    before it.
    """

    def __init__(
        self,
        open: Open,
        *,
        every: float | None = None,
        first: float | None = None,
        sent_at: Callable[[], float | None] = lambda: None,
    ) -> None:
        self._open = open
        self._every = math.inf if every is None else every
        self._first = self._every if first is None else first
        self._sent_at = sent_at
        self._source: Source | None = None
        self._opening: asyncio.Task[Source | None] | None = None
        self._done = False
        self._is_silent = False
        self._grace: float | None = None
        self._ends_at = math.inf
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def end_after(self, seconds: float) -> None:
        """End the chunks when nothing more has been sent to the client for `seconds`, whatever the source does, and
        give no more signals. A later call counts if it has fewer seconds."""
        if self._grace is None or seconds < self._grace:
            self._grace = seconds
            self._ends_at = self._loop.time() + seconds
            if self._timer is None or self._timer.when() > self._ends_at:
                self._set_timer(self._ends_at)

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        if self._first == math.inf:  # nobody is to be told of the time that it takes
            self._source = await self._open()
            self._done = self._source is None
        else:
            self._opening = self._loop.create_task(self._open())
            self._opening.add_done_callback(self._wake)
            self._set_timer(self._began + self._first)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        try:
            if self._opening is not None:
                await cancel_and_wait(self._opening)
        finally:
            self._note_opened()
            source, self._source = self._source, None
            if source is not None:
                await source.aclose()

    def __aiter__(self) -> AsyncIterator[bytes | None]:
        return self

    async def __anext__(self) -> bytes | None:
        while True:
            if self._is_silent:
                self._is_silent = False
                return None
            if self._done:
                raise StopAsyncIteration
            if (source := self._source) is not None:
                chunk = source.take()
                if chunk:
                    return chunk
                if chunk is None:
                    raise StopAsyncIteration
                self._waiter = source.more()
            else:
                assert self._opening is not None
                if self._opening.done():
                    self._opening.result()
                    self._note_opened()
                    continue
                self._waiter = self._loop.create_future()
            await self._waiter

    def _note_opened(self) -> None:
        """The source that was opened, if it was."""
        opening, self._opening = self._opening, None
        if opening is not None and not opening.cancelled() and opening.exception() is None:
            self._source = opening.result()
            self._done = self._done or self._source is None

    def _wake(self, _: object = None) -> None:
        resolve(self._waiter)

    def _set_timer(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._on_timer) if when < math.inf else None

    def _on_timer(self) -> None:
        self._timer = None
        now, sent_at = self._loop.time(), self._sent_at()
        if self._grace is not None:
            due = self._ends_at if sent_at is None else max(self._ends_at, sent_at + self._grace)
            if due <= now:
                self._done = True
        else:
            due = self._began + self._first if sent_at is None else sent_at + self._every
            if due <= now:
                self._is_silent = True
                due = now + self._every
        if self._done or self._is_silent:
            self._wake()
        if not self._done:
            self._set_timer(due)
