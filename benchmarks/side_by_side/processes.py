"""Processes whose CPU time and memory are read: Linux only (/proc, and the clock of another process)."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.side_by_side.clients import request

CORE, OTHER_CORES = {0}, set(range(1, os.cpu_count() or 1)) or {0}
"""Where what is measured runs, and where all else does."""

START = 90.0
"""Seconds that a server may take to start."""

HEADERS = {"content-type": "application/json", "anthropic-version": "2023-06-01", "user-agent": "claude-cli/2.1.330"}


class NotStarted(Exception):
    """A server ended, or did not listen in time; the text is its last words."""


@dataclass(frozen=True)
class Server:
    """A server that runs: its name in the table, its port, its process, and what it wants in a request."""

    name: str
    port: int
    process: int
    path: str = "/v1/messages"
    headers: Mapping[str, str] = field(default_factory=dict)

    def request(self, content: bytes) -> bytes:
        return request(self.path, {**HEADERS, **self.headers}, content)

    def cpu(self) -> float:
        """Seconds of CPU time of the process and its children until now."""
        return sum(map(_cpu, _tree(self.process)))

    def memory(self) -> float:
        """Resident memory of the process and its children: MB of 2**20 bytes."""
        return sum(map(_resident, _tree(self.process))) / 1024


@contextmanager
def running(
    name: str,
    command: Sequence[str],
    port: int,
    environment: Mapping[str, str],
    *,
    path: str = "/v1/messages",
    headers: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """A command that listens on a port.  Raises NotStarted."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=output, stderr=output, start_new_session=True
        )
        try:
            os.sched_setaffinity(process.pid, CORE)
            if not _listens(process, port):
                output.seek(0)
                raise NotStarted(f"{name} does not start: {output.read().decode('utf-8', 'replace')[-800:].strip()}")
            yield Server(name, port, process.pid, path, headers or {})
        finally:
            _end(process)


def uvicorn(app: str, port: int, tree: Path) -> tuple[list[str], dict[str, str]]:
    """The command and environment of an app of apps.py, with one worker; the package is that of the folder `tree`."""
    factory = [] if app == "null" else ["--factory"]
    command = [sys.executable, "-m", "uvicorn", f"benchmarks.side_by_side.apps:{app}", *factory, "--port", str(port)]
    options = ["--loop", "uvloop", "--http", "httptools", "--log-level", "error", "--no-access-log"]
    options += ["--app-dir", str(tree)]  # by default uvicorn imports from the working directory first
    here = Path(__file__).parents[2]
    # Of an installed package the bytecode is there; that of a checkout is kept, too, whatever the caller's shell says.
    variables = {"PYTHONPATH": f"{tree}{os.pathsep}{here}", "PYTHONSAFEPATH": "1", "PYTHONDONTWRITEBYTECODE": ""}
    return [*command, *options], variables


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        found: int = probe.getsockname()[1]
        return found


def _listens(process: subprocess.Popen[bytes], port: int) -> bool:
    until = time.monotonic() + START
    while time.monotonic() < until and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.01)
        else:
            return True
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it and its children: they are one session, and so one group."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)


def _tree(process: int) -> Iterator[int]:
    yield process
    with suppress(OSError):  # it has ended
        for thread in Path(f"/proc/{process}/task").iterdir():
            for child in (thread / "children").read_text().split():
                yield from _tree(int(child))


def _cpu(process: int) -> float:
    try:
        return time.clock_gettime(~process << 3 | 2)  # clock_getcpuclockid(3)
    except OSError:
        return 0.0


def _resident(process: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    return 0
