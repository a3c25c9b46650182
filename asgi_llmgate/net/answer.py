"""An answer whose head has come, and the bounds on waiting for the rest.

    pool, connect   for a connection; the transport keeps them
    first_byte      for the first byte of the BODY: many model servers send the head before they have read the prompt
    idle            for each byte after it
    total           for all of it; off by default, because a long answer is no fault

The time that the reader takes between two chunks counts for none of them but `total`: it may be waiting for a slow
client.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import httpx

from asgi_llmgate.errors import Broken, Phase, TimedOut
from asgi_llmgate.net.failures import READ_ERRORS, in_answer, timed_out


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds; None is no bound.  `first_byte` and `total` count from the start of the request."""

    connect: float | None = 10.0
    pool: float | None = 10.0
    first_byte: float | None = 600.0
    idle: float | None = 300.0
    total: float | None = None


class Deadline:
    """Until when the next byte must be there, on the loop's clock."""

    __slots__ = ("_clock", "_end", "_idle", "_next", "_phase")

    def __init__(self, timeouts: Timeouts) -> None:
        self._clock = asyncio.get_running_loop().time
        now = self._clock()
        self._idle = _seconds(timeouts.idle)
        self._end = now + _seconds(timeouts.total)
        self._next = now + _seconds(timeouts.first_byte)
        self._phase: Phase = "first_byte"

    def bound(self) -> asyncio.Timeout:
        when = min(self._next, self._end)
        return asyncio.timeout_at(when if when < math.inf else None)

    def move(self) -> None:
        """The wait begins anew: there has been a byte."""
        self._next = self._clock() + self._idle
        self._phase = "idle"

    def error(self) -> TimedOut:
        return timed_out("total" if self._end < self._next else self._phase)


def _seconds(value: float | None) -> float:
    return math.inf if value is None else value


class HTTPAnswer:
    """`status`, `headers` (found by their lower-case names) and a body that is read once, by `chunks` or by `read`.

    Must be closed, best by `async with`.  Closing before the end of the body closes the connection, and so stops a
    model that is still generating.
    """

    def __init__(self, response: httpx.Response, deadline: Deadline) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._deadline = deadline
        self._begun = False
        # A server may compress although it was asked not to; httpx undoes what it knows.
        encoded = "content-encoding" in response.headers
        self._source = response.aiter_bytes() if encoded else aiter(response.stream)  # type: ignore[arg-type]

    def chunks(self) -> AsyncIterator[bytes]:
        """The body, each piece as the network gives it.  Raises TimedOut and Broken."""
        return self

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        deadline = self._deadline
        if self._begun:
            deadline.move()
        try:
            async with deadline.bound() as bound:
                chunk = await anext(self._source)
        except READ_ERRORS as error:
            raise deadline.error() if bound.expired() else in_answer(error) from error
        self._begun = True
        return chunk

    async def read(self, limit: int) -> bytes:
        """The whole body.  Raises what `chunks` raises, and Broken when there are more than `limit` bytes."""
        chunks: list[bytes] = []
        size = 0
        async for chunk in self:
            size += len(chunk)
            if size > limit:
                raise Broken("the upstream's answer is too large", detail=f"more than {limit} bytes")
            chunks.append(chunk)
        return b"".join(chunks)

    async def aclose(self) -> None:
        """Give the connection back, or close it where the body has not been read to its end."""
        await self._response.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
