"""The ledger on a real PostgreSQL server: what differs from SQLite."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from asgi_llmgate.usage.ledger import Ledger, drainer
from tests.helpers.postgresql import PostgreSQL
from tests.usage.ledger.records import Stored, record

pytestmark = pytest.mark.servers


async def until(holds) -> None:
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.01)


async def test_records_of_an_outage_reach_the_server_later(postgresql: PostgreSQL, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(drainer, "MAX_RETRY_DELAY", 0.1)
    ledger, stored = Ledger(postgresql.url, journal=tmp_path, linger=0.0), Stored(postgresql.url)
    ledger.emit(record("before"))
    await until(lambda: not list(tmp_path.glob("*.jsonl")))
    assert stored.ids() == ["before"]
    stored.database.close()
    await asyncio.to_thread(postgresql.stop)
    for number in range(20):
        ledger.emit(record(f"away-{number}"))
    await until(lambda: not ledger.state.database)
    assert ledger.state.journal
    await asyncio.to_thread(postgresql.start)
    await until(lambda: ledger.state.database)
    await ledger.aclose()
    assert (len(stored.ids()), stored.counted()) == (21, 21)
    stored.database.close()


async def test_two_workers_write_at_once(postgresql: PostgreSQL, tmp_path: Path) -> None:
    ledgers = [Ledger(postgresql.url, journal=tmp_path, linger=0.0) for _ in range(2)]
    for number in range(400):
        ledgers[number % 2].emit(record(f"r{number}", subject=f"user-{number % 9}"))
        await asyncio.sleep(0)
    await asyncio.gather(*(ledger.aclose(60) for ledger in ledgers))
    stored = Stored(postgresql.url)
    assert (len(stored.ids()), stored.counted()) == (400, 400)
    stored.database.close()


async def test_what_it_takes_for_no_text_is_made_to_fit(postgresql: PostgreSQL, tmp_path: Path) -> None:
    ledger, stored = Ledger(postgresql.url, journal=tmp_path), Stored(postgresql.url)
    ledger.emit(record("a", subject="nul \0, half \ud800", max_tokens=10**30, fields={"te\0am": "\0", "n": 10**30}))
    await ledger.aclose()
    assert stored("SELECT subject, max_tokens FROM usage_record") == [("nul \ufffd, half ?", 2**63 - 1)]
    assert not (tmp_path / "rejected.txt").exists()
    stored.database.close()
