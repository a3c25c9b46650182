"""Many rows at once: in pieces, with pauses in which the event loop goes on."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from asgi_llmgate import VerdictRecord
from asgi_llmgate.usage.ledger import Database, Ledger, many_rows, parse_url, rows
from asgi_llmgate.usage.ledger.schema import usage_record
from tests.usage.ledger.records import record

MAX_ROWS = 60
"""Rows that the ledger's thread makes or writes between two pauses: the end of one step and the begin of the next."""


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows between two pauses; the last entry is still being counted."""
    counted = [0]
    for name in ("decode", "record_row", "encode_values", "_counts"):
        inner = getattr(rows, name)

        def count(*arguments, inner=inner):
            counted[-1] += 1
            return inner(*arguments)

        monkeypatch.setattr(rows, name, count)
        for module in ("many_rows", "drainer"):
            monkeypatch.setattr(f"asgi_llmgate.usage.ledger.{module}.{name}", count, raising=False)
    monkeypatch.setattr(time, "sleep", lambda seconds: counted.append(0))
    return counted


async def test_the_thread_of_a_ledger_pauses_after_a_few_rows(tmp_path: Path, steps: list[int]) -> None:
    verdict = VerdictRecord(tool="Bash", tool_use_id="t", outcome="pass", decided_by="rule", duration_ms=1.0)
    ledger = Ledger(parse_url("sqlite:///ledger.db", tmp_path), journal=tmp_path / "journal", linger=3600)
    for number in range(150):
        ledger.emit(record(f"req_{number}", subject=f"u{number}", tools=("Read",), safeguards=(verdict,) * 30))
    await ledger.aclose()
    assert sum(steps) >= 150 * 2 + 150 * 31
    assert max(steps) <= MAX_ROWS
    with ledger.database.reading() as connection:
        count = "select (select count(*) from usage_record) + (select count(*) from usage_verdict)"
        assert connection.scalar(sa.text(count)) == 150 + 4500
    ledger.database.close()  # it was opened again to read


def test_a_database_alone_does_not_pause(tmp_path: Path, steps: list[int]) -> None:
    database = Database(parse_url("sqlite:///ledger.db", tmp_path))
    assert database.insert([record(f"req_{number}") for number in range(150)]) == 150
    database.close()
    assert len(steps) == 1


def test_what_is_in_the_database_is_found_among_many(tmp_path: Path) -> None:
    database = Database(parse_url("sqlite:///ledger.db", tmp_path))
    known = [f"req_{number}" for number in range(0, 700, 7)]
    database.insert([record(name) for name in known])
    asked = [f"req_{number}" for number in range(700)]
    with database.reading() as connection:
        found = many_rows.find_known(connection, usage_record.c.request_id, asked, 0.0)
    database.close()
    assert found == set(known)
