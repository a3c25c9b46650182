"""The ledger as a sink: what becomes of records when something is away, full, forked or damaged."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa

from asgi_llmgate.usage import UsageRecord
from asgi_llmgate.usage.ledger import Ledger, drainer, sink
from asgi_llmgate.usage.ledger.journal import Journal
from asgi_llmgate.usage.ledger.migrations import VERSION
from asgi_llmgate.usage.ledger.rows import encode
from asgi_llmgate.usage.ledger.schema import ATTRIBUTES, usage_record
from tests.usage.ledger.records import NOON, Stored, record

MINUTE, HOUR, DAY = 60, 3600, 86400


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def ledger(url: sa.URL, folder: Path, monkeypatch):
    monkeypatch.setattr(drainer, "MAX_RETRY_DELAY", 0.05)
    return Ledger(url, journal=folder, linger=0.0, now=lambda: NOON)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.01)


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.jsonl"))


async def test_a_record_is_a_row_with_all_of_its_facts(ledger, stored: Stored, full_exchange) -> None:
    made = UsageRecord.of(full_exchange(), {"org": lambda exchange: "acme", "groups": lambda exchange: ["a", "b"]})
    ledger.emit(made)
    await ledger.aclose()
    with stored.database.reading() as connection:
        row = connection.execute(sa.select(usage_record)).mappings().one()
    assert row["time_ms"] == 1795413427385
    assert (row["subject"], row["request_model"], row["client_model"]) == ("u-1842", "gpt-4o-mini", "claude-opus-5-5")
    assert (row["input_tokens"], row["output_tokens"], row["cache_read_tokens"]) == (17, 33, 5)
    assert row["fields"] == {"org": "acme", "groups": ["a", "b"]}
    assert row["finish_reasons"] == ["stop"]
    assert row["tools"] == ["Read", "Bash"]
    assert row["estimated"] is True
    assert row["cost_nano"] is None


async def test_emit_does_not_wait_for_the_database(ledger, stored: Stored, folder: Path) -> None:
    ledger.emit(record("first"))
    await until(lambda: stored_ids(stored) == ["first"])
    with stored.database.writing():
        for number in range(50):
            ledger.emit(record(f"r{number}"))
        assert segments(folder)
    await ledger.aclose()
    assert len(stored.ids()) == 51
    assert segments(folder) == []


def stored_ids(stored: Stored) -> list[str]:
    try:
        return stored.ids()
    except sa.exc.OperationalError:
        return []


async def test_the_same_record_twice_is_one_row_and_counted_once(ledger, stored: Stored) -> None:
    for _ in range(2):
        ledger.emit(record("same", tools=("Read",)))
        await ledger.aclose()
    assert (stored.ids(), stored.counted()) == (["same"], 1)
    assert stored.tools() == {"Read": 1}


async def test_a_call_of_two_tools_counts_once_for_each_and_once_as_a_call(ledger, stored: Stored) -> None:
    ledger.emit(record("1", tools=("Read", "Bash", "Read")))
    ledger.emit(record("2", tools=("nul \0, half \ud800",)))
    ledger.emit(record("3", tools=("Bash",), outcome="upstream_truncated"))
    ledger.emit(record("4"))
    await ledger.aclose()
    assert stored.tools() == {"Read": 1, "Bash": 2, "nul \ufffd, half ?": 1}
    sums = "SELECT sum(requests), sum(calling), sum(input_tokens) FROM usage_rollup GROUP BY grain"
    assert stored(sums) == [(4, 3, 400)] * 3


async def test_records_of_an_outage_reach_the_database_later(
    url, tmp_path: Path, folder: Path, monkeypatch, caplog
) -> None:
    monkeypatch.setattr(drainer, "MAX_RETRY_DELAY", 0.05)
    place = tmp_path / "away"
    place.write_text("a file where a folder should be")
    url = url.set(database=str(place / "ledger.db"))
    ledger = Ledger(url, journal=folder, linger=0.0)
    ledger.emit(record("one"))
    await until(lambda: not ledger.state.database)
    ledger.emit(record("two"))
    assert ledger.state == (True, False, 0, 0)
    place.unlink()
    await until(lambda: ledger.state.database)
    await ledger.aclose()
    stored = Stored(url)
    assert stored.ids() == ["one", "two"]
    stored.database.close()
    assert [entry.levelno for entry in caplog.records] == [logging.ERROR, logging.WARNING]


async def test_a_ledger_that_ends_without_its_database_leaves_the_records_to_the_next(
    url, tmp_path: Path, folder: Path
) -> None:
    place = tmp_path / "away"
    place.write_text("")
    ledger = Ledger(url.set(database=str(place / "ledger.db")), journal=folder, linger=0.0)
    ledger.emit(record("one"))
    await ledger.aclose()
    assert len(segments(folder)) == 1
    assert Ledger(url, journal=folder).drain()
    stored = Stored(url)
    assert stored.ids() == ["one"]
    stored.database.close()


async def test_a_full_disk_costs_no_record(ledger, stored: Stored, folder: Path, caplog) -> None:
    ledger.emit(record("first"))
    await until(lambda: stored_ids(stored) == ["first"])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        for number in range(3):
            ledger.emit(record(f"r{number}"))
        assert not ledger.state.journal
        assert len([entry for entry in caplog.records if "journal cannot be written" in entry.message]) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    await until(lambda: ledger.state.journal)  # without a further record
    await until(lambda: len(stored.ids()) == 4)
    assert ledger.state == (True, True, 0, 0)
    await ledger.aclose()


async def test_memory_is_bounded_and_what_is_lost_is_counted(ledger, monkeypatch) -> None:
    monkeypatch.setattr(sink, "MAX_IN_MEMORY", 2)
    monkeypatch.setattr(ledger, "_start", lambda: None)
    ledger._journal.folder.write_text("a file where a folder should be")
    for number in range(5):
        ledger.emit(record(f"r{number}"))
    assert ledger.state == (False, True, 2, 3)


async def test_what_no_database_takes_is_made_to_fit(ledger, stored: Stored) -> None:
    ledger.emit(record("a", subject="nul \0, half \ud800", max_tokens=10**30, fields={"team": "\0", "n": 10**30}))
    await ledger.aclose()
    assert stored("SELECT subject, max_tokens FROM usage_record") == [("nul \ufffd, half ?", 2**63 - 1)]


async def test_a_damaged_line_is_put_aside_and_holds_up_nothing(ledger, stored: Stored, folder: Path, caplog) -> None:
    folder.mkdir()
    (folder / "x-1-1.jsonl").write_bytes(
        b"{half\n" + encode(record("good")) + b"\n" + encode(record(time="now")) + b"\n"
    )
    ledger.emit(record("mine"))
    await ledger.aclose()
    assert sorted(stored.ids()) == ["good", "mine"]
    assert (folder / "rejected.txt").read_bytes() == b"{half\n" + encode(record(time="now")) + b"\n"
    assert segments(folder) == []
    assert "{half" not in caplog.text


async def test_a_row_that_is_refused_does_not_hold_up_its_batch(ledger, stored: Stored, folder: Path) -> None:
    ledger.emit(record("first"))
    await ledger.aclose()
    with stored.database.writing() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER refuse BEFORE INSERT ON usage_record WHEN NEW.request_id = 'bad' "
            "BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
    for name in ("a", "bad", "b"):
        ledger.emit(record(name))
    await ledger.aclose()
    assert stored.ids() == ["first", "a", "b"]
    assert stored.counted() == 3
    assert b'"bad"' in (folder / "rejected.txt").read_bytes()


async def test_what_is_no_fault_of_a_row_is_tried_again(ledger, stored: Stored, folder: Path) -> None:
    ledger.emit(record("first"))
    await ledger.aclose()
    with stored.database.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE usage_rollup RENAME COLUMN start TO away")
    ledger.emit(record("second"))
    await until(lambda: not ledger.state.database)
    with stored.database.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE usage_rollup RENAME COLUMN away TO start")
    await until(lambda: ledger.state.database)
    await ledger.aclose()
    assert stored.ids() == ["first", "second"]
    assert not (folder / "rejected.txt").exists()


async def test_a_database_that_comes_back_empty_gets_its_tables(ledger, stored: Stored) -> None:
    ledger.emit(record("first"))
    await until(lambda: stored_ids(stored) == ["first"])
    with stored.database.writing() as connection:
        for table in ("usage_record", "usage_series", "usage_rollup", "usage_tools", "usage_schema"):
            connection.exec_driver_sql(f"DROP TABLE {table}")
    ledger.emit(record("second"))
    await until(lambda: stored_ids(stored) == ["second"])
    await ledger.aclose()


async def test_a_segment_without_a_single_good_line_is_done_with(ledger, folder: Path) -> None:
    folder.mkdir()
    (folder / "x-1-1.jsonl").write_bytes(b"{half\n{half\n")
    assert ledger.drain()
    assert segments(folder) == []


async def test_what_a_dead_process_left_is_found_without_a_further_record(
    ledger, stored: Stored, folder: Path, monkeypatch
) -> None:
    monkeypatch.setattr(drainer, "ADOPT_INTERVAL", 0.05)
    ledger.emit(record("mine"))
    await until(lambda: stored_ids(stored) == ["mine"])
    left = Journal(folder)
    left.append(encode(record("left")))
    left.after_fork()
    await until(lambda: stored.ids() == ["mine", "left"])
    await ledger.aclose()


async def test_two_workers_share_database_and_journal(url, folder: Path, stored: Stored) -> None:
    ledgers = [Ledger(url, journal=folder, linger=0.0) for _ in range(2)]
    for number in range(200):
        ledgers[number % 2].emit(record(f"r{number}"))
    await asyncio.gather(*(ledger.aclose() for ledger in ledgers))
    assert sorted(stored.ids()) == sorted(f"r{number}" for number in range(200))
    assert stored.counted() == 200


async def test_a_ledger_serves_any_number_of_loops_and_goes_on_after_it_was_closed(ledger, stored: Stored) -> None:
    def in_a_loop_of_its_own(name: str) -> None:
        async def emit() -> None:
            ledger.emit(record(name))
            await ledger.aclose()

        asyncio.run(emit())

    for name in ("one", "two", "three"):
        await asyncio.to_thread(in_a_loop_of_its_own, name)
    assert stored.ids() == ["one", "two", "three"]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # a thread is running, and that is the point
async def test_a_fork_writes_segments_of_its_own(ledger, stored: Stored, folder: Path) -> None:
    ledger.emit(record("parent"))
    child = os.fork()
    if child == 0:
        try:
            ledger.emit(record("child"))
            asyncio.new_event_loop().run_until_complete(ledger.aclose())
        finally:
            os._exit(0)
    await asyncio.to_thread(os.waitpid, child, 0)
    await ledger.aclose()
    assert sorted(stored.ids()) == ["child", "parent"]
    assert segments(folder) == []


async def test_a_database_of_a_newer_version_is_left_alone(ledger, stored: Stored, folder: Path, caplog) -> None:
    ledger.emit(record("a"))
    await ledger.aclose()
    with stored.database.writing() as connection:
        connection.exec_driver_sql("UPDATE usage_schema SET version = 99")
    newer = Ledger(ledger.database.url, journal=folder, linger=0.0)
    newer.emit(record("b"))
    await newer.aclose()
    assert (
        f"the ledger's tables have version 99, but this llmgate knows only up to {VERSION}: upgrade it" in caplog.text
    )
    assert stored.ids() == ["a"]
    assert len(segments(folder)) == 1


def test_every_fact_of_a_record_has_a_column() -> None:
    """A new one needs a migration, or a reason to be left out."""
    of_records = {each.name for each in msgspec.structs.fields(UsageRecord)}
    assert set(ATTRIBUTES) <= set(usage_record.c.keys())
    assert set(ATTRIBUTES.values()) <= of_records
    assert of_records - set(usage_record.c.keys()) == {
        "time",
        "cost_usd",
        "vendor",
        "user",
        "safeguards",
    }  # time_ms, cost_nano, provider, subject; the table usage_verdict
    assert {column: name for column, name in ATTRIBUTES.items() if column != name} == {"provider": "vendor"}


async def test_old_records_are_forgotten_with_what_they_added(url, folder: Path, stored: Stored) -> None:
    ledger = Ledger(url, journal=folder, keep=30 * DAY, linger=0.0, now=lambda: NOON)
    ledger.emit(record("old", time="2026-10-26T23:59:59.000Z", subject="bob", tools=("Read",)))
    ledger.emit(record("new", time="2026-10-27T12:00:00.000Z", tools=("Bash",)))
    await ledger.aclose()
    assert stored.ids() == ["new"]
    assert stored.counted() == 1
    assert stored.tools() == {"Bash": 1}
    assert stored("SELECT subject FROM usage_series") == [("alice",)]


@pytest.mark.parametrize(
    ("age", "grains"),
    [
        (0, [MINUTE, HOUR, DAY]),
        (2 * DAY, [MINUTE, HOUR, DAY]),
        (2 * DAY + 1, [HOUR, DAY]),
        (100 * DAY, [HOUR, DAY]),
        (100 * DAY + 1, [DAY]),
        (10_000 * DAY, [DAY]),
        (-10_000 * DAY, [MINUTE, HOUR, DAY]),
    ],
)
async def test_fine_rollups_are_forgotten_by_the_clock_given(url, folder, stored: Stored, age: int, grains) -> None:
    ledger = Ledger(url, journal=folder, linger=0.0, now=lambda: NOON + age)
    ledger.emit(record(tools=("Read",)))
    await ledger.aclose()
    for table in ("usage_rollup", "usage_tools"):
        assert [row[0] for row in stored(f"SELECT grain FROM {table} ORDER BY grain")] == grains
    assert stored.ids() == ["req_1"]
