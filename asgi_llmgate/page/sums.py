"""Sums and quantiles of calls, and how they are grouped for the usage page.  Pure: no database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from asgi_llmgate.page.filters import Span
from asgi_llmgate.page.series import BUILT_IN, Series
from asgi_llmgate.usage.ledger.schema import NANO

COLUMNS = (
    "requests", "priced", "unpriced", "calling", "input_tokens", "output_tokens", "cache_read_tokens", "cost_nano",
)  # fmt: skip
"""Columns of a rollup that the page needs, in the order that `Sums.of` takes them."""

CallTimes = tuple[int, float, float | None]
"""Unix seconds of the end of a call, its duration in milliseconds, and its time to first token in milliseconds."""


@dataclass(slots=True)
class Sums:
    """Sums over some calls.

    `refused` counts refusals, `failed` all others whose outcome is not `ok`.  `calling` counts calls whose response
    called tools.  `cost` is in US dollars, None if no cost is known; `unpriced` counts calls with tokens and no cost.
    """

    requests: int = 0
    refused: int = 0
    failed: int = 0
    calling: int = 0
    input: int = 0
    cached: int = 0
    output: int = 0
    cost: float | None = None
    unpriced: int = 0

    @classmethod
    def of(cls, outcome: str, row: Any) -> Sums:
        """The sums of a row with COLUMNS, over calls with this outcome."""
        requests, priced, unpriced, calling, input_tokens, output_tokens, cached, cost = map(int, row)
        return cls(
            requests=requests,
            refused=requests if outcome == "refused" else 0,
            failed=requests if outcome not in ("ok", "refused") else 0,
            calling=calling,
            input=input_tokens,
            cached=cached,
            output=output_tokens,
            # A sum of 0 without a priced call means that the cost is not known.
            cost=cost / NANO if priced else None,
            unpriced=unpriced,
        )

    def add(self, other: Sums) -> None:
        """Add other sums to these."""
        self.requests += other.requests
        self.refused += other.refused
        self.failed += other.failed
        self.calling += other.calling
        self.input += other.input
        self.cached += other.cached
        self.output += other.output
        self.unpriced += other.unpriced
        if other.cost is not None:
            self.cost = (self.cost or 0.0) + other.cost

    @property
    def tokens(self) -> int:
        return self.input + self.output


Ranked = list[tuple[str, Sums]]
"""Values of a dimension with their sums, the value with the most requests first."""


@dataclass(frozen=True, slots=True)
class Times:
    """Median and 95th percentile of some calls in milliseconds; None without calls."""

    median: float | None = None
    percentile_95: float | None = None


def rank(sums: Mapping[str, Sums]) -> Ranked:
    """Sort by number of requests, then by name."""
    return sorted(sums.items(), key=lambda item: (-item[1].requests, item[0]))


def group(series: Mapping[int, Series], sums: Mapping[int, Sums]) -> tuple[Sums, dict[str, Ranked]]:
    """The total of all `sums`, and the sums by each of the operator's fields, by user and by model.

    Both arguments are by id of a series.
    """
    total = Sums()
    groups: dict[str, dict[str, Sums]] = defaultdict(lambda: defaultdict(Sums))
    for number, each in sums.items():
        total.add(each)
        for name in [*(name for name in series[number] if name not in BUILT_IN), "user", "model"]:
            groups[name][series[number][name]].add(each)
    # The operator's fields come first: they are what he has chosen to look at.
    names = [*sorted(groups.keys() - BUILT_IN), *(name for name in ("user", "model") if name in groups)]
    return total, {name: rank(groups[name]) for name in names}


def refusal_reasons(series: Mapping[int, Series], sums: Mapping[int, Sums]) -> list[tuple[str, int]]:
    """Reason of refusals -> number of requests, the most frequent first."""
    reasons: dict[str, int] = defaultdict(int)
    for number, each in sums.items():
        if each.refused:
            reasons[series[number]["reason"]] += each.refused
    return sorted(reasons.items(), key=lambda item: (-item[1], item[0]))


def filter_choices(series: Mapping[int, Series], sums: Mapping[int, Sums]) -> dict[str, list[str]]:
    """Dimension -> the values that occur, those with the most requests first."""
    counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for number, each in sums.items():
        names = [*(name for name in series[number] if name not in BUILT_IN), "user", "model", "outcome", "reason"]
        for name in names:
            if value := series[number][name]:
                counts[name][value] += each.requests
    return {name: sorted(values, key=lambda value: (-values[value], value)) for name, values in counts.items()}


def times_by_bar(times: list[CallTimes], span: Span, starts: list[int]) -> tuple[list[Times], list[Times]]:
    """Durations and times to first token for each bar of a chart, whose starts are Unix seconds."""
    durations: list[list[float]] = [[] for _ in starts]
    first_tokens: list[list[float]] = [[] for _ in starts]
    for moment, duration, ttft in times:
        bar = (moment - starts[0]) // span.width
        if 0 <= bar < len(starts):
            durations[bar].append(duration)
            if ttft is not None:
                first_tokens[bar].append(ttft)
    return [quantiles(values) for values in durations], [quantiles(values) for values in first_tokens]


def quantiles(values: list[float]) -> Times:
    """Median and 95th percentile; sorts `values`."""
    if not values:
        return Times()
    values.sort()
    return Times(_quantile(values, 0.5), _quantile(values, 0.95))


def _quantile(ordered: list[float], share: float) -> float:
    """By linear interpolation, as numpy does by default."""
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
