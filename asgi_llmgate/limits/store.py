"""Where limits are counted.  MemoryStore counts for one worker process: n workers admit n times as much.

A store that workers share (Redis, SQL) implements the same two methods; budgets of tokens or money will need one,
because a budget that multiplies by workers and is forgotten at each deploy is none.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol

from asgi_llmgate.limits.rates import Rate

BUSY = 1.0
"""Seconds to wait where too many calls run at once: nobody knows when one ends."""

_FORGOTTEN_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Claim:
    """What one request wants of one limit; `key` is the caller's bucket."""

    limit: str
    key: Hashable
    rate: Rate | None = None
    concurrency: int | None = None


@dataclass(frozen=True, slots=True)
class Shortage:
    """The claim that cannot be met, after how many seconds it could be, and the limit in words (`60/minute`)."""

    claim: Claim
    wait: float
    limited_to: str


@dataclass(frozen=True, slots=True)
class Quota:
    """What a rate has left for one caller: `limit` requests, `remaining` of them now, all again in `reset` seconds."""

    limit: int
    remaining: int
    reset: float


@dataclass(frozen=True, slots=True)
class Admission:
    """The answer to a request's claims: what was too much, or nothing; and the quota of the rate with least left."""

    shortage: Shortage | None = None
    quota: Quota | None = None


class Store(Protocol):
    """Counts claims."""

    async def admit(self, claims: Sequence[Claim]) -> Admission:
        """Count all of the claims; or none, and say which would be short for the longest time."""

    def release(self, claims: Sequence[Claim]) -> None:
        """An admitted request has ended.  Called under cancellation too: does not wait and does not raise."""


class MemoryStore:
    """Counts in this process.  `capacity` bounds the buckets of each limit; the one that rested longest goes first.

    `now` gives seconds.
    """

    def __init__(self, *, capacity: int = 100_000, now: Callable[[], float] = time.monotonic) -> None:
        self._capacity = capacity
        self._now = now
        self._full_at: dict[str, OrderedDict[Hashable, float]] = {}
        self._running: dict[tuple[str, Hashable], int] = {}

    async def admit(self, claims: Sequence[Claim]) -> Admission:
        now = self._now()
        shortages = [found for claim in claims if (found := self._shortage(claim, now)) is not None]
        if not shortages:
            for claim in claims:
                self._count(claim, now)
        quotas = [self._quota(claim.rate, claim, now) for claim in claims if claim.rate is not None]
        return Admission(
            max(shortages, key=lambda shortage: shortage.wait, default=None),
            min(quotas, key=lambda quota: (quota.remaining, -quota.reset), default=None),
        )

    def release(self, claims: Sequence[Claim]) -> None:
        for claim in claims:
            if claim.concurrency is None:
                continue
            place = claim.limit, claim.key
            left = self._running.get(place, 0) - 1
            if left > 0:
                self._running[place] = left
            else:
                self._running.pop(place, None)

    def _quota(self, rate: Rate, claim: Claim, now: float) -> Quota:
        full_at = self._when_full(claim, now)
        return Quota(rate.count, rate.remaining(full_at, now), max(full_at - now, 0.0))

    def _shortage(self, claim: Claim, now: float) -> Shortage | None:
        if claim.concurrency is not None and self._running.get((claim.limit, claim.key), 0) >= claim.concurrency:
            return Shortage(claim, BUSY, f"{claim.concurrency} at once")
        if claim.rate is not None:
            full_at = self._when_full(claim, now)
            if wait := claim.rate.wait(full_at, now):
                return Shortage(claim, wait, claim.rate.text)
        return None

    def _when_full(self, claim: Claim, now: float) -> float:
        buckets = self._full_at.get(claim.limit)
        return now if buckets is None else buckets.get(claim.key, now)

    def _count(self, claim: Claim, now: float) -> None:
        if claim.concurrency is not None:
            place = claim.limit, claim.key
            self._running[place] = self._running.get(place, 0) + 1
        if claim.rate is not None:
            buckets = self._full_at.setdefault(claim.limit, OrderedDict())
            buckets[claim.key] = claim.rate.after(buckets.pop(claim.key, now), now)  # to the end: the order is of use
            self._forget(buckets, now)

    def _forget(self, buckets: OrderedDict[Hashable, float], now: float) -> None:
        """Drop full buckets, and the one that rested longest where there are too many: a few at a time, which keeps up
        with requests that add one each.  (The first of a plain dict is found by walking over those that were deleted.)
        """
        for _ in range(_FORGOTTEN_AT_ONCE):
            oldest = next(iter(buckets))
            if len(buckets) == 1 or (buckets[oldest] > now and len(buckets) <= self._capacity):
                return
            del buckets[oldest]
