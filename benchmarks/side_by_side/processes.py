"""Processes whose CPU time is read: Linux only (/proc, and the clock of another process)."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CORE, OTHER_CORES = {0}, set(range(1, os.cpu_count() or 1)) or {0}
"""Where what is measured runs, and where all else does."""

START = 60.0
"""Seconds that a server may take to start."""


@dataclass(frozen=True)
class Server:
    """A server that runs: its name in the table, its port, its process."""

    name: str
    port: int
    process: int

    def cpu(self) -> float:
        """Seconds of CPU time of the process and its children until now."""
        return sum(_cpu(process) for process in _tree(self.process))


@contextmanager
def served(app: str, name: str, environment: Mapping[str, str], tree: Path) -> Iterator[Server]:
    """uvicorn with uvloop and httptools, one worker, on a port of its own; the package is that of the folder `tree`."""
    port = free_port()
    factory = [] if app == "null" else ["--factory"]
    command = [sys.executable, "-m", "uvicorn", f"benchmarks.side_by_side.apps:{app}", *factory, "--port", str(port)]
    options = ["--loop", "uvloop", "--http", "httptools", "--log-level", "error", "--no-access-log"]
    options += ["--app-dir", str(tree)]  # by default uvicorn imports from the working directory first
    here = Path(__file__).parents[2]
    paths = {"PYTHONPATH": f"{tree}{os.pathsep}{here}", "PYTHONSAFEPATH": "1"}
    process = subprocess.Popen([*command, *options], env={**os.environ, **environment, **paths})
    try:
        os.sched_setaffinity(process.pid, CORE)
        _wait(process, port)
        yield Server(name, port, process.pid)
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        found: int = probe.getsockname()[1]
        return found


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + START
    while time.monotonic() < until and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit(f"{process.args} does not start")


def _tree(process: int) -> Iterator[int]:
    yield process
    for thread in Path(f"/proc/{process}/task").iterdir():
        for child in (thread / "children").read_text().split():
            yield from _tree(int(child))


def _cpu(process: int) -> float:
    return time.clock_gettime(~process << 3 | 2)  # clock_getcpuclockid(3)
