"""A record, and a look into a ledger's database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from asgi_llmgate.usage import UsageRecord
from asgi_llmgate.usage.ledger import Database

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC).timestamp()
"""The time of a `record`."""


def record(request_id: str = "req_1", **changes: Any) -> UsageRecord:
    """An answered call of alice, at `NOON`."""
    facts: dict[str, Any] = {
        "time": "2026-11-26T12:00:00.000Z",
        "request_id": request_id,
        "method": "POST",
        "path": "/v1/messages",
        "status": 200,
        "outcome": "ok",
        "duration_ms": 1200.0,
        "ttft_ms": 400.0,
        "subject": "alice",
        "fields": {"team": "data-platform"},
        "vendor": "openai",
        "request_model": "gpt-4o-mini",
        "input_tokens": 100,
        "output_tokens": 20,
        "cost_usd": 0.000_027,
    }
    return UsageRecord(**(facts | changes))


class Stored:
    """What is in a ledger's database."""

    def __init__(self, url: sa.URL) -> None:
        self.database = Database(url)

    def ids(self) -> list[str]:
        return [row[0] for row in self("SELECT request_id FROM usage_record ORDER BY id")]

    def counted(self) -> int:
        """The records that the daily rollups have counted."""
        return int(self("SELECT coalesce(sum(requests), 0) FROM usage_rollup WHERE grain = 86400")[0][0])

    def tools(self) -> dict[str, int]:
        """The records that the daily rollups have counted for each tool."""
        return dict(self("SELECT tool, sum(requests) FROM usage_tools WHERE grain = 86400 GROUP BY tool"))

    def __call__(self, query: str) -> list[Any]:
        with self.database.reading() as connection:
            return list(connection.execute(sa.text(query)))
