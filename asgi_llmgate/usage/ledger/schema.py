"""The ledger's tables.  migrations.py brings a database here.

    usage_record     one row per usage record, never changed; `request_id` is unique
    usage_series     each combination of subject, model, outcome, ... that has occurred, once
    usage_rollup     counts and sums per series and minute, hour and day, for reports over millions of records
    usage_tools      the same per tool, of records whose response calls it; a record with two tools counts for both
    usage_schema     the version of these tables

A new column of a table that exists is nullable or has a `server_default`, and is no part of a key: then the gateways of
the version before go on writing (COMPATIBILITY.md).  It is added to older databases without a migration.

Rollups are written in the transaction that inserts their records, so that each record is counted once.

An `id` belongs to one row for ever, even after the row was deleted: by sequences in PostgreSQL, by AUTOINCREMENT in
SQLite (https://www.sqlite.org/autoinc.html).

Times are Unix milliseconds and money is billionths of a US dollar.  Both are integers, whose sums are exact in every
database.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

GRAINS = (60, 3600, 86400)
"""Seconds of a rollup's row: minute, hour, day (UTC)."""

NANO = 10**9
"""Units of a `cost_nano` column in one US dollar."""

JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # only INTEGER PRIMARY KEY counts by itself there

metadata = sa.MetaData()

DIMENSIONS = (
    "subject", "issuer", "provider", "backend", "request_model", "client_model", "outcome", "reason", "policy_rule",
)  # fmt: skip
"""Columns of a record that identify its series, together with the operator's `fields`.  `subject` is the caller as
reports name it: the token's subject, or what `usage.user` says."""

_TEXTS = (
    "method", "path", "error", "error_type", "detail", "client_ip", "user_agent", "operation",
    "response_model", "response_id", "conversation_id", "agent_id", "trace_id", "span_id", "parent_request_id",
)  # fmt: skip
LISTS = ("finish_reasons", "tools", "dropped", "policy_dry_run")
INTEGERS = (
    "status", "max_tokens", "input_tokens", "output_tokens", "cache_read_tokens", "cache_creation_tokens",
    "reasoning_tokens", "attempts",
)  # fmt: skip
_NUMBERS = ("duration_ms", "ttft_ms", "upstream_ms", "temperature")
_FLAGS = ("stream", "estimated")

TEXTS = (*DIMENSIONS, *_TEXTS)
ATTRIBUTES = {name: name for name in (*TEXTS, *LISTS, *INTEGERS, *_NUMBERS, *_FLAGS)} | {"provider": "vendor"}
"""Column -> attribute of a record whose value it holds. The other columns need a conversion."""

usage_record = sa.Table(
    "usage_record",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("request_id", sa.Text, nullable=False, unique=True),
    sa.Column("time_ms", sa.BigInteger, nullable=False),
    sa.Column("series_id", sa.BigInteger, nullable=False),
    *(sa.Column(name, sa.Text, nullable=False, server_default="") for name in TEXTS),
    *(sa.Column(name, JSON) for name in (*LISTS, "fields")),
    *(sa.Column(name, sa.BigInteger) for name in (*INTEGERS, "cost_nano")),
    *(sa.Column(name, sa.Double) for name in _NUMBERS),
    *(sa.Column(name, sa.Boolean, nullable=False, server_default=sa.false()) for name in _FLAGS),
    sa.Index("usage_record_time", "time_ms", "id"),
    sa.Index("usage_record_series", "series_id", "time_ms"),
    sqlite_autoincrement=True,
)

usage_series = sa.Table(
    "usage_series",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("key", sa.Text, nullable=False, unique=True),
    *(sa.Column(name, sa.Text, nullable=False) for name in DIMENSIONS),
    sa.Column("fields", JSON, nullable=False),
    sqlite_autoincrement=True,
)

SUMS = (
    "requests", "priced", "unpriced", "estimated", "calling", "input_tokens", "output_tokens", "cache_read_tokens",
    "cache_creation_tokens", "reasoning_tokens", "cost_nano",
)  # fmt: skip
"""Columns of a rollup.  `priced` counts records with a known cost, `unpriced` records with tokens and no cost,
`estimated` records with estimated tokens, `calling` records whose response calls a tool."""


def _rollup(table: str, *further: sa.Column[str]) -> sa.Table:
    return sa.Table(
        table,
        metadata,
        sa.Column("grain", sa.Integer, primary_key=True),
        sa.Column("start", sa.BigInteger, primary_key=True),
        *further,
        sa.Column("series_id", sa.BigInteger, primary_key=True),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in SUMS),
        sqlite_with_rowid=False,
    )


usage_rollup = _rollup("usage_rollup")
usage_tools = _rollup("usage_tools", sa.Column("tool", sa.Text, primary_key=True))
ROLLUPS = (usage_rollup, usage_tools)

VERDICT_TEXTS = (
    "tool", "tool_use_id", "outcome", "decided_by", "rule", "model", "explanation", "input_hmac", "input",
)  # fmt: skip

usage_verdict = sa.Table(
    "usage_verdict",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("request_id", sa.Text, nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("time_ms", sa.BigInteger, nullable=False),
    sa.Column("series_id", sa.BigInteger, nullable=False),
    sa.Column("conversation_id", sa.Text, nullable=False),
    *(sa.Column(name, sa.Text, nullable=False) for name in VERDICT_TEXTS),
    sa.Column("duration_ms", sa.Double, nullable=False),
    sa.Column("dry_run", JSON),
    sa.Column("notify_at_ms", sa.BigInteger),
    sa.Column("notify_attempts", sa.Integer, nullable=False, server_default="0"),
    sa.UniqueConstraint("request_id", "position"),
    sa.Index("usage_verdict_time", "time_ms"),
    sa.Index("usage_verdict_outcome", "outcome", "id"),
    sqlite_autoincrement=True,
)
"""The verdicts on tool calls.  They are kept for a time of their own, so they may outlive the record of their request;
who called is in the series.  `notify_at_ms` is when the webhook is sent next (Unix milliseconds): NULL where nothing is
to be sent, or all has been."""

sa.Index(
    "usage_verdict_notify",
    usage_verdict.c.notify_at_ms,
    sqlite_where=usage_verdict.c.notify_at_ms.is_not(None),
    postgresql_where=usage_verdict.c.notify_at_ms.is_not(None),
)

usage_schema = sa.Table("usage_schema", metadata, sa.Column("version", sa.Integer, primary_key=True))
