"""The panel "Flagged actions": the tool calls of responses that safeguards flagged."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from asgi_llmgate.page.series import is_one_of
from asgi_llmgate.usage.ledger.schema import usage_series, usage_verdict
from asgi_llmgate.usage.ledger.verdict_report import select_verdicts, verdict

SHOWN = 20
"""Flagged calls in the panel; the CSV file has all of them."""


@dataclass(slots=True)
class Flagged:
    """`calls` are the newest ones, as `verdict_report.verdict` makes them, of `total`.  `is_used`: whether the ledger
    has verdicts at all, of any time and anybody."""

    calls: list[Mapping[str, Any]]
    total: int
    is_used: bool

    @property
    def has_inputs(self) -> bool:
        """Whether one of the calls was kept with its input."""
        return any(call["input"] for call in self.calls)


def read_flagged(connection: sa.Connection, start: int, chosen: Collection[int] | None) -> Flagged:
    """The flagged calls since `start` (Unix seconds) of these series; of all where `chosen` is None."""
    if connection.scalar(sa.select(usage_verdict.c.id).limit(1)) is None:
        return Flagged([], 0, is_used=False)
    rows = flagged_rows(connection, start, chosen, count=SHOWN)
    total = len(rows)
    if total == SHOWN:
        counted = _flagged(start, chosen).with_only_columns(sa.func.count(), maintain_column_froms=True)
        total = connection.scalar(counted) or 0
    return Flagged(rows, total, is_used=True)


def flagged_rows(
    connection: sa.Connection, start: int, chosen: Collection[int] | None, *, before: int = 0, count: int
) -> list[Mapping[str, Any]]:
    """The newest `count` of them, with an id below `before` if that is not 0."""
    query = _flagged(start, chosen).where(*([usage_verdict.c.id < before] if before else []))
    return [verdict(row) for row in connection.execute(query.order_by(usage_verdict.c.id.desc()).limit(count))]


def _flagged(start: int, chosen: Collection[int] | None) -> sa.Select[Any]:
    return select_verdicts().where(
        usage_verdict.c.time_ms >= start * 1000,
        # Who may see a call is decided by its series: a call without one is nobody's to see.
        usage_series.c.id.is_not(None),
        *is_one_of(usage_verdict.c.series_id, chosen),
    )
