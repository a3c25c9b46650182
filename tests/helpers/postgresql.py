"""A PostgreSQL server of one's own, from Debian's package, on a free port and a data folder in /tmp."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from asgi_llmgate.usage.ledger import parse_url
from tests.helpers.installation import debian_packages, unavailable


class PostgreSQL:
    """A server that can be stopped and started; its `url` stays the same."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self._binaries, self._folder = binaries, folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = parse_url(f"postgresql://llmgate@127.0.0.1:{self.port}/postgres", folder)
        self._run("initdb", "--auth=trust", "--username=llmgate", "--no-sync", "--encoding=UTF8", "--locale=C")

    def start(self) -> None:
        options = f"-h 127.0.0.1 -p {self.port} -k {self._folder}"
        self._run("pg_ctl", "-w", "-t", "60", "-o", options, "-l", str(self._folder / "log"), "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-w", "-m", "immediate", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        words = [self._binaries / program, "-D", self._folder / "data", *arguments]
        unprivileged: dict[str, Any] = {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}
        done = subprocess.run(words, capture_output=True, text=True, timeout=120, cwd=self._folder, **unprivileged)
        assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def postgresql_server() -> Iterator[PostgreSQL]:
    debian_packages("postgresql")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda path: int(path.parts[4]))
    if not found:
        unavailable("postgresql is not installed")
    folder = Path(tempfile.mkdtemp(prefix="llmgate-pg-", dir="/tmp"))  # a socket's path is short
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    try:
        server = PostgreSQL(found[-1].parent, folder)
        server.start()
        try:
            yield server
        finally:
            with suppress(AssertionError):
                server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
