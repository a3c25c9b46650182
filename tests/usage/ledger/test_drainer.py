"""The ledger's thread: whatever ends it, another goes on, and what dead processes left is taken over by idle ones."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from asgi_llmgate.asgi import Health
from asgi_llmgate.usage.ledger import Database, Ledger, drainer, sink
from asgi_llmgate.usage.ledger.drainer import Drainer
from asgi_llmgate.usage.ledger.journal import Journal
from asgi_llmgate.usage.ledger.rows import encode
from asgi_llmgate.usage.ledger.status import Status
from tests.usage.ledger.records import NOON, Stored, record


@pytest.fixture
def ledger(url: sa.URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    for module in (drainer, sink):
        monkeypatch.setattr(module, "MIN_RETRY_DELAY", 0.0)
        monkeypatch.setattr(module, "MAX_RETRY_DELAY", 0.0)
    monkeypatch.setattr(drainer, "ADOPT_INTERVAL", 0.01)
    made = Ledger(url, journal=tmp_path / "journal", linger=0.0, now=lambda: NOON)
    database = Database(url)
    database.migrate()
    database.close()
    yield made
    asyncio.run(made.aclose())


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.01)


def failing_once(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, error: type[BaseException]) -> list[str]:
    """The method raises when it is called in the ledger's thread for the first time; the names of those that did."""
    told: list[str] = []
    whole = getattr(owner, name)

    def once(self: Any, *arguments: Any, **options: Any) -> Any:
        if not told and threading.current_thread().name == "llmgate-ledger":
            told.append(name)
            raise error("somebody's secret")
        return whole(self, *arguments, **options)

    monkeypatch.setattr(owner, name, once)
    return told


PLACES = [
    (Drainer, "drain"),
    (Drainer, "run"),
    (Drainer, "_probe_journal"),
    (Drainer, "_collect_segments"),
    (Drainer, "_insert_memory"),
    (Drainer, "_prune"),
    (Status, "database_works"),
    (Status, "thread_works"),
    (Journal, "take"),
    (Journal, "adopt"),
    (Database, "insert"),
]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("error", [KeyError, SystemExit])
@pytest.mark.parametrize(("owner", "name"), PLACES, ids=[f"{owner.__name__}.{name}" for owner, name in PLACES])
async def test_whatever_ends_the_thread_each_record_arrives_once(
    ledger: Ledger, stored: Stored, monkeypatch: pytest.MonkeyPatch, caplog: Any, owner: type, name: str, error: Any
) -> None:
    told = failing_once(monkeypatch, owner, name, error)
    ledger.emit(record("before"))
    await until(lambda: bool(told))

    def arrived(*ids: str) -> bool:
        # What /readyz asks.  A record alone starts no thread if the old one still ends when the record looks for it.
        ledger.health()
        return stored.ids() == list(ids)

    await until(lambda: arrived("before"))
    ledger.emit(record("after"))
    await until(lambda: arrived("before", "after"))
    await until(lambda: ledger.health() == Health())
    assert stored.counted() == 2
    assert "somebody's secret" not in caplog.text


async def test_while_it_does_not_work_readyz_names_it_and_the_log_does_once(
    ledger: Ledger, stored: Stored, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fails = threading.Event()
    fails.set()
    probe = Drainer._probe_journal
    tries: list[None] = []

    def probed(self: Drainer) -> None:
        tries.append(None)
        if fails.is_set():
            raise KeyError("x")
        probe(self)

    monkeypatch.setattr(Drainer, "_probe_journal", probed)
    ledger.emit(record("one"))
    await until(lambda: len(tries) > 5)
    assert ledger.health() == Health(limping=("ledger thread",))
    assert caplog.text.count("the ledger's thread does not work (KeyError)") == 1
    fails.clear()
    await until(lambda: ledger.health() == Health())
    await until(lambda: stored.ids() == ["one"])
    assert caplog.text.count("the ledger's thread works again") == 1


async def test_where_no_thread_can_be_had_records_wait_and_emit_does_not_raise(
    ledger: Ledger, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def refused(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refused)
        for number in range(20):
            ledger.emit(record(f"r{number}"))
        assert ledger.health() == Health(limping=("ledger thread",))
    assert threading.Thread.start is start
    assert ledger.health().broken == ()
    await until(lambda: len(stored.ids()) == 20)


async def test_a_thread_that_cannot_be_had_is_not_asked_for_at_each_record(
    url: sa.URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, tries = [1000.0], []

    def refused(self: threading.Thread) -> None:
        tries.append(clock[0])
        raise RuntimeError("can't start new thread")

    ledger = Ledger(url, journal=tmp_path / "journal")
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refused)
        patch.setattr(sink.time, "monotonic", lambda: clock[0])
        for number in range(200):
            ledger.emit(record(f"r{number}"))
            clock[0] += 0.5
    assert [int(after - before) for before, after in pairwise(tries)] == [1, 2, 4, 8, 16, 30, 30]
    await ledger.aclose()


async def test_a_process_without_calls_takes_over_what_a_dead_one_left(
    ledger: Ledger, stored: Stored, tmp_path: Path
) -> None:
    dead = Journal(tmp_path / "journal")
    for number in range(20):
        dead.append(encode(record(f"left-{number}")))
    assert ledger.health() == Health()  # it has had no record of its own
    dead.after_fork()  # the kernel gives the locks back
    await until(lambda: len(stored.ids()) == 20)
    later = Journal(tmp_path / "journal")
    later.append(encode(record("later")))
    later.after_fork()
    await until(lambda: len(stored.ids()) == 21)
