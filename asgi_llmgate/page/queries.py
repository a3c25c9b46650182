"""The page's numbers, from the ledger: sums by the rollups, times from a sample of the calls, the latest calls.

Everything that a series says (who, which model, how it ended, the operator's fields) is in a few thousand rows of
`usage_series`, which never change and are kept here.  So a filter, and the rule that says who sees what, is a set of
series; the sums are one pass over the rollups of the range, and none of it grows with the number of calls.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from asgi_llmgate.page.filters import SPANS, Query, Span
from asgi_llmgate.usage.ledger import Database
from asgi_llmgate.usage.ledger.schema import NANO, usage_record, usage_rollup, usage_series, usage_tools

Series = Mapping[str, str]
"""A series as the page speaks of it: `user`, `model`, `outcome`, ... and the operator's fields, all texts."""

Visible = Callable[[Series], bool]

SAMPLE = 5000
"""Calls whose times are looked at; with more of them in the range it is every n-th."""

LATEST = 50
_CHUNK = 1000
_RARE = 20

_SUMS = (
    "requests", "priced", "unpriced", "calling", "input_tokens", "output_tokens", "cache_read_tokens", "cost_nano",
)  # fmt: skip
"""Sums of a rollup, in the order of `Sums.of`."""

_WORDS = {
    "subject": "user",
    "request_model": "model",
    "client_model": "asked",
    "provider": "provider",
    "backend": "backend",
    "outcome": "outcome",
    "reason": "reason",
    "policy_rule": "rule",
    "issuer": "issuer",
}
OWN = frozenset(_WORDS.values())


