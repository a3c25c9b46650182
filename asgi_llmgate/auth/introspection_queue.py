"""Who may ask the identity provider next.

Anybody can make up tokens, and each made-up one is a question.  So few questions are under way at a time, a bounded
number waits, and callers take turns: one place in the rotation for each client address, the addresses of an IPv6 /64
counting as one.  Where too many wait, the address with most of them loses its newest (stochastic fair queueing,
RFC 7806 section 3).  Tokens that were good when they were last asked about go first, and have places of their own: who
makes tokens up has none of these.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv6Address, ip_address

AT_ONCE = 64
"""Questions under way."""

FOR_KNOWN = 16
"""Of these, for tokens that were good before."""

WAITING = 1024
"""Questions that wait, about tokens that nobody knows yet."""

PATIENCE = 10.0
"""Seconds that a question waits at the most."""

_Turn = asyncio.Future[None]


class TooMany(Exception):
    """The question cannot be put now.  The text is for the log."""


class Questions:
    """The questions of one event loop to one provider."""

    def __init__(self) -> None:
        self._running = self._unknown_running = 0
        self._known: deque[_Turn] = deque()
        self._unknown: OrderedDict[str, deque[_Turn]] = OrderedDict()
        self._waiting = 0

    @asynccontextmanager
    async def turn(self, client: str, *, known: bool) -> AsyncIterator[None]:
        """Wait for the turn of a client's address, and hold it.  Raises TooMany."""
        await self._wait(_share_of(client), known)
        try:
            yield
        finally:
            self._leave(known)

    async def _wait(self, share: str, known: bool) -> None:
        turn: _Turn = asyncio.get_running_loop().create_future()
        if known:
            self._known.append(turn)
        else:
            self._unknown.setdefault(share, deque()).append(turn)
            self._waiting += 1
        self._next()
        if self._waiting > WAITING:
            self._drop_one()
        try:
            async with asyncio.timeout(PATIENCE):
                await turn
        except (TimeoutError, asyncio.CancelledError) as error:
            if turn.done() and not turn.cancelled():
                self._leave(known)  # it came in the same moment
            else:
                self._forget(turn, share, known)
            if isinstance(error, TimeoutError):
                raise TooMany(f"no turn within {PATIENCE:g} seconds") from None
            raise

    def _leave(self, known: bool) -> None:
        self._running -= 1
        self._unknown_running -= not known
        self._next()

    def _next(self) -> None:
        """Give free places to those who wait."""
        while self._known and self._running < AT_ONCE:
            if self._take(self._known.popleft()):
                self._running += 1
        while self._unknown and self._running < AT_ONCE and self._unknown_running < AT_ONCE - FOR_KNOWN:
            share, turns = self._unknown.popitem(last=False)
            turn = turns.popleft()
            self._waiting -= 1
            if turns:
                self._unknown[share] = turns  # behind all others
            if self._take(turn):
                self._running += 1
                self._unknown_running += 1

    def _take(self, turn: _Turn) -> bool:
        if turn.done():
            return False
        turn.set_result(None)
        return True

    def _drop_one(self) -> None:
        share, longest = max(reversed(self._unknown.items()), key=lambda item: len(item[1]))  # of several the last
        turn = longest.pop()
        self._waiting -= 1
        if not longest:
            del self._unknown[share]
        if not turn.done():
            turn.set_exception(TooMany(f"{AT_ONCE} tokens are being asked about, and {WAITING} wait"))

    def _forget(self, turn: _Turn, share: str, known: bool) -> None:
        """Take one that waits no more out of its queue."""
        turns = self._known if known else self._unknown.get(share, deque())
        if turn in turns:
            turns.remove(turn)
            self._waiting -= not known
            if not (known or turns):
                del self._unknown[share]


def _share_of(client: str) -> str:
    """What an address counts as: itself, or its /64, which is what one subscriber has at least (RFC 6177)."""
    try:
        address = ip_address(client.partition("%")[0])
    except ValueError:
        return client[:64]
    if not isinstance(address, IPv6Address):
        return str(address)
    return str(address.ipv4_mapped or int(address) >> 64)
