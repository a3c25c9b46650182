"""The access log on a disk that is full, or without descriptors: no traceback, nothing lost but what is counted."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_llmgate.asgi import Health
from asgi_llmgate.usage import AccessLog, UsageRecord, log_file
from asgi_llmgate.usage.log_file import LogFile


def record(name: str) -> UsageRecord:
    return UsageRecord(time="t", request_id=name, method="GET", path="/", duration_ms=1.0)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


ERRORS = [
    errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO,
    errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOMEM, errno.ESTALE, errno.EFBIG,
    errno.ENXIO, errno.ENODEV, errno.EBUSY, errno.ETIMEDOUT, errno.EAGAIN, errno.EPIPE,
]  # fmt: skip


@pytest.mark.parametrize("call", ["open", "write"])
@pytest.mark.parametrize("number", ERRORS, ids=errno.errorcode.get)
def test_lines_wait_while_they_cannot_be_written_and_come_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, call: str, number: int
) -> None:
    path = tmp_path / "access.log"
    sink = AccessLog("logfmt", path)

    def fails(*arguments: Any, **options: Any) -> Any:
        raise OSError(number, os.strerror(number))

    for turn in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(log_file.os, call, fails)
            for each in range(20):
                sink.emit(record(f"r{turn}-{each}"))
            assert sink.health() == Health(limping=("access log",))
        assert sink.health() == Health()  # who asks for it has it tried again
        sink.emit(record(f"after-{turn}"))
        sink.close()
    names = [f"r{turn}-{each}" for turn in range(2) for each in range(20)]
    names[20:20] = ["after-0"]
    found = lines(path)
    assert [line.split("request_id=")[1].split()[0] for line in found] == [*names, "after-1"]
    assert [entry.message.split(" (")[0].split(";")[0] for entry in caplog.records] == [
        "the access log cannot be written",
        "the access log can be written again",
    ] * 2
    assert all(entry.exc_info is None for entry in caplog.records)


def test_a_full_device_costs_nothing_but_lines_that_are_counted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(log_file, "MAX_WAITING", 50)
    sink = AccessLog("json", "/dev/full")
    for each in range(200):
        sink.emit(record(f"r{each}"))
    assert sink.health() == Health(limping=("access log",))
    assert sink._file is not None
    assert (sink._file.lost, len(sink._file._of_this_process().waiting)) == (150, 50)
    assert [entry.message for entry in caplog.records] == [
        "the access log cannot be written (No space left on device); its lines wait in memory"
    ]
    sink.close()
    assert sink._file.lost == 200
    assert caplog.records[-1].message == "50 lines of the access log could not be written"
    assert capfd.readouterr() == ("", "")


def test_without_descriptors_lines_wait(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    sink = AccessLog("logfmt", path)
    sink.emit(record("first"))
    path.rename(tmp_path / "rotated")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
    try:
        for each in range(20):
            sink.emit(record(f"r{each}"))
        failing = sink.health()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert failing == Health(limping=("access log",))
    sink.emit(record("last"))
    sink.close()
    assert (len(lines(tmp_path / "rotated")), len(lines(path))) == (1, 21)


WRITES = st.lists(st.one_of(st.none(), st.integers(0, 12)), max_size=30)


@settings(deadline=None, max_examples=60)
@given(WRITES, st.integers(1, 30))
def test_a_line_is_whole_or_not_there_however_little_is_written(
    tmp_path_factory: pytest.TempPathFactory, room: list[int | None], count: int
) -> None:
    """`room`: how many bytes each write takes; None for all of them."""
    path = tmp_path_factory.mktemp("log") / "access.log"
    file, whole, left = LogFile(path), os.write, list(room)

    def write(descriptor: int, data: bytes) -> int:
        taken = left.pop(0) if left else None
        if taken == 0:
            raise OSError(errno.ENOSPC, "No space")
        return whole(descriptor, data if taken is None else data[:taken])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_file.os, "write", write)
        for number in range(count):
            file.write(b"line %03d" % number)
        left.clear()
        file.close()
    found = [line for line in lines(path) if len(line) == 8 and line.startswith("line ")]
    assert found == [f"line {number:03}" for number in range(count)]
    assert all(len(line) <= 8 for line in lines(path))
    assert file.lost == 0


@pytest.mark.parametrize("where", ["/dev/full", "closed"])
def test_a_standard_output_that_fails_is_told_once(where: str) -> None:
    script = """
import sys
from asgi_llmgate.usage import AccessLog, UsageRecord
sink = AccessLog()
good = sys.stdout
for number in range(100):
    if number == 50:
        sys.stdout = open(sys.argv[1], "w") if sys.argv[1] != "closed" else sys.stdout
        if sys.argv[1] == "closed":
            sys.stdout = open("/dev/null", "w"); sys.stdout.close()
    if number == 90:
        print("limping", *sink.health().limping, file=sys.stderr)
        sys.stdout = good
    sink.emit(UsageRecord(time="t", request_id=f"req-{number:03}", method="GET", path="/", duration_ms=1.0))
print("limping", *sink.health().limping, file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", script, where], capture_output=True, text=True, check=True)
    told = [line for line in done.stderr.splitlines() if line.startswith(("the access log", "limping"))]
    assert done.stdout.count("req-") == 60
    why = "No space left on device" if where == "/dev/full" else "ValueError"
    assert told == [
        f"the access log cannot be written ({why})",
        "limping access log",
        "the access log can be written again; up to 40 lines were lost",
        "limping",
    ]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # the test runner has threads
def test_a_forked_child_leaves_the_waiting_lines_to_its_parent(tmp_path: Path) -> None:
    file = LogFile(tmp_path / "missing" / "access.log")
    file.write(b"the parent's")
    with file._of_this_process().lock:  # another thread is writing at the moment of the fork
        child = os.fork()
        if child == 0:
            try:
                (tmp_path / "missing").mkdir()
                file.write(b"the child's")
                file.close()
            finally:
                os._exit(0)
    os.waitpid(child, 0)
    assert lines(tmp_path / "missing" / "access.log") == ["the child's"]
    file.close()
    assert lines(tmp_path / "missing" / "access.log") == ["the child's", "the parent's"]
