from __future__ import annotations

import re
import subprocess
import sys


def test_the_benchmark_runs_and_compares_all_with_the_first() -> None:
    command = [sys.executable, "-W", "error", "-m", "benchmarks.usage", "--calls", "4", "--rounds", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    tables = done.stdout.split("a stream of 100 chunks")
    assert len(tables) == 2
    for table in tables:
        assert re.search(r"no records +\d+ +0 +1\.00\n", table)
        assert re.search(r"OpenTelemetry, spans and metrics +\d+", table)
        assert re.search(r"Prometheus +\d+", table)
