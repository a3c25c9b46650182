"""The chunks of a stream, a signal for each silence of the client's, and an end for streams that do not end.

A client that receives nothing for a while gives up, so an event stream gets a ping while there is nothing to send. What
counts is what the client was sent, and not what the model server has sent: hidden reasoning, comments, and the pieces
of a tool call without a name are silence to the client.

Only one task may call `send`. So a ping is not sent by a second task: the wait for the next chunk returns None. That
wait cannot be a cancelled read, because a read that is cancelled half-way ends the stream. So a second task reads, and
the sending task waits for what it has read.

This costs one future per chunk. A task for each read, with `asyncio.wait`, costs six times as much, and a timer for
each wait about the same again; here one timer checks, when it fires, whether the silence has been long enough.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Self, TypeAlias

from asgi_llmgate.concurrency.cancellation import cancel_and_wait

UNREAD = 64 * 1024
"""Bytes that are read ahead of a client that is slower than the model."""

Open: TypeAlias = Callable[[], Awaitable[AbstractAsyncContextManager[AsyncIterator[bytes]]]]


class Paced:
    """The chunks of a source as they come, waiting ones joined; None when a client was sent nothing for long enough.

    `open` opens the source. `sent_at` is when the client was last sent something, in seconds of the event loop's clock,
    and None before anything was: then the silence counts from the start and lasts `first` seconds, later `every`
    seconds. With `every=None` there are no signals.

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
        self._chunks: list[bytes] = []
        self._unread = 0
        self._done = False
        self._is_silent = False
        self._grace: float | None = None
        self._ends_at = math.inf
        self._failure: BaseException | None = None
        self._reader: asyncio.Task[None] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
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
        self._reader = self._loop.create_task(self._read())
        self._set_timer(self._began + self._first)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        reader, self._reader = self._reader, None
        assert reader is not None
        try:
            await cancel_and_wait(reader)
        finally:
            self._failure = None  # its traceback holds this object

    def __aiter__(self) -> AsyncIterator[bytes | None]:
        return self

    async def __anext__(self) -> bytes | None:
        if not (self._chunks or self._done or self._is_silent):
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if self._is_silent:
            self._is_silent = False
            return None
        if chunks := self._chunks:
            joined = chunks[0] if len(chunks) == 1 else b"".join(chunks)
            chunks.clear()
            self._unread = 0
            if self._room is not None:
                _resolve(self._room)
            return joined
        if self._failure is not None:
            raise self._failure
        raise StopAsyncIteration

    async def _read(self) -> None:
        try:
            async with await self._open() as source:
                async for chunk in source:
                    if self._done:  # its time is over
                        break
                    self._chunks.append(chunk)
                    self._unread += len(chunk)
                    waiter = self._waiter
                    if waiter is not None and not waiter.done():
                        waiter.set_result(None)
                    if self._unread >= UNREAD:
                        self._room = self._loop.create_future()
                        await self._room
        except (Exception, asyncio.CancelledError) as failure:
            self._failure = failure
        finally:
            self._done = True
            _resolve(self._waiter)

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
            _resolve(self._waiter)
        if not self._done:
            self._set_timer(due)


def _resolve(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)