@dataclass(slots=True)
class Sums:
    """Of some calls.  `denied` are refusals, `failed` all others that did not end well; `cost` is None where no call
    has a known one, `unpriced` counts calls that used tokens and have none, `calling` those that called tools."""

    requests: int = 0
    denied: int = 0
    failed: int = 0
    calling: int = 0
    input: int = 0
    cached: int = 0
    output: int = 0
    cost: float | None = None
    unpriced: int = 0

    @classmethod
    def of(cls, outcome: str, row: Any) -> Sums:
        """A row of sums over calls that ended in one way."""
        requests, priced, unpriced, calling, tokens, written, cached, cost = map(int, row)
        return cls(
            requests=requests,
            denied=requests if outcome == "refused" else 0,
            failed=requests if outcome not in ("ok", "refused") else 0,
            calling=calling,
            input=tokens,
            cached=cached,
            output=written,
            cost=cost / NANO if priced else None,
            unpriced=unpriced,
        )

    def add(self, other: Sums) -> None:
        self.requests += other.requests
        self.denied += other.denied
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


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds that half of the calls, and 95 of 100, stayed under; None without calls."""

    half: float | None = None
    most: float | None = None


@dataclass(slots=True)
class Overview:
    """All that one view of the page shows.  `query` is what was asked, without what the ledger knows nothing of."""

    query: Query
    total: Sums
    bars: list[Sums]
    groups: dict[str, list[tuple[str, Sums]]]
    tools: list[tuple[str, Sums]]
    reasons: list[tuple[str, int]]
    choices: dict[str, list[str]]
    duration: Times
    first_token: Times
    durations: list[Times]
    first_tokens: list[Times]
    sampled: bool
    calls: list[Mapping[str, Any]]
    older: int
    starts: list[int]


class Numbers:
    """Reads a ledger; its methods block, and may be called by several threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._series: dict[str, Series] = {}

    def overview(self, query: Query, visible: Visible, now: float) -> Overview:
        """What a viewer sees for a query."""
        span = SPANS[query.span]
        start = span.start(now)
        self._database.migrate()
        with self._database.reading() as connection:
            everything = self._known(connection)
            query = query.about(_names(everything))
            seen = {number for number, series in everything.items() if visible(series)}
            found = self._by_series(connection, everything, span, start)
            choices = _choices(everything, {number: found[number] for number in found if number in seen})
            chosen = {number for number in seen if _fits(everything[number], query.filters)}
            total, groups, reasons = _grouped(everything, {n: found[n] for n in found if n in chosen})
            limit = None if len(chosen) == len(everything) else chosen
            starts = [start + index * span.width for index in range(span.count)]
            bars = self._bars(connection, span, starts, limit)
            tools = self._tools(connection, span, start, limit)
            every = -(-total.requests // SAMPLE) or 1
            times = self._times(connection, start, limit, every)
            calls = self._calls(connection, start, limit, query.before, LATEST + 1, self._is_rare(total, found))
        durations, first = _by_bar(times, span, starts)
        older = int(calls[LATEST - 1]["id"]) if len(calls) > LATEST else 0
        return Overview(
            query=query,
            total=total,
            bars=bars,
            groups=groups,
            tools=tools,
            reasons=reasons,
            choices=choices,
            duration=_quantiles([duration for _, duration, _ in times]),
            first_token=_quantiles([ttft for _, _, ttft in times if ttft is not None]),
            durations=durations,
            first_tokens=first,
            sampled=every > 1,
            calls=calls[:LATEST],
            older=older,
            starts=starts,
        )

    def calls(self, query: Query, visible: Visible, now: float) -> Iterator[list[Mapping[str, Any]]]:
        """All calls of a query, the newest first, some at a time."""
        start, before = SPANS[query.span].start(now), query.before
        self._database.migrate()
        while True:
            with self._database.reading() as connection:
                everything = self._known(connection)
                filters = query.about(_names(everything)).filters
                chosen = {n for n, series in everything.items() if visible(series) and _fits(series, filters)}
                limit = None if len(chosen) == len(everything) else chosen
                rows = self._calls(connection, start, limit, before, _CHUNK, len(chosen) * _RARE < len(everything))
            if rows:
                yield rows
            if len(rows) < _CHUNK:
                return
            before = int(rows[-1]["id"])

    def _known(self, connection: sa.Connection) -> Mapping[int, Series]:
        """Every series that there is, by its number in this database.

        What is kept is kept under `key`, which is made of the series itself: a number may mean another series after the
        database was replaced, and what a viewer may see hangs on it.
        """
        keys = {row.id: row.key for row in connection.execute(sa.select(usage_series.c.id, usage_series.c.key))}
        known = self._series
        if new := [number for number, key in keys.items() if key not in known]:
            wanted = new if len(new) < len(keys) else None
            added = connection.execute(sa.select(usage_series).where(*_one_of(usage_series.c.id, wanted)))
            known = known | {row.key: _spoken(row) for row in added}
        self._series = {key: known[key] for key in keys.values()}
        return {number: known[key] for number, key in keys.items()}

    def _by_series(
        self, connection: sa.Connection, everything: Mapping[int, Series], span: Span, start: int
    ) -> dict[int, Sums]:
        series = usage_rollup.c.series_id
        query = sa.select(series, *_sums(usage_rollup)).where(*_within(usage_rollup, span, start)).group_by(series)
        rows = connection.execute(query)
        return {number: Sums.of(everything[number]["outcome"], sums) for number, *sums in rows if number in everything}

    def _bars(
        self, connection: sa.Connection, span: Span, starts: list[int], chosen: Collection[int] | None
    ) -> list[Sums]:
        bar = (usage_rollup.c.start - starts[0]) // span.width
        joined = usage_rollup.join(usage_series, usage_series.c.id == usage_rollup.c.series_id)
        query = (
            sa.select(bar.label("bar"), usage_series.c.outcome, *_sums(usage_rollup))
            .select_from(joined)
            .where(*_within(usage_rollup, span, starts[0]), *_one_of(usage_rollup.c.series_id, chosen))
            .group_by("bar", usage_series.c.outcome)
        )
        bars = [Sums() for _ in starts]
        for row in connection.execute(query):
            if 0 <= row.bar < len(bars):
                bars[row.bar].add(Sums.of(row.outcome, row[2:]))
        return bars

    def _tools(
        self, connection: sa.Connection, span: Span, start: int, chosen: Collection[int] | None
    ) -> list[tuple[str, Sums]]:
        """The sums of the calls of each tool, the most used first and however they ended; a call of two tools counts
        for each.  Added up by start first, which is the order of the rows: nothing has to be sorted but a few sums."""
        by_start = (
            sa.select(usage_tools.c.tool, *_sums(usage_tools))
            .where(*_within(usage_tools, span, start), *_one_of(usage_tools.c.series_id, chosen))
            .group_by(usage_tools.c.start, usage_tools.c.tool)
            .subquery()
        )
        query = sa.select(by_start.c.tool, *_sums(by_start)).group_by(by_start.c.tool)
        return _ranked({tool: Sums.of("ok", sums) for tool, *sums in connection.execute(query)})

    def _times(
        self, connection: sa.Connection, start: int, chosen: Collection[int] | None, every: int
    ) -> list[tuple[int, float, float | None]]:
        """(Unix seconds, duration, time to first token) of every n-th answered call."""
        table = usage_record.c
        query = sa.select(table.time_ms, table.duration_ms, table.ttft_ms).where(
            table.time_ms >= start * 1000,
            *([table.id % every == 0] if every > 1 else []),
            table.outcome == "ok",
            table.request_model != "",
            *_one_of(table.series_id, chosen),
        )
        return [(row[0] // 1000, row[1], row[2]) for row in connection.execute(query)]

    def _calls(
        self,
        connection: sa.Connection,
        start: int,
        chosen: Collection[int] | None,
        before: int,
        count: int,
        rare: bool,
    ) -> list[Mapping[str, Any]]:
        table = usage_record.c
        # Walking back from the newest finds common calls soon; for rare ones `+ 0` makes the index of series be used.
        order = (table.id + 0) if rare else table.id
        query = (
            sa.select(usage_record)
            .where(table.time_ms >= start * 1000, *_one_of(table.series_id, chosen))
            .where(*([table.id < before] if before else []))
            .order_by(order.desc())
            .limit(count)
        )
        return [row._asdict() for row in connection.execute(query)]

    def _is_rare(self, total: Sums, found: Mapping[int, Sums]) -> bool:
        return total.requests * _RARE < sum(sums.requests for sums in found.values())


def _sums(rollup: sa.FromClause) -> list[sa.ColumnElement[Any]]:
    return [sa.func.sum(rollup.c[name]).label(name) for name in _SUMS]


def _within(rollup: sa.Table, span: Span, start: int) -> tuple[sa.ColumnElement[bool], ...]:
    return (rollup.c.grain == span.grain, rollup.c.start >= start)


def _ranked(sums: Mapping[str, Sums]) -> list[tuple[str, Sums]]:
    return sorted(sums.items(), key=lambda item: (-item[1].requests, item[0]))


def _one_of(column: sa.ColumnElement[Any], numbers: Collection[int] | None) -> list[sa.ColumnElement[bool]]:
    """The numbers are written into the statement: there may be more than a database takes parameters."""
    if numbers is None:
        return []
    return [column.in_([sa.literal_column(str(int(number)), sa.BigInteger) for number in sorted(numbers)])]


def _spoken(row: Any) -> Series:
    own = {word: getattr(row, name) for name, word in _WORDS.items()}
    fields = {name: _text(value) for name, value in row.fields.items() if name not in own}
    return own | fields


def _text(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)


def _names(everything: Mapping[int, Series]) -> set[str]:
    return {name for series in everything.values() for name in series}


def _fits(series: Series, filters: Mapping[str, str]) -> bool:
    return all(series.get(name, "") == value for name, value in filters.items())


def _grouped(
    everything: Mapping[int, Series], found: Mapping[int, Sums]
) -> tuple[Sums, dict[str, list[tuple[str, Sums]]], list[tuple[str, int]]]:
    """The sums of all, by each field and by user and model, and the denials by reason; the largest first."""
    total = Sums()
    groups: dict[str, dict[str, Sums]] = defaultdict(lambda: defaultdict(Sums))
    reasons: dict[str, int] = defaultdict(int)
    for number, sums in found.items():
        series = everything[number]
        total.add(sums)
        for name in [*(name for name in series if name not in OWN), "user", "model"]:
            groups[name][series[name]].add(sums)
        if sums.denied:
            reasons[series["reason"]] += sums.denied
    ranked = {
        name: _ranked(groups[name])
        for name in [*sorted(groups.keys() - OWN), *(name for name in ("user", "model") if name in groups)]
    }
    return total, ranked, sorted(reasons.items(), key=lambda item: (-item[1], item[0]))


def _choices(everything: Mapping[int, Series], found: Mapping[int, Sums]) -> dict[str, list[str]]:
    """What each filter can be set to: the values in this range, those with most requests first."""
    counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for number, sums in found.items():
        series = everything[number]
        for name in [*(name for name in series if name not in OWN), "user", "model", "outcome", "reason"]:
            if value := series[name]:
                counts[name][value] += sums.requests
    return {name: sorted(values, key=lambda value: (-values[value], value)) for name, values in counts.items()}


def _by_bar(
    times: list[tuple[int, float, float | None]], span: Span, starts: list[int]
) -> tuple[list[Times], list[Times]]:
    durations: list[list[float]] = [[] for _ in starts]
    first: list[list[float]] = [[] for _ in starts]
    for moment, duration, ttft in times:
        bar = (moment - starts[0]) // span.width
        if 0 <= bar < len(starts):
            durations[bar].append(duration)
            if ttft is not None:
                first[bar].append(ttft)
    return [_quantiles(values) for values in durations], [_quantiles(values) for values in first]


def _quantiles(values: list[float]) -> Times:
    if not values:
        return Times()
    values.sort()
    return Times(_quantile(values, 0.5), _quantile(values, 0.95))


def _quantile(ordered: list[float], share: float) -> float:
    """By linear interpolation, as numpy's default."""
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
