"""The bytes of a response as they come: what has arrived is taken without waiting, and waiting is one future.

A reader of such chunks may stop waiting at any time, because another event resolves the future, and read on later. A
cancelled `anext` of an asynchronous iterator would have ended it; so that is read by a task (ReadByTask), but only
where there is no other way: a task's turn for each chunk costs more than all else that is done for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Protocol

from asgi_llmgate.concurrency.cancellation import cancel_and_wait


class Chunks(Protocol):
    """For one reader at a time."""

    def take(self) -> bytes | None:
        """What has arrived since the last time, joined; empty while nothing has, None at the end. Raises the error that
        has ended the chunks, after the chunks before it, each time."""
        ...

    def more(self) -> asyncio.Future[None]:
        """A future for a reader to which `take` gave nothing: resolved when it may give something. The reader may
        resolve it as well."""
        ...


class ReadByTask:
    """The chunks of an asynchronous generator, which a task of its own reads one by one, as they are asked for."""

    def __init__(self, source: AsyncGenerator[bytes, None]) -> None:
        self.has_ended = False
        """Whether the source has been read to its end."""

        self._source = source
        self._task: asyncio.Task[None] | None = None
        self._chunk = b""
        self._failure: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._asked: asyncio.Future[None] | None = None

    def take(self) -> bytes | None:
        chunk, self._chunk = self._chunk, b""
        if not chunk and self._failure is not None:
            raise self._failure
        return None if not chunk and self.has_ended else chunk

    def more(self) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        self._waiter = waiter = loop.create_future()
        if self._task is None:
            self._task = loop.create_task(self._read())
        elif self._chunk or self._task.done():
            resolve(waiter)
        else:
            resolve(self._asked)
        return waiter

    async def aclose(self) -> None:
        """End the reading, and wait until it has ended."""
        try:
            if self._task is None:
                await self._source.aclose()
            else:
                await cancel_and_wait(self._task)
        finally:
            self._failure = None  # its traceback holds this object

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with aclosing(self._source) as source:
                async for chunk in source:
                    if chunk:
                        self._chunk = chunk
                        self._asked = loop.create_future()
                        if self._waiter is not None and not self._waiter.done():
                            self._waiter.set_result(None)
                        await self._asked
            self.has_ended = True
        except BaseException as failure:
            self._failure = failure  # also one that ends the process: a reader must not wait for more
            if not isinstance(failure, (Exception, asyncio.CancelledError)):
                raise
        finally:
            resolve(self._waiter)


async def iterate(chunks: Chunks) -> AsyncIterator[bytes]:
    """The chunks for a reader that only waits for them."""
    while (chunk := chunks.take()) is not None:
        if chunk:
            yield chunk
        else:
            await chunks.more()


def resolve(future: asyncio.Future[None] | None) -> None:
    """Wake whoever waits for it."""
    if future is not None and not future.done():
        future.set_result(None)
