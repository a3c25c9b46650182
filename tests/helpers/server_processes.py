"""A gateway in server processes of their own: uvicorn and gunicorn as people start them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
    """The URL of a server and its process, which writes to `output.txt`.  The socket is bound before it starts, so that
    nobody has to wait for it; at the end it is told to stop, as an operator would."""
    with bind() as listener, (folder / "output.txt").open("wb") as output:
        listener.set_inheritable(True)
        process = subprocess.Popen(
            [sys.executable, *(word.format(fd=listener.fileno()) for word in command)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": f"{folder}:{ROOT}", "NO_PROXY": "127.0.0.1", **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=[listener.fileno()],
        )
        host, port = listener.getsockname()[:2]
        try:
            yield f"http://{host}:{port}", process
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)
        finally:
            process.kill()
            process.wait()
