from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from asgi_llmgate import SettingsError
from asgi_llmgate.policy.subjects import DeniedSubjects


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "denied.txt"
    path.write_text("# left on Friday\nmallory  # her laptop\n\n  eve@example.com\n")
    return path


def test_a_line_is_a_subject(file: Path) -> None:
    denied = DeniedSubjects(file)
    assert "mallory" in denied
    assert "eve@example.com" in denied
    assert "" not in denied
    assert "mall" not in denied


def test_a_changed_file_counts_after_a_second_and_is_not_looked_at_before(file: Path) -> None:
    clock = Clock()
    denied = DeniedSubjects(file, now=clock)
    file.write_text("bob\n")
    clock.now = 0.9
    assert "bob" not in denied
    clock.now = 1.0
    assert "bob" in denied
    assert "mallory" not in denied


def test_a_file_put_in_its_place_counts_even_with_the_same_size_and_time(file: Path, tmp_path: Path) -> None:
    clock = Clock()
    denied = DeniedSubjects(file, now=clock)
    other = tmp_path / "new"
    other.write_bytes(file.read_bytes().replace(b"mallory", b"malcolm"))
    stamp = file.stat().st_mtime_ns
    os.utime(other, ns=(stamp, stamp))
    other.replace(file)
    clock.now = 1.0
    assert "malcolm" in denied


def test_when_the_file_is_gone_the_last_list_stays_and_the_log_says_so(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    denied = DeniedSubjects(file, now=clock)
    file.unlink()
    clock.now = 1.0
    assert "mallory" in denied
    assert "cannot be read (FileNotFoundError)" in caplog.text
    assert "mallory" not in caplog.text
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_a_file_that_is_not_there_at_start_is_a_settings_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"deny_subjects\.file"):
        DeniedSubjects(tmp_path / "nothing")
