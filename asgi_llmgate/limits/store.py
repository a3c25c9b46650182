"""Where limits are counted.  MemoryStore counts for one worker process: n workers admit n times as much.

A store that workers share (Redis, SQL) implements the same two methods.  Budgets need a shared store: in
memory each worker would have a full one, and a restart would reset it.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol

from asgi_llmgate.limits.rates import Rate

CONCURRENCY_WAIT = 1.0
"""Seconds to wait where too many requests run at once.  When one of them ends is not known."""

_REMOVED_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Claim:
    """What one request takes of one limit; `key` names the bucket that it counts in."""

    limit: str
    key: Hashable
    rate: Rate | None = None
    concurrency: int | None = None


@dataclass(frozen=True, slots=True)
class Shortage:
    """A claim that exceeds its limit, the seconds until it would not, and the limit as text (`60/minute`)."""

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
    """The result of `admit`: the claim that exceeds its limit, if any, and the quota of the rate with the fewest
    requests left."""

    shortage: Shortage | None = None
    quota: Quota | None = None


class Store(Protocol):
    """Counts claims."""

    async def admit(self, claims: Sequence[Claim]) -> Admission:
        """Count all of the claims; or none of them, and return the one with the longest wait as the shortage."""

    def release(self, claims: Sequence[Claim]) -> None:
        """Give the slots of an admitted request back.  Also called under cancellation: must not wait and not raise."""


class MemoryStore:
    """Counts in this process.

    `capacity` is the maximum number of buckets of each limit; the least recently used one is removed first.  `now` is a
    monotonic clock, in seconds.
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
            slot = claim.limit, claim.key
            left = self._running.get(slot, 0) - 1
            if left > 0:
                self._running[slot] = left
            else:
                self._running.pop(slot, None)

    def _quota(self, rate: Rate, claim: Claim, now: float) -> Quota:
        full_at = self._when_full(claim, now)
        return Quota(rate.count, rate.remaining(full_at, now), max(full_at - now, 0.0))

    def _shortage(self, claim: Claim, now: float) -> Shortage | None:
        if claim.concurrency is not None and self._running.get((claim.limit, claim.key), 0) >= claim.concurrency:
            return Shortage(claim, CONCURRENCY_WAIT, f"{claim.concurrency} at once")
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
            slot = claim.limit, claim.key
            self._running[slot] = self._running.get(slot, 0) + 1
        if claim.rate is not None:
            buckets = self._full_at.setdefault(claim.limit, OrderedDict())
            # Taken out and put in again: the order of the buckets is that of their last use.
            buckets[claim.key] = claim.rate.after(buckets.pop(claim.key, now), now)
            self._remove_old(buckets, now)

    def _remove_old(self, buckets: OrderedDict[Hashable, float], now: float) -> None:
        """Remove buckets that are full again, and the least recently used one where there are too many.

        At most 8 per request: each request adds at most one, so a few are enough, and no request removes many at once.
        """
        # An OrderedDict, because the first key of a plain dict is found by walking over those that were deleted.
        for _ in range(_REMOVED_AT_ONCE):
            oldest = next(iter(buckets))
            if len(buckets) == 1 or (buckets[oldest] > now and len(buckets) <= self._capacity):
                return
            del buckets[oldest]
