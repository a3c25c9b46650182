"""Servers in processes of their own, for the tests of all folders: how one is started, waited for and stopped."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from asgi_llmgate.testing.model_server import ModelServer
from asgi_llmgate.testing.serving import bind
from tests.helpers.installation import ROOT

GATEWAY = """
from asgi_llmgate import Gateway

gateway = Gateway.from_file("llmgate.yaml")


async def home(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"the company's own app"})
"""

Command = Sequence[str]

PATIENCE = 60.0
"""Seconds that anything may take on a busy machine."""


def uvicorn(app: str, *options: str) -> Command:
    return ["-m", "uvicorn", app, "--fd", "{fd}", *options]


def gunicorn(app: str, *options: str, workers: int = 1, worker: str = "uvicorn_worker.UvicornWorker") -> Command:
    bound = ["--bind", "fd://{fd}", "--workers", str(workers), "--worker-class", worker]
    return ["-m", "gunicorn", app, *bound, "--graceful-timeout", "2", "--no-control-socket", *options]


class Folder:
    """A working directory with `gateway.py` and its `llmgate.yaml`; `printed` is what its server wrote."""

    def __init__(self, path: Path, model: ModelServer, base_url: str) -> None:
        self.path = path
        self.model = model
        self._base_url = base_url
        self.printed = ""
        path.mkdir()
        self.write("gateway.py", GATEWAY)
        self.settings()

    def write(self, name: str, text: str) -> None:
        (self.path / name).write_text(textwrap.dedent(text))

    def settings(self, **sections: Any) -> None:
        settings = {
            "auth": {"mode": "off"},
            "policy": {"default": "allow"},
            "backends": {"main": {"base_url": self._base_url}},
            "models": [{"match": "*", "use": "main/gpt-4o-mini"}],
            **sections,
        }
        (self.path / "llmgate.yaml").write_text(yaml.safe_dump(settings))

    @contextmanager
    def serve(self, command: Command, **environment: str) -> Iterator[str]:
        with served(command, self.path, **environment) as (url, self.process):
            yield url
        self.printed = (self.path / "output.txt").read_text("utf-8")


@contextmanager
def served(command: Command, folder: Path, **environment: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The URL of a Python server and its process, which writes to `output.txt`.  `{fd}` in the command is a socket that
    listens before the process starts, so that no test has to wait for it."""
    with bind() as listener:
        listener.set_inheritable(True)
        words = [sys.executable, *(word.format(fd=listener.fileno()) for word in command)]
        paths = {"PYTHONPATH": f"{folder}:{ROOT}"}
        host, port = listener.getsockname()[:2]
        with running(words, folder / "output.txt", folder, pass_fds=[listener.fileno()], **paths, **environment) as it:
            yield f"http://{host}:{port}", it


@contextmanager
def running(
    command: Sequence[str | Path],
    output: Path,
    folder: Path | None = None,
    *,
    whole_environment: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    graceful: bool = True,
    **environment: str,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process of its own group, which writes to the file `output`.  At the end SIGTERM asks it to stop, if
    `graceful`; what is left of the group after that, or when the block fails, is killed."""
    inherited = os.environ if whole_environment is None else whole_environment
    with output.open("wb") as printed:
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=folder,
            env={**inherited, "NO_PROXY": "127.0.0.1", **environment},
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.STDOUT,
            pass_fds=pass_fds,
            start_new_session=True,
        )
    try:
        yield process
        if graceful:
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(look: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """What `look` returns, once that is true."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"there is still not: {what}"
        time.sleep(0.01)
    return found


def wait_for_output(pattern: str, output: Path, process: subprocess.Popen[bytes], seconds: float = PATIENCE) -> str:
    """The first group of a pattern, once a process that is `running` has printed it."""

    def look() -> re.Match[str] | None:
        ended = process.poll() is not None
        text = output.read_text("utf-8", errors="replace")
        found = re.search(pattern, text)
        assert found or not ended, f"it has ended:\n{text}"
        return found

    return str(wait_for(look, f"{pattern} in {output}", seconds)[1])


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
