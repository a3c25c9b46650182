"""Segments: who holds them, what is in them, and who may take them over."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from asgi_llmgate.usage.ledger.journal import Journal


def contents(segments) -> list[list[bytes]]:
    return [list(segment.lines()) for segment in segments]


def test_lines_come_back_in_order_and_new_ones_go_to_another_segment(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.append(b"one")
    journal.append(b"two")
    first = journal.take()
    journal.append(b"three")
    assert contents(first) == [[b"one", b"two"]]
    assert contents(journal.take()) == [[b"three"]]
    assert journal.take() == []


def test_the_journal_is_private(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.append(b"one")
    (segment,) = journal.take()
    assert stat.S_IMODE(segment.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(segment.path.parent.stat().st_mode) == 0o700


def test_a_segment_is_followed_by_another_when_it_is_long(tmp_path: Path) -> None:
    journal = Journal(tmp_path, limit=10)
    for line in (b"12345678", b"abc", b"def"):
        journal.append(line)
    assert contents(journal.take()) == [[b"12345678", b"abc"], [b"def"]]


def test_a_segment_in_use_is_not_adopted(tmp_path: Path) -> None:
    writer, other = Journal(tmp_path), Journal(tmp_path)
    writer.append(b"one")
    assert other.adopt() == []
    (taken,) = writer.take()
    assert other.adopt() == []
    taken.close()
    assert contents(other.adopt()) == [[b"one"]]


def test_a_discarded_segment_is_gone(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append(b"one")
    (segment,) = journal.take()
    segment.discard()
    assert list(tmp_path.iterdir()) == []


def test_the_segment_of_a_dead_process_is_adopted_by_one(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from asgi_llmgate.usage.ledger.journal import Journal\n"
        "Journal(Path(sys.argv[1])).append(b'one'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path], check=False)
    first, second = Journal(tmp_path), Journal(tmp_path)
    assert contents(first.adopt()) == [[b"one"]]
    assert second.adopt() == []


def test_half_a_line_at_the_end_is_no_line(tmp_path: Path) -> None:
    (tmp_path / "x-1-1.jsonl").write_bytes(b"one\ntw")
    assert contents(Journal(tmp_path).adopt()) == [[b"one"]]


def test_a_segment_that_is_deleted_while_it_is_opened_is_left_alone(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "x-1-1.jsonl"
    path.write_bytes(b"one\n")
    locked = fcntl.flock

    def late(descriptor: int, operation: int) -> None:
        path.unlink()
        locked(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    assert Journal(tmp_path).adopt() == []


@pytest.mark.parametrize("wrong", [0, 400 * 86400, -10 * 86400])
def test_what_a_process_left_while_making_a_segment_is_swept(tmp_path: Path, monkeypatch, wrong: int) -> None:
    """However wrong the process's clock is: what another is making would be lost to it."""
    monkeypatch.setattr("time.time", lambda right=time.time: right() + wrong)
    old, young = tmp_path / ".x-1-1.new", tmp_path / ".x-1-2.new"
    old.touch()
    young.touch()
    os.utime(old, (0, 0))
    assert Journal(tmp_path).adopt() == []
    assert list(tmp_path.iterdir()) == [young]


@pytest.fixture
def small_files():
    """No file may grow over 100 bytes, as on a disk with so much space left."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size=100: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_line_for_which_there_is_no_space_leaves_no_half(tmp_path: Path, small_files) -> None:
    journal = Journal(tmp_path)
    journal.append(b"a" * 60)
    small_files()
    with pytest.raises(OSError) as caught:
        journal.append(b"b" * 60)
    assert caught.value.errno == errno.ENOSPC
    journal.append(b"c" * 30)
    small_files(resource.RLIM_INFINITY)
    assert contents(journal.take()) == [[b"a" * 60, b"c" * 30]]


def test_a_probe_tells_whether_there_is_space(tmp_path: Path, small_files) -> None:
    journal = Journal(tmp_path)
    journal.probe()
    small_files()
    with pytest.raises(OSError):
        journal.probe()
    small_files(resource.RLIM_INFINITY)
    assert list(tmp_path.iterdir()) == []
