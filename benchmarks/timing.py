"""Timing on a busy machine: the fastest of several rounds, and ratios of rounds that follow each other.

The fastest round is the one that other processes disturbed least. A ratio compares neighbouring rounds, so that a
machine which is slower for a while is slower for both.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

Work = Callable[[], object]

ROUND = 0.05
"""Minimum seconds of one round."""


def microseconds(work: Work, *, rounds: int = 7) -> float:
    """Microseconds of one call, in the fastest round."""
    repeats = _repeats(work)
    return min(_round(work, repeats) for _ in range(rounds))


def ratio(work: Work, other: Work, *, rounds: int = 7) -> float:
    """How many times longer `other` takes: the median over pairs of rounds."""
    repeats, others = _repeats(work), _repeats(other)
    return median(_round(other, others) / _round(work, repeats) for _ in range(rounds))


def _repeats(work: Work) -> int:
    repeats = 1
    while (taken := _round(work, repeats) * repeats / 1e6) < ROUND:
        repeats *= max(2, int(ROUND / max(taken, 1e-7)))
    return repeats


def _round(work: Work, repeats: int) -> float:
    begun = time.perf_counter()
    for _ in range(repeats):
        work()
    return (time.perf_counter() - begun) / repeats * 1e6
