"""The flags that a webhook is to be sent for, as the ledger keeps them: the outbox of all processes at one database.

A row is claimed before it is sent: it is due again only after a lease, so that no other process sends it meanwhile, and
another one does if this process is killed.  Each flag is therefore sent at least once, and rarely twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from asgi_llmgate.usage.ledger.database import Database
from asgi_llmgate.usage.ledger.schema import usage_series, usage_verdict
from asgi_llmgate.usage.ledger.verdict_report import select_verdicts


@dataclass(frozen=True, slots=True, repr=False)
class FlaggedCall:
    """A flag, and who made the call.  `id` is that of the row, `attempts` counts this one too."""

    id: int
    attempts: int
    verdict: dict[str, Any]
    subject: str
    issuer: str
    fields: dict[str, Any]


class Outbox:
    """The flags in `database` that are still to be sent.  The methods block; times are Unix milliseconds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, now: int, lease: int, count: int) -> list[FlaggedCall]:
        """Up to `count` flags that are due, those that have waited longest first.  They are due again after `lease`."""
        self._database.migrate()
        due = usage_verdict.c.notify_at_ms <= now
        with self._database.reading() as connection:  # most times there are none, and then no writer waits
            if connection.scalar(sa.select(usage_verdict.c.id).where(due).limit(1)) is None:
                return []
        with self._database.writing() as connection:
            oldest = select_verdicts().where(due).order_by(usage_verdict.c.notify_at_ms, usage_verdict.c.id)
            query = oldest.add_columns(usage_series.c.issuer).limit(count)
            rows = [row._asdict() for row in connection.execute(query)]
            for row in rows:
                self._set(connection, row["id"], now + lease, notify_attempts=row["notify_attempts"] + 1)
        return [_flagged(row) for row in rows]

    def delivered(self, ids: Iterable[int]) -> None:
        """These need not be sent again."""
        with self._database.writing() as connection:
            for number in ids:
                self._set(connection, number, None)

    def postpone(self, number: int, until: int) -> None:
        """This one is due again at `until`."""
        with self._database.writing() as connection:
            self._set(connection, number, until)

    def _set(self, connection: sa.Connection, number: int, at: int | None, **values: int) -> None:
        update = usage_verdict.update().where(usage_verdict.c.id == number)
        connection.execute(update.values(notify_at_ms=at, **values))


def _flagged(row: dict[str, Any]) -> FlaggedCall:
    subject, issuer, fields = (row.pop(name) for name in ("subject", "issuer", "fields"))
    number, attempts = row.pop("id"), row.pop("notify_attempts") + 1
    return FlaggedCall(number, attempts, row, subject or "", issuer or "", fields or {})
