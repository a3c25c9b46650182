from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.regressions import NoHistory, base_of, counts_of, grown, reasons_since
from tests.helpers.installation import ROOT

BEFORE = {"small call": {"auth": 100, "usage": 100}}


@pytest.mark.parametrize(
    ("now", "sentences"),
    [
        ({"auth": 100, "usage": 105}, []),
        ({"auth": 150, "usage": 50}, []),  # what moves from one folder to another is no more
        (
            {"auth": 100, "usage": 98, "limits": 8},
            ["small call: 200 function calls have become 206 (limits +8, usage -2)"],
        ),
    ],
)
def test_three_percent_more_are_too_many(now: dict[str, int], sentences: list[str]) -> None:
    assert grown(BEFORE, {"small call": now, "a new call": {"auth": 9}}) == sentences


def repository(folder: Path, *messages: str) -> Path:
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run([*git, "init", "-q", "-b", "main"], check=True)
    for message in messages:
        subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", message], check=True)
    return folder


def test_a_trailer_says_what_growth_buys(tmp_path: Path) -> None:
    folder = repository(
        tmp_path, "one", "two\n\nCosts: not asked for: it is the base", "three\n\nCosts: safety", "four"
    )
    subprocess.run(["git", "-C", folder, "checkout", "-q", "-b", "work"], check=True)
    subprocess.run(["git", "-C", folder, "branch", "-q", "-f", "main", "HEAD~2"], check=True)
    base = base_of(folder)
    assert base == subprocess.check_output(["git", "-C", folder, "rev-parse", "main"], text=True).strip()
    assert reasons_since(base, folder) == ["safety"]


def test_on_the_main_branch_the_commit_before_is_the_base(tmp_path: Path) -> None:
    folder = repository(tmp_path, "one", "two")
    assert base_of(folder) == subprocess.check_output(["git", "-C", folder, "rev-parse", "HEAD^"], text=True).strip()


def test_without_history_nothing_is_compared(tmp_path: Path) -> None:
    with pytest.raises(NoHistory, match=r"HEAD\^|single revision"):
        base_of(repository(tmp_path, "the only one"))


@pytest.mark.suites
def test_a_call_has_not_become_more_expensive_than_in_the_commit_before() -> None:
    """CONTRIBUTING.md says what to do where it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.regressions"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout + done.stderr
    if done.stdout.startswith("skipped"):
        pytest.skip(done.stdout)


def test_an_unknown_base_is_said() -> None:
    with pytest.raises(NoHistory, match="archive"):
        counts_of("0" * 40)
