"""A rate such as `60/minute`: a token bucket of 60 that refills evenly.

A bucket is one number, the time at which it will be full again (the generic cell rate algorithm, ITU-T I.371).  A
request moves that time by one interval, and is refused while it is more than a whole period away.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Self

_WRITTEN = re.compile(r"\s*(\d+)\s*/\s*(second|minute|hour|day)\s*", re.ASCII)
_PERIODS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86_400.0}
_ROUNDING = 1e-6  # seconds; sums of intervals are not exact


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` requests per `period` seconds.  `text` is the rate as it is written in settings."""

    count: int
    period: float
    text: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `10/second`, `60/minute`, `1000/hour`, `5000/day`.  Raises ValueError."""
        found = _WRITTEN.fullmatch(text)
        if found is None or int(found[1]) < 1:
            raise ValueError(f"not a rate: {text!r}")
        return cls(int(found[1]), _PERIODS[found[2]], f"{int(found[1])}/{found[2]}")

    def wait(self, full_at: float, now: float) -> float:
        """Seconds until a request is admitted; 0.0: it is admitted now.  `full_at`: when the bucket is full, or was."""
        early = max(full_at, now) + self.period / self.count - self.period - now
        return early if early > _ROUNDING else 0.0

    def remaining(self, full_at: float, now: float) -> int:
        """How many requests would be admitted now."""
        used = max(full_at - now, 0.0) * self.count / self.period
        return max(int(self.count - used + _ROUNDING), 0)

    def after(self, full_at: float, now: float) -> float:
        """When the bucket is full after one more request."""
        return max(full_at, now) + self.period / self.count


def in_words(seconds: float) -> str:
    """`1 second`, `90 seconds`, `60 minutes`, `24 hours`: rounded up, since a client that comes early waits again."""
    unit, size = ("second", 1) if seconds <= 90 else ("minute", 60) if seconds <= 90 * 60 else ("hour", 3600)
    count = max(math.ceil(seconds / size), 1)
    return f"{count} {unit}" + ("s" if count > 1 else "")
