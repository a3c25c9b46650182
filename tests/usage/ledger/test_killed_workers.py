"""Exactly once, also after `kill -9` at any point: real processes, SQLite and PostgreSQL."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from asgi_llmgate.usage.ledger import Ledger
from tests.helpers.installation import ROOT
from tests.usage.ledger.records import Stored


def kill_workers(url: sa.URL, folder: Path, rounds: int) -> list[str]:
    seed = random.randrange(2**32)
    print("seed", seed)
    address = url.render_as_string(hide_password=False)
    command = [sys.executable, "-m", "tests.usage.ledger.killed_workers", address, str(folder), str(rounds), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=900)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def check_ledger(url: sa.URL, folder: Path, acknowledged: list[str]) -> None:
    assert len(acknowledged) == len(set(acknowledged)) > 0
    assert Ledger(url, journal=folder).drain()
    stored = Stored(url)
    ids = stored.ids()
    assert len(ids) == len(set(ids))
    assert not set(acknowledged) - set(ids)
    # A worker may die between the write of a record and its acknowledgement: one more for each, at the most.
    assert len(ids) - len(acknowledged) <= len({each.rpartition("-")[0] for each in ids})
    assert stored.counted() == len(ids)
    assert not list(folder.glob("*.jsonl"))
    stored.database.close()


def test_workers_are_killed_at_random_points(url: sa.URL, tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    check_ledger(url, folder, kill_workers(url, folder, 12))


@pytest.mark.soak
def test_workers_are_killed_many_times(url: sa.URL, tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    check_ledger(url, folder, kill_workers(url, folder, 150))


@pytest.mark.servers
def test_workers_are_killed_with_postgresql(postgresql, tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    check_ledger(postgresql.url, folder, kill_workers(postgresql.url, folder, 40))
