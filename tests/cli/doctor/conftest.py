"""The doctor as a command, and servers that are broken in one way each."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from asgi_llmgate.cli import main
from asgi_llmgate.testing.serving import bind


@dataclass(frozen=True)
class Told:
    """What one run has printed."""

    exit_code: int
    output: str
    steps: list[dict[str, Any]]
    findings: list[dict[str, Any]]

    def about(self, path: str) -> list[dict[str, Any]]:
        """The steps about a path of the settings, and what is under it."""
        return [step for step in self.steps if step["path"].startswith(path)]

    def states(self, path: str = "") -> list[str]:
        return [step["state"] for step in self.about(path)]

    def the(self, state: str, path: str = "") -> dict[str, Any]:
        """The only step of a state."""
        (step,) = [step for step in self.about(path) if step["state"] == state]
        return step


Doctor = Callable[..., Told]

OPEN = {"auth": {"mode": "off"}, "policy": {"default": "allow"}, "models": [{"match": "claude-*", "use": "main/m"}]}


@pytest.fixture
def doctor(tmp_path: Path) -> Doctor:
    """`doctor(settings, *options, input="")`, with calls that may take a second."""

    def run(settings: dict[str, Any], *options: str, seconds: float = 1.0, input: str = "") -> Told:
        path = tmp_path / "llmgate.yaml"
        path.write_text(yaml.safe_dump({**OPEN, **settings}))
        command = ["doctor", "--config", str(path), "--json", "--timeout", str(seconds), *options]
        done = CliRunner().invoke(main, command, input=input, catch_exceptions=False)
        printed = json.loads(done.stdout) if done.stdout.startswith("{") else {"steps": [], "findings": []}
        return Told(done.exit_code, done.output, printed["steps"], printed["findings"])

    return run


@pytest.fixture
def listen() -> Iterator[Callable[..., int]]:
    """`listen(respond) -> port`: a server of raw bytes, whose threads end with the test."""
    with ExitStack() as stack:
        yield lambda respond, **options: stack.enter_context(raw_server(respond, **options))


Respond = Callable[[bytes, socket.socket, threading.Event], None]
"""Takes the head of a request, its connection, and what is set when the test ends."""


@contextmanager
def raw_server(respond: Respond | bytes, *, tls: Any = None) -> Iterator[int]:
    """Each connection is read to the end of a request's head, answered, and closed."""
    listener, over = bind(), threading.Event()
    listener.settimeout(0.05)
    threads: list[threading.Thread] = []

    def serve(connection: socket.socket) -> None:
        with suppress(OSError):
            wrapped = connection if tls is None else tls.wrap_socket(connection, server_side=True)
            with wrapped:
                wrapped.settimeout(5)
                head = b""
                while b"\r\n\r\n" not in head and (piece := wrapped.recv(65536)):
                    head += piece
                if not head:
                    return
                if isinstance(respond, bytes):
                    wrapped.sendall(respond)
                else:
                    respond(head, wrapped, over)

    def accept() -> None:
        while not over.is_set():
            with suppress(OSError):
                connection, _ = listener.accept()
                connection.settimeout(5)
                threads.append(threading.Thread(target=serve, args=(connection,), daemon=True))
                threads[-1].start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield listener.getsockname()[1]
    finally:
        over.set()
        accepting.join()
        for thread in threads:
            thread.join(6)
        listener.close()


def reply(body: bytes, *, status: str = "200 OK", content_type: str = "application/json", more: str = "") -> bytes:
    """A whole HTTP response, after which the connection is closed."""
    fields = f"content-type: {content_type}\r\ncontent-length: {len(body)}\r\n{more}connection: close\r\n"
    return f"HTTP/1.1 {status}\r\n{fields}\r\n".encode() + body


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")


class Site:
    """Pages by path, on a port of its own: `site["/jwks.json"] = reply(...)`; what has none is a 404."""

    def __init__(self, listen: Callable[..., int]) -> None:
        self.pages: dict[str, bytes | Respond] = {}
        self.asked: list[str] = []
        self.url = f"http://127.0.0.1:{listen(self._respond)}"

    def __setitem__(self, path: str, page: bytes | Respond) -> None:
        self.pages[path] = page

    def _respond(self, head: bytes, connection: socket.socket, over: threading.Event) -> None:
        path = head.split(b" ")[1].decode().partition("?")[0]
        self.asked.append(path)
        page = self.pages.get(path, reply(b"not here", status="404 Not Found", content_type="text/plain"))
        if callable(page):
            page(head, connection, over)
        else:
            connection.sendall(page)


@pytest.fixture
def site(listen: Callable[..., int]) -> Site:
    return Site(listen)


def document(content: Any, **options: Any) -> bytes:
    return reply(json.dumps(content).encode(), **options)


def silent(head: bytes, connection: socket.socket, over: threading.Event) -> None:
    """Accepts a request and never responds."""
    over.wait(20)
