"""The results of a run: rows with their figures, whether they count, and whether they meet the goal."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from math import sqrt
from operator import truediv
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from benchmarks.side_by_side.rows import Row

MOST, MOST_ABSOLUTE, MOST_ADDED = 0.1, 0.15, 0.05
"""How uncertain a median may be: of a ratio and of other figures as a share of the median, and of what a part adds as a
share of what it is added to."""

PACKAGES = ("uvicorn", "uvloop", "httptools", "msgspec")
YARDSTICK, GATEWAY, WITHOUT = "yardstick", "gateway", "gateway without it"


@dataclass(frozen=True)
class Result:
    """A row with the figures of each server, one for each round."""

    row: Row
    figures: Mapping[str, Sequence[float]]

    @property
    def measured(self) -> list[float]:
        """What the goal is about, for each round: the gateway's figures, or their ratios to the prototype's."""
        ours = list(self.figures[GATEWAY])
        if not self.row.prototype:
            return ours
        return [ratio / self.row.prototype for ratio in map(truediv, ours, self.figures[YARDSTICK])]

    @property
    def uncertainty(self) -> float:
        """How far the median may be off, as a share of it, or of the call to which a part is added.

        The machine's speed may change from one second to the next; many short rounds find the median nevertheless.  So
        it is not the quartiles that count, but 1.96 standard errors of the median as the notches of box plots estimate
        them: R. McGill, J. W. Tukey, W. A. Larsen, "Variations of Box Plots", The American Statistician 32 (1978).
        With rounds that are not independent, as in a slow minute, it is more.
        """
        low, middle, high = spread(self.measured)
        whole = abs(median(self.figures.get(WITHOUT, [middle])))
        return 1.96 * 1.25 / 1.35 * (high - low) / sqrt(len(self.measured)) / whole if whole else 0.0

    @property
    def once(self) -> bool:
        """Whether there is one figure only, so that nobody knows how certain it is."""
        return len(self.measured) == 1

    @property
    def counts(self) -> bool:
        """Whether the machine was quiet enough: judged by what is reported, so that a slow minute, which is slow for
        both sides of a ratio, does no harm."""
        if WITHOUT in self.figures:
            return self.uncertainty <= MOST_ADDED
        return self.uncertainty <= (MOST if self.row.prototype else MOST_ABSOLUTE)

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None where the row is void."""
        return median(self.measured) <= self.row.goal if self.counts else None


@dataclass(frozen=True)
class Run:
    """What was measured, where, and how."""

    command: str
    results: Sequence[Result]
    skipped: Sequence[str] = ()
    facts: Mapping[str, str] = field(default_factory=lambda: _facts())

    def as_json(self) -> dict[str, Any]:
        rows = [{"row": _plain(each.row), "figures": dict(each.figures)} for each in self.results]
        return {"command": self.command, "facts": dict(self.facts), "skipped": list(self.skipped), "results": rows}

    @classmethod
    def from_json(cls, run: Mapping[str, Any]) -> Run:
        results = [Result(Row(**each["row"]), each["figures"]) for each in run["results"]]
        return cls(run["command"], results, run["skipped"], run["facts"])


def spread(figures: Sequence[float]) -> tuple[float, float, float]:
    """The quartiles."""
    if len(figures) < 2:
        return (figures[0],) * 3
    low, middle, high = quantiles(figures, n=4, method="inclusive")
    return low, middle, high


def _plain(row: Row) -> dict[str, Any]:
    return {name: value for name, value in asdict(row).items() if name in Row.__dataclass_fields__}


def _facts() -> dict[str, str]:
    return {
        "commit": _commit(),
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "libraries": ", ".join(f"{name} {version(name)}" for name in PACKAGES),
        "machine": f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
    }


def _commit() -> str:
    git = ["git", "-C", str(Path(__file__).parent), "log", "-1", "--format=%h of %cs"]
    try:
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
