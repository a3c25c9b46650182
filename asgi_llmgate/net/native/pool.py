"""Which connection a request gets, and how many there are.

A request takes one of `limit` places, in the order in which requests asked, and keeps it until its response is closed.
With its place it gets the connection to its origin that became idle last, or else a new one. Idle connections count
against the limit too: where a new one would exceed it, the one that has been idle for longest is closed.

An idle connection is closed by its server, at once when that is noticed, and at the latest after KEEP_IDLE seconds:
routers and load balancers drop idle connections without telling either side.
"""

from __future__ import annotations

import asyncio

from asgi_llmgate.net.deadline import Timeouts, timed_out
from asgi_llmgate.net.native.connecting import Origin, connect
from asgi_llmgate.net.native.connection import Connection
from asgi_llmgate.net.tls import TLS

KEEP_IDLE = 15.0
"""Seconds; aiohttp's value as well.  Less than the 60 of AWS's and the 30 of other load balancers."""


class Pool:
    """The connections of one event loop."""

    def __init__(self, *, tls: TLS, limit: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._tls = tls
        self._limit = limit
        self._places = asyncio.Semaphore(limit)  # fair: first in, first out
        self._busy: set[Connection] = set()
        self._connecting = 0
        self._idle: dict[Origin, list[Connection]] = {}
        self._origins: dict[Connection, Origin] = {}  # of idle connections, that which has been idle for longest first
        self._expiry: asyncio.TimerHandle | None = None
        self._is_closed = False

    async def take(self, origin: Origin, timeouts: Timeouts, *, new_connection: bool) -> Connection:
        """A connection, to be given back.  Raises TimedOut, ConnectionRefused and Unreachable."""
        if self._places.locked():
            await self._wait_for_place(timeouts.pool)
        else:
            await self._places.acquire()  # does not wait
        connection = None if new_connection else self._take_idle(origin)
        if connection is None:
            self._connecting += 1
            try:
                self._make_room()
                connection = await self._connect(origin, timeouts.connect)
            except BaseException:
                self._places.release()
                raise
            finally:
                self._connecting -= 1
        self._busy.add(connection)
        return connection

    def give_back(self, connection: Connection, origin: Origin) -> None:
        """End the request of a connection, once.  It is closed if it cannot take another."""
        self._busy.remove(connection)
        self._places.release()
        if not connection.finish():
            return
        if self._is_closed:
            connection.abort()
            return
        self._idle.setdefault(origin, []).append(connection)
        self._origins[connection] = origin
        connection.on_lost = self._forget
        if self._expiry is None:
            self._expiry = self._loop.call_later(KEEP_IDLE, self._expire)

    def close(self) -> None:
        """Close all connections.  Responses that are being read break off."""
        self._is_closed = True
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        for connection in (*self._origins, *self._busy):
            connection.abort()

    def _take_idle(self, origin: Origin) -> Connection | None:
        while connections := self._idle.get(origin):
            connection = connections[-1]
            self._forget(connection)
            if connection.is_open and self._loop.time() - connection.idle_since < KEEP_IDLE:
                return connection
            connection.abort()
        return None

    def _make_room(self) -> None:
        if self._origins and len(self._busy) + self._connecting + len(self._origins) > self._limit:
            oldest = next(iter(self._origins))
            self._forget(oldest)
            oldest.abort()

    def _forget(self, connection: Connection) -> None:
        """Take a connection out of the idle ones."""
        connection.on_lost = None
        origin = self._origins.pop(connection)
        connections = self._idle[origin]
        connections.remove(connection)
        if not connections:
            del self._idle[origin]

    def _expire(self) -> None:
        """Close what has been idle for too long: one timer for all connections."""
        self._expiry = None
        oldest_allowed = self._loop.time() - KEEP_IDLE
        while self._origins:
            oldest = next(iter(self._origins))
            if oldest.idle_since > oldest_allowed:
                self._expiry = self._loop.call_at(oldest.idle_since + KEEP_IDLE, self._expire)
                return
            self._forget(oldest)
            oldest.abort()

    async def _wait_for_place(self, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._places.acquire()
        except TimeoutError:
            raise timed_out("pool") from None

    async def _connect(self, origin: Origin, seconds: float | None) -> Connection:
        try:
            async with asyncio.timeout(seconds) as limit:
                return await connect(origin, self._tls)
        except TimeoutError:
            assert limit.expired()  # the system's own is an OSError for `connect`
            raise timed_out("connect") from None
