"""Verdicts in the ledger: written with their record, once, and kept for a time of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from asgi_llmgate.usage.ledger import Database
from asgi_llmgate.usage.verdicts import VerdictRecord
from tests.helpers.postgresql import postgresql_server
from tests.usage.ledger.records import NOON, record

FLAG = VerdictRecord(
    tool="Bash",
    tool_use_id="toolu_1",
    outcome="flag",
    decided_by="rule",
    rule="no-prod",
    duration_ms=0.3,
    dry_run=("platform",),
    input_hmac="ab12",
    explanation="production is changed\0 by the pipeline",
    input="{}",
)
PASS = VerdictRecord(tool="Read", tool_use_id="toolu_2", outcome="pass", decided_by="undecided", duration_ms=0.0)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.servers)])
def database(request: pytest.FixtureRequest, url: sa.URL) -> Iterator[Database]:
    if request.param == "sqlite":
        database = Database(url)
        yield database
        database.close()
        return
    with postgresql_server() as server:
        database = Database(server.url)
        yield database
        database.close()


def read(database: Database, query: str) -> list[dict[str, object]]:
    with database.reading() as connection:
        return [dict(row._mapping) for row in connection.execute(sa.text(query))]


def test_verdicts_are_written_with_their_record_and_once(database: Database) -> None:
    judged = record("1", safeguards=(FLAG, PASS), conversation_id="session")
    assert database.insert([record("0"), judged], notify=True) == 2
    assert database.insert([judged, record("2", safeguards=(PASS,))], notify=True) == 1
    found = read(database, "SELECT * FROM usage_verdict ORDER BY id")
    assert [(row["request_id"], row["position"], row["tool"]) for row in found] == [
        ("1", 0, "Bash"),
        ("1", 1, "Read"),
        ("2", 0, "Read"),
    ]
    first = found[0]
    assert first["explanation"] == "production is changed\ufffd by the pipeline"
    assert (first["rule"], first["input_hmac"], first["conversation_id"]) == ("no-prod", "ab12", "session")
    assert first["time_ms"] == NOON * 1000
    # Only flags are notified about.
    assert [row["notify_at_ms"] for row in found] == [NOON * 1000, None, None]
    (series,) = read(database, "SELECT subject FROM usage_series")
    assert series["subject"] == "alice"


def test_without_a_webhook_nothing_waits_for_it(database: Database) -> None:
    database.insert([record("1", safeguards=(FLAG,))])
    assert [row["notify_at_ms"] for row in read(database, "SELECT * FROM usage_verdict")] == [None]


def test_verdicts_and_records_are_kept_for_a_time_of_their_own(database: Database) -> None:
    old, new = record("1", safeguards=(FLAG,)), record("2", time="2026-11-27T12:00:00.000Z", safeguards=(PASS,))
    database.insert([old, new])
    assert database.prune(int(NOON + 3 * 86400)) == 2
    # Who called is still known.
    joined = "SELECT s.subject FROM usage_verdict v JOIN usage_series s ON s.id = v.series_id"
    assert [row["subject"] for row in read(database, joined)] == ["alice", "alice"]
    assert database.prune_verdicts(int(NOON + 1)) == 1
    assert [row["request_id"] for row in read(database, "SELECT request_id FROM usage_verdict")] == ["2"]
    assert database.prune_verdicts(int(NOON + 3 * 86400)) == 1
    database.prune(int(NOON + 3 * 86400))
    assert read(database, "SELECT * FROM usage_series") == []


def test_batches_of_any_length_are_a_few_different_statements(url: sa.URL) -> None:
    database, seen = Database(url), set()
    database.migrate()
    number = 0
    for length in range(1, 65):
        batch = [record(str(number := number + 1), safeguards=(FLAG,) * (length % 5)) for _ in range(length)]
        engine = database._connected()
        sa.event.listen(engine, "before_cursor_execute", lambda *call: seen.add(call[2]), once=False)
        assert database.insert(batch) == length
        assert database.insert(batch) == 0
    database.close()
    # Lists of ids and of keys: 1, 2, 4 ... 64; then a handful of others.
    assert len(seen) <= 2 * 7 + 8
