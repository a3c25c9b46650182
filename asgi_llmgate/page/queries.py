"""What the usage page reads from a ledger.

Sums come from the rollups, times from a sample of the calls, and the latest calls from the records.  The cost of a view
does not grow with the number of calls: the sums are one pass over the rollups of the range.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from asgi_llmgate.page.filters import SPANS, Query, Span
from asgi_llmgate.page.flagged import Flagged, flagged_rows, read_flagged
from asgi_llmgate.page.series import Series, SeriesCache, Visible, dimension_names, is_one_of, matches
from asgi_llmgate.page.sums import (
    COLUMNS,
    CallTimes,
    Ranked,
    Sums,
    Times,
    filter_choices,
    group,
    quantiles,
    rank,
    refusal_reasons,
    times_by_bar,
)
from asgi_llmgate.usage.ledger import Database
from asgi_llmgate.usage.ledger.schema import usage_record, usage_rollup, usage_series, usage_tools

SAMPLE = 5000
"""Calls whose times are read.  If the range has more of them, every n-th is read."""

LATEST = 50
"""Calls in the table of the page."""

_CHUNK = 1000
"""Calls that are read at a time for the CSV file."""

_RARE = 20
"""Calls are rare if they are less than one in this number."""

Read = Callable[[sa.Connection, Collection[int] | None, int], list[Mapping[str, Any]]]
"""Reads the newest rows of these series (None: of all) with an id below the last argument, if that is not 0."""


@dataclass(slots=True)
class Overview:
    """Everything that one view of the page shows.

    `query` has only filters that the ledger knows.  `groups` are the breakdowns, `choices` the values of each filter.
    `bars`, `durations`, `first_tokens` and `starts` (Unix seconds) have one item per bar of a chart.  `older` is the id
    that the next page of calls begins below, 0 if there is none.
    """

    query: Query
    total: Sums
    bars: list[Sums]
    groups: dict[str, Ranked]
    tools: Ranked
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
    flagged: Flagged


class LedgerQueries:
    """Reads a ledger for the page.  The methods block, and may be called from several threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._series = SeriesCache()

    def overview(self, query: Query, visible: Visible, now: float) -> Overview:
        """What a viewer sees for a query at `now` (Unix seconds)."""
        span = SPANS[query.span]
        start = span.start(now)
        self._database.migrate()
        with self._database.reading() as connection:
            all_series = self._series.read(connection)
            query = query.about(dimension_names(all_series))
            sums = self._sums_by_series(connection, all_series, span, start)
            # What may be seen is decided before anything is counted: hidden calls appear in no sum and no choice.
            seen = {number for number, series in all_series.items() if visible(series)}
            choices = filter_choices(all_series, {number: each for number, each in sums.items() if number in seen})
            chosen = {number for number in seen if matches(all_series[number], query.filters)}
            chosen_sums = {number: each for number, each in sums.items() if number in chosen}
            total, groups = group(all_series, chosen_sums)
            # Without a condition on series the database need not look at them.
            limit = None if len(chosen) == len(all_series) else chosen
            starts = [start + index * span.width for index in range(span.count)]
            bars = self._bars(connection, span, starts, limit)
            tools = self._tools(connection, span, start, limit)
            every = -(-total.requests // SAMPLE) or 1  # rounded up
            times = self._times(connection, start, limit, every)
            rare = total.requests * _RARE < sum(each.requests for each in sums.values())
            # One more than shown, to know whether there are older ones.
            calls = self._calls(connection, start, limit, query.before, LATEST + 1, rare)
            flagged = read_flagged(connection, start, limit)
        durations, first_tokens = times_by_bar(times, span, starts)
        return Overview(
            query=query,
            total=total,
            bars=bars,
            groups=groups,
            tools=tools,
            reasons=refusal_reasons(all_series, chosen_sums),
            choices=choices,
            duration=quantiles([duration for _, duration, _ in times]),
            first_token=quantiles([ttft for _, _, ttft in times if ttft is not None]),
            durations=durations,
            first_tokens=first_tokens,
            sampled=every > 1,
            calls=calls[:LATEST],
            older=int(calls[LATEST - 1]["id"]) if len(calls) > LATEST else 0,
            starts=starts,
            flagged=flagged,
        )

    def calls(self, query: Query, visible: Visible, now: float) -> Iterator[list[Mapping[str, Any]]]:
        """All calls of a query, the newest first, in lists of up to _CHUNK."""
        start = SPANS[query.span].start(now)

        def read(connection: sa.Connection, limit: Collection[int] | None, before: int) -> list[Mapping[str, Any]]:
            rare = limit is not None and len(limit) * _RARE < self._series.count
            return self._calls(connection, start, limit, before, _CHUNK, rare)

        return self._chunks(query, visible, read, query.before)

    def flagged(self, query: Query, visible: Visible, now: float) -> Iterator[list[Mapping[str, Any]]]:
        """All flagged calls of a query, the newest first, in lists of up to _CHUNK."""
        start = SPANS[query.span].start(now)

        def read(connection: sa.Connection, limit: Collection[int] | None, before: int) -> list[Mapping[str, Any]]:
            return flagged_rows(connection, start, limit, before=before, count=_CHUNK)

        return self._chunks(query, visible, read, 0)

    def _chunks(self, query: Query, visible: Visible, read: Read, before: int) -> Iterator[list[Mapping[str, Any]]]:
        self._database.migrate()
        while True:
            # A transaction per chunk: a slow download must not hold one open.
            with self._database.reading() as connection:
                all_series = self._series.read(connection)
                filters = query.about(dimension_names(all_series)).filters
                chosen = {n for n, series in all_series.items() if visible(series) and matches(series, filters)}
                limit = None if len(chosen) == len(all_series) else chosen
                rows = read(connection, limit, before)
            if rows:
                yield rows
            if len(rows) < _CHUNK:
                return
            before = int(rows[-1]["id"])

    def _sums_by_series(
        self, connection: sa.Connection, all_series: Mapping[int, Series], span: Span, start: int
    ) -> dict[int, Sums]:
        series = usage_rollup.c.series_id
        query = sa.select(series, *_sum_columns(usage_rollup)).where(*_in_range(usage_rollup, span, start))
        rows = connection.execute(query.group_by(series))
        return {number: Sums.of(all_series[number]["outcome"], sums) for number, *sums in rows if number in all_series}

    def _bars(
        self, connection: sa.Connection, span: Span, starts: list[int], chosen: Collection[int] | None
    ) -> list[Sums]:
        bar = (usage_rollup.c.start - starts[0]) // span.width
        joined = usage_rollup.join(usage_series, usage_series.c.id == usage_rollup.c.series_id)
        query = (
            sa.select(bar.label("bar"), usage_series.c.outcome, *_sum_columns(usage_rollup))
            .select_from(joined)
            .where(*_in_range(usage_rollup, span, starts[0]), *is_one_of(usage_rollup.c.series_id, chosen))
            .group_by("bar", usage_series.c.outcome)
        )
        bars = [Sums() for _ in starts]
        for row in connection.execute(query):
            if 0 <= row.bar < len(bars):  # a process whose clock is fast writes calls of the future
                bars[row.bar].add(Sums.of(row.outcome, row[2:]))
        return bars

    def _tools(self, connection: sa.Connection, span: Span, start: int, chosen: Collection[int] | None) -> Ranked:
        """The sums by tool, whatever the outcome.  A call of two tools counts for each of them."""
        # Grouped by start first, which is the order of the rows on disk: only a few sums have to be sorted.
        by_start = (
            sa.select(usage_tools.c.tool, *_sum_columns(usage_tools))
            .where(*_in_range(usage_tools, span, start), *is_one_of(usage_tools.c.series_id, chosen))
            .group_by(usage_tools.c.start, usage_tools.c.tool)
            .subquery()
        )
        query = sa.select(by_start.c.tool, *_sum_columns(by_start)).group_by(by_start.c.tool)
        return rank({tool: Sums.of("ok", sums) for tool, *sums in connection.execute(query)})

    def _times(
        self, connection: sa.Connection, start: int, chosen: Collection[int] | None, every: int
    ) -> list[CallTimes]:
        """The times of every n-th call with the outcome `ok`."""
        table = usage_record.c
        query = sa.select(table.time_ms, table.duration_ms, table.ttft_ms).where(
            table.time_ms >= start * 1000,
            *([table.id % every == 0] if every > 1 else []),
            table.outcome == "ok",
            table.request_model != "",
            *is_one_of(table.series_id, chosen),
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
        # Going back from the newest record soon finds enough frequent calls.  For rare ones `+ 0` keeps the database
        # from doing so: it uses the index of series instead.
        order = (table.id + 0) if rare else table.id
        query = (
            sa.select(usage_record)
            .where(table.time_ms >= start * 1000, *is_one_of(table.series_id, chosen))
            .where(*([table.id < before] if before else []))
            .order_by(order.desc())
            .limit(count)
        )
        return [row._asdict() for row in connection.execute(query)]


def _sum_columns(rollup: sa.FromClause) -> list[sa.ColumnElement[Any]]:
    return [sa.func.sum(rollup.c[name]).label(name) for name in COLUMNS]


def _in_range(rollup: sa.Table, span: Span, start: int) -> tuple[sa.ColumnElement[bool], ...]:
    return (rollup.c.grain == span.grain, rollup.c.start >= start)
