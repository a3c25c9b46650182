"""One thread for all work of the gateway with the site's database.

Django opens a connection per thread.  The default executor of an event loop has up to 32 threads, so a busy worker
would open 32 connections.  Django also closes old and broken connections only at the signals of its own requests, which
the gateway's requests do not send.  This is what Channels' `database_sync_to_async` does, with a single thread.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import wraps
from typing import ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.db import close_old_connections, connections

P = ParamSpec("P")
R = TypeVar("R")


class DatabaseThread:
    """An executor with one thread, which starts with the first work.  A forked process gets a thread of its own."""

    def __init__(self) -> None:
        self._pid, self._pool = os.getpid(), ThreadPoolExecutor(1, thread_name_prefix="llmgate-django")

    @property
    def _executor(self) -> ThreadPoolExecutor:
        # A fork copies this object but not its thread.
        if self._pid != os.getpid():
            self._pid, self._pool = os.getpid(), ThreadPoolExecutor(1, thread_name_prefix="llmgate-django")
        return self._pool

    def submit(self, work: Callable[[], R]) -> Future[R]:
        """Run `work` later.  Work that waits when the interpreter exits is still done."""
        return self._executor.submit(_with_fresh_connections(work))

    def asynchronous(self, work: Callable[P, R]) -> Callable[P, Awaitable[R]]:
        """The function as a coroutine function that runs it in the thread."""

        async def run(*args: P.args, **options: P.kwargs) -> R:
            # With thread_sensitive=True it would run in the thread of the site's own synchronous views.
            here = sync_to_async(_with_fresh_connections(work), thread_sensitive=False, executor=self._executor)
            return await here(*args, **options)

        return run

    async def aclose(self) -> None:
        """Close the thread's connection.  Later work opens it again."""
        await sync_to_async(connections.close_all, thread_sensitive=False, executor=self._executor)()


def _with_fresh_connections(work: Callable[P, R]) -> Callable[P, R]:
    """`work`, with old and broken connections closed before and after, as Django does around a request."""

    @wraps(work)
    def wrapped(*args: P.args, **options: P.kwargs) -> R:
        close_old_connections()
        try:
            return work(*args, **options)
        finally:
            close_old_connections()

    return wrapped
