"""The order in which tokens are introspected.

Anyone can invent tokens, and each invented token is a request to the identity provider.  Therefore only a few requests
run at a time, a bounded number waits, and clients take turns: each client address has one place in the rotation, and
the addresses of an IPv6 /64 count as one.  When too many wait, the newest entry of the address with the most entries is
dropped (stochastic fair queueing, RFC 7806 section 3).

Tokens that were accepted before go first and have places of their own: someone who invents tokens has none of these.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv6Address, ip_address

MAX_CONCURRENT = 64
"""Introspection requests that run at a time."""

RESERVED_FOR_KNOWN = 16
"""How many of these are only for tokens that were accepted before."""

MAX_WAITING = 1024
"""Unknown tokens that wait."""

MAX_WAIT = 10.0
"""Seconds that a token waits at most."""

_Turn = asyncio.Future[None]


class IntrospectionBusy(Exception):
    """The token cannot be introspected now.  The text is for the log."""


class IntrospectionQueue:
    """The introspection requests of one event loop to one provider."""

    def __init__(self) -> None:
        self._running = self._unknown_running = 0
        self._known: deque[_Turn] = deque()
        # By client, in the order in which the clients' turns come.
        self._unknown: OrderedDict[str, deque[_Turn]] = OrderedDict()
        self._waiting = 0

    @asynccontextmanager
    async def turn(self, client: str, *, known: bool) -> AsyncIterator[None]:
        """Wait for a turn and hold it.  `client`: the address that the token came from.  Raises IntrospectionBusy."""
        await self._wait(_fairness_key(client), known)
        try:
            yield
        finally:
            self._release(known)

    async def _wait(self, key: str, known: bool) -> None:
        turn: _Turn = asyncio.get_running_loop().create_future()
        if known:
            self._known.append(turn)
        else:
            self._unknown.setdefault(key, deque()).append(turn)
            self._waiting += 1
        self._grant_turns()
        if self._waiting > MAX_WAITING:
            self._drop_newest_of_the_largest()
        try:
            async with asyncio.timeout(MAX_WAIT):
                await turn
        except (TimeoutError, asyncio.CancelledError) as error:
            if turn.done() and not turn.cancelled():
                # The turn was granted in the same moment: it has to be given back.
                self._release(known)
            else:
                self._remove(turn, key, known)
            if isinstance(error, TimeoutError):
                raise IntrospectionBusy(f"no turn within {MAX_WAIT:g} seconds") from None
            raise

    def _release(self, known: bool) -> None:
        self._running -= 1
        self._unknown_running -= not known
        self._grant_turns()

    def _grant_turns(self) -> None:
        """Give the free places to those who wait: known tokens first, then one of each client in rotation."""
        while self._known and self._running < MAX_CONCURRENT:
            if self._grant(self._known.popleft()):
                self._running += 1
        max_unknown = MAX_CONCURRENT - RESERVED_FOR_KNOWN
        while self._unknown and self._running < MAX_CONCURRENT and self._unknown_running < max_unknown:
            key, turns = self._unknown.popitem(last=False)
            turn = turns.popleft()
            self._waiting -= 1
            if turns:
                self._unknown[key] = turns  # at the end of the rotation
            if self._grant(turn):
                self._running += 1
                self._unknown_running += 1

    def _grant(self, turn: _Turn) -> bool:
        """Whether the turn was taken; not if its request was cancelled meanwhile."""
        if turn.done():
            return False
        turn.set_result(None)
        return True

    def _drop_newest_of_the_largest(self) -> None:
        # reversed: of several clients with as many entries, the last in the rotation loses one
        key, longest = max(reversed(self._unknown.items()), key=lambda item: len(item[1]))
        turn = longest.pop()
        self._waiting -= 1
        if not longest:
            del self._unknown[key]
        if not turn.done():
            turn.set_exception(
                IntrospectionBusy(f"{MAX_CONCURRENT} tokens are being introspected, and {MAX_WAITING} wait")
            )

    def _remove(self, turn: _Turn, key: str, known: bool) -> None:
        """Take an entry that no longer waits out of its queue."""
        turns = self._known if known else self._unknown.get(key, deque())
        if turn in turns:
            turns.remove(turn)
            self._waiting -= not known
            if not (known or turns):
                del self._unknown[key]


def _fairness_key(client: str) -> str:
    """What an address counts as: an IPv4 address as itself, an IPv6 one as its /64, the least that a subscriber has.

    RFC 6177 section 2.
    """
    try:
        address = ip_address(client.partition("%")[0])  # fe80::1%eth0
    except ValueError:
        return client[:64]  # a host name, or a made-up X-Forwarded-For
    if not isinstance(address, IPv6Address):
        return str(address)
    return str(address.ipv4_mapped or int(address) >> 64)
