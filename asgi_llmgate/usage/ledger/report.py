"""Reports from a ledger: sums of records grouped by their values, and the latest records."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from asgi_llmgate.errors import SettingsError
from asgi_llmgate.type_words import did_you_mean
from asgi_llmgate.usage.ledger.schema import ATTRIBUTES, NANO, TEXTS, usage_record
from asgi_llmgate.usage.record import UsageRecord

GROUPS: Mapping[str, str] = {
    "user": "subject",
    "model": "request_model",
    "asked": "client_model",
    "provider": "provider",
    "backend": "backend",
    "outcome": "outcome",
    "reason": "reason",
    "rule": "policy_rule",
    "issuer": "issuer",
    "client": "user_agent",
}
"""Name of a group in a report -> column of `usage_record`."""

TOOL = "tool"
"""The group that needs a join, because a record has several tools."""

# Names that leave the process (gen_ai.request.model) -> column, for those who know records rather than reports.
_ENCODED = {each.name: each.encode_name for each in msgspec.structs.fields(UsageRecord)}
_RECORD_NAMES = {_ENCODED[ATTRIBUTES[column]]: column for column in TEXTS}
# Milliseconds of a span of time, and how its start is shown.
_SPANS = {"hour": (3600_000, "%Y-%m-%d %H:00"), "day": (86400_000, "%Y-%m-%d")}

MEASURES = ("requests", "failed", "input_tokens", "output_tokens", "cached_tokens", "cost_usd", "unpriced")


@dataclass(frozen=True, slots=True)
class ReportLine:
    """The sums of one group.  `failed` counts records with an outcome other than `ok`, so refusals too.  `cost_usd` is
    None if no cost is known.  `unpriced` counts calls that used tokens and have no cost."""

    group: tuple[str, ...]
    requests: int
    failed: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cost_usd: float | None
    unpriced: int

    def measures(self) -> tuple[Any, ...]:
        """The values of MEASURES."""
        return tuple(getattr(self, name) for name in MEASURES)


def summarise(
    connection: sa.Connection, by: Sequence[str], *, since: float, until: float, fields: Iterable[str]
) -> list[ReportLine]:
    """Sums of the records from `since` until `until` (Unix seconds), per combination of the groups in `by`.

    A group is a name in GROUPS, `tool`, `day`, `hour`, a record's own name such as `gen_ai.request.model`, or a name in
    the operator's `fields`.  A call of two tools counts for each tool; a call of none has the tool "".  Lines are
    sorted by time, then by cost and number of requests.

    Raises SettingsError for an unknown group.
    """
    tools = _tool_rows(connection)
    columns = [
        (tools.c.value if name == TOOL else _column(name, fields)).label(f"by_{index}") for index, name in enumerate(by)
    ]
    table = usage_record.c
    used = table.input_tokens.is_not(None)
    query = (
        sa.select(
            *columns,
            sa.func.count().label("requests"),
            _count_if(table.outcome != "ok").label("failed"),
            *(
                sa.func.coalesce(sa.func.sum(column), 0).label(name)
                for name, column in (
                    ("input_tokens", table.input_tokens),
                    ("output_tokens", table.output_tokens),
                    ("cached_tokens", table.cache_read_tokens),
                )
            ),
            sa.func.sum(table.cost_nano).label("cost"),
            _count_if(used & table.cost_nano.is_(None)).label("unpriced"),
        )
        .select_from(usage_record.outerjoin(tools, sa.true()) if TOOL in by else usage_record)
        .where(table.time_ms >= since * 1000, table.time_ms < until * 1000)
        # By name: PostgreSQL takes `fields ->> $1` in SELECT and `fields ->> $2` in GROUP BY for two different columns.
        .group_by(*(column.name for column in columns))
    )
    lines = [_make_line(by, row) for row in connection.execute(query) if row.requests]
    return sorted(lines, key=lambda line: _sort_key(by, line))


def latest(connection: sa.Connection, count: int, *, after: int = 0) -> list[dict[str, Any]]:
    """The last `count` rows of `usage_record` with an id greater than `after`, the oldest first."""
    query = sa.select(usage_record).where(usage_record.c.id > after).order_by(usage_record.c.id.desc()).limit(count)
    return [row._asdict() for row in connection.execute(query)][::-1]


def format_time(milliseconds: int, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    """Unix milliseconds as a text, in UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime(form)


_FORMULA = re.compile(
    r"((?:\A|[;\t\r\n])"  # other locales separate cells by a semicolon or a tab
    r"[\s\x00-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]*)"
    r"([=+\-@\u2212\ufe62\ufe63\ufe66\ufe6b\uff0b\uff0d\uff1d\uff20])"
)
"""A character that begins a formula (also in its full-width forms), after blanks and invisible characters."""


def safe_cell(value: Any) -> Any:
    """A value for a cell of a CSV file.  A text that a spreadsheet would run as a formula gets an apostrophe in front:

    https://owasp.org/www-community/attacks/CSV_Injection
    """
    if not isinstance(value, str):
        return value
    safe = _FORMULA.sub(r"\1'\2", value)
    return f"'{safe}" if safe.startswith(("\t", "\r", "\n")) else safe


def _tool_rows(connection: sa.Connection) -> sa.TableValuedAlias:
    """The list of a record's tools as a table."""
    unnest = sa.func.jsonb_array_elements_text if connection.dialect.name == "postgresql" else sa.func.json_each
    return unnest(usage_record.c.tools).table_valued("value")


def _column(name: str, fields: Iterable[str]) -> sa.ColumnElement[Any]:
    if name in _SPANS:
        return usage_record.c.time_ms - usage_record.c.time_ms % _SPANS[name][0]
    if column := GROUPS.get(name) or _RECORD_NAMES.get(name):
        return usage_record.c[column]
    known = list(fields)
    if name not in known:
        names = [*GROUPS, TOOL, *_SPANS, *known]
        hint = did_you_mean(name, names) or "one of " + ", ".join(names)
        raise SettingsError(f"cannot group by {name!r}", path="--by", hint=hint)
    text: sa.ColumnElement[Any] = usage_record.c.fields[name].as_string()
    return text


def _count_if(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    return sa.func.coalesce(sa.func.sum(sa.case((condition, 1), else_=0)), 0)


def _make_line(by: Sequence[str], row: Any) -> ReportLine:
    group = tuple(_format_group(name, value) for name, value in zip(by, row, strict=False))
    cost = None if row.cost is None else float(row.cost) / NANO
    return ReportLine(
        group,
        int(row.requests),
        int(row.failed),
        int(row.input_tokens),
        int(row.output_tokens),
        int(row.cached_tokens),
        cost,
        int(row.unpriced),
    )


def _format_group(name: str, value: Any) -> str:
    if name in _SPANS:
        return format_time(value, _SPANS[name][1])
    return "" if value is None else str(value)


def _sort_key(by: Sequence[str], line: ReportLine) -> tuple[Any, ...]:
    times = tuple(value for name, value in zip(by, line.group, strict=True) if name in _SPANS)
    return (*times, -(line.cost_usd or 0), -line.requests, line.group)
