"""The verdicts on tool calls in a ledger, as a list: which were flagged, of whom, by which rule, when."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import sqlalchemy as sa

from asgi_llmgate.usage.ledger.report import format_time, safe_cell
from asgi_llmgate.usage.ledger.schema import usage_series, usage_verdict

COLUMNS = (
    "user", "tool", "outcome", "decided_by", "rule", "model", "explanation", "dry_run", "duration_ms", "request_id",
    "conversation_id", "tool_use_id", "input_hmac", "input",
)  # fmt: skip
"""What the list says of each verdict, after its `time`; the operator's fields follow."""

_CHUNK = 1000
"""Rows that are read, and written to a CSV file, at a time."""


def list_verdicts(
    connection: sa.Connection, *, since: float, until: float, flags_only: bool = True
) -> Iterator[dict[str, Any]]:
    """The verdicts from `since` until `until` (Unix seconds), the oldest first, each as `verdict` makes it."""
    table = usage_verdict.c
    query = select_verdicts(flags_only=flags_only).where(table.time_ms >= since * 1000, table.time_ms < until * 1000)
    rows = connection.execution_options(yield_per=_CHUNK).execute(query.order_by(table.time_ms, table.id))
    return map(verdict, rows)


def select_verdicts(*, flags_only: bool = True) -> sa.Select[Any]:
    """The rows of `usage_verdict` with who called."""
    series = usage_series.c
    # The series is gone only where a gateway of an older version, which does not know this table, has pruned.
    joined = usage_verdict.outerjoin(usage_series, series.id == usage_verdict.c.series_id)
    query = sa.select(usage_verdict, series.subject, series.fields).select_from(joined)
    return query.where(usage_verdict.c.outcome == "flag") if flags_only else query


def verdict(row: Any) -> dict[str, Any]:
    """`id`, `time_ms`, `time`, COLUMNS and `fields` of a row of `select_verdicts`."""
    values = row._asdict() | {"user": row.subject or "", "dry_run": ", ".join(row.dry_run or ())}
    return {
        "id": row.id,
        "time_ms": row.time_ms,
        "time": format_time(row.time_ms, "%Y-%m-%dT%H:%M:%SZ"),
        **{name: values[name] for name in COLUMNS},
        "fields": row.fields or {},
    }


def csv_parts(verdicts: Iterable[Mapping[str, Any]], fields: Collection[str]) -> Iterator[str]:
    """The list as a CSV file (RFC 4180), in parts; `fields` are the names of the operator's fields."""
    rest = iter(verdicts)
    yield _csv([["time", *COLUMNS, *fields]])
    while chunk := list(islice(rest, _CHUNK)):
        yield _csv(
            [each["time"], *(each[name] for name in COLUMNS), *(_as_text(each["fields"].get(name)) for name in fields)]
            for each in chunk
        )


def _csv(rows: Iterable[list[Any]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerows([safe_cell(cell) for cell in row] for row in rows)
    return out.getvalue()


def _as_text(value: Any) -> Any:
    return ", ".join(value) if isinstance(value, list) else value
