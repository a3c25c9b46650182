"""Each command runs, with the smallest sizes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.suites


def command(module: str, *arguments: str | Path) -> str:
    words = [sys.executable, "-W", "error", "-m", f"benchmarks.{module}", *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_side_by_side(tmp_path: Path) -> None:
    command("side_by_side", "--quick", "--all", "--json", tmp_path / "run.json")
    rows = json.loads((tmp_path / "run.json").read_text())["results"]
    assert len(rows) == 17
    assert all(each["figures"]["gateway"] for each in rows)


def test_soak() -> None:
    assert "after:" in command("soak", "--minutes", "0.01", "--seconds", "0.3", "--idle", "3")


def test_plots(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    command("plots", "--quick", "--place", tmp_path)
    sizes = {path.name: path.stat().st_size for path in tmp_path.glob("*.svg")}
    assert len(sizes) == 6
    assert max(sizes.values()) < 60_000
