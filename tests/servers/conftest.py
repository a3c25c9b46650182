"""Real servers as processes of their own, with a gateway in a host, and its model servers in this process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from copy import copy
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import Any

import pytest
import yaml

from asgi_llmgate.testing.idp import AUDIENCE, ISSUER, MockIdP
from asgi_llmgate.testing.model_script import say
from asgi_llmgate.testing.model_server import ModelServer
from asgi_llmgate.testing.serving import serving
from tests.helpers.distribution.project import pyproject
from tests.helpers.installation import ROOT, python_environment
from tests.helpers.server_processes import PATIENCE, free_port, running, wait_for
from tests.servers.server_table import Server

HOSTS = Path(__file__).parent / "hosts"

FLOOD = say(" ".join(["x" * 65536] * 240))
"""More than the buffers between two sockets hold."""


class Stepped:
    """A model server whose words go out one by one, each when the test says `step`."""

    def __init__(self, model: ModelServer) -> None:
        self._model = model
        self._steps = threading.Semaphore(0)

    def restart(self) -> None:
        """For the answers that begin from now on; those of before wait no more."""
        self._steps = threading.Semaphore(0)

    def step(self) -> None:
        self._steps.release()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        steps = self._steps

        async def send_in_step(message: Any) -> None:
            if b'"delta": {"content"' in message.get("body", b""):
                while steps is self._steps and not steps.acquire(blocking=False):
                    await asyncio.sleep(0.002)
            await send(message)

        await self._model(scope, receive, send_in_step)


class Behind:
    """What is behind each gateway: the models, the identity provider, the settings file and the access log."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.idp = MockIdP()
        self.model = ModelServer(
            [
                say("one two three four").stall(after=3).always().when(lambda asked: asked.prompt == "hang"),
                FLOOD.always().when(lambda asked: asked.prompt == "flood"),
            ]
        )
        self.stepped = Stepped(ModelServer([say("one two three four five").always()]))
        self._urls = [
            stack.enter_context(serving(app, timeout_graceful_shutdown=1)) + "/v1" for app in (self.model, self.stepped)
        ]

    def configure(self, name: str, **server: Any) -> Path:
        """A settings file whose access log is beside it."""
        provider = {"issuer": ISSUER, "audiences": [AUDIENCE], "jwks": {"inline": self.idp.jwks}}
        scripted, stepped = self._urls
        settings = {
            "auth": {"providers": [provider]},
            "policy": {"rules": ['jwt.team == "data-platform"']},
            "backends": {"scripted": {"base_url": scripted}, "stepped": {"base_url": stepped}},
            "models": [{"match": "stepped", "use": "stepped"}, {"match": "*", "use": "scripted"}],
            "usage": {"access_log": {"file": f"{name}.log"}},
            "server": server,
        }
        file = self.folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump(settings), "utf-8")
        return file


@pytest.fixture(scope="package")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    with ExitStack() as stack:
        yield Behind(tmp_path_factory.mktemp("servers"), stack)


class Stream:
    """An open answer, read event by event."""

    def __init__(self, connection: HTTPConnection, response: HTTPResponse) -> None:
        self.connection = connection
        self.response = response
        self.request_id = response.headers["request-id"]
        self._read = b""

    def event(self) -> tuple[str, Any] | None:
        """The next one; None at the end.  Raises IncompleteRead, or OSError, where the stream is cut."""
        while b"\n\n" not in self._read:
            part = self.response.read1()
            if not part:
                return None
            self._read += part
        event, _, self._read = self._read.partition(b"\n\n")
        fields = dict(line.split(": ", 1) for line in event.decode().splitlines())
        return fields["event"], json.loads(fields["data"])

    def until(self, wanted: str) -> Any:
        """The data of the next event of that name."""
        while (event := self.event()) is not None:
            if event[0] == wanted:
                return event[1]
        raise AssertionError(f"the stream has ended without {wanted}")

    def rest(self) -> list[str]:
        """The names of the events until the end, and "cut" where that is no end."""
        names = []
        try:
            while (event := self.event()) is not None:
                names.append(event[0])
        except (OSError, HTTPException):
            names.append("cut")
        return names

    def leave(self) -> None:
        with suppress(OSError):
            self.connection.sock.shutdown(socket.SHUT_RDWR)
        self.response.close()
        self.connection.close()


class Gate:
    """A running server with the gateway under `prefix`."""

    def __init__(self, behind: Behind, process: subprocess.Popen[bytes], port: int, prefix: str, config: Path) -> None:
        self.behind = behind
        self.process = process
        self.port = port
        self.prefix = prefix
        self.output = config.with_suffix(".out")
        self.workers: set[str] = set()
        self._log = config.with_suffix(".log")

    def through(self, port: int) -> Gate:
        """The same, by way of a proxy that listens there."""
        gate = copy(self)
        gate.port = port
        return gate

    def connect(self) -> HTTPConnection:
        return HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)

    def get(self, path: str) -> tuple[int, str]:
        connection = self.connect()
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text

    def meet(self) -> int:
        """How many worker processes have answered so far, after one more request."""
        self.workers.add(self.get("/pid")[1])
        return len(self.workers)

    def body(self, prompt: str, *, model: str = "claude-opus-5", stream: bool = True) -> bytes:
        messages = [{"role": "user", "content": prompt}]
        return json.dumps({"model": model, "max_tokens": 100, "stream": stream, "messages": messages}).encode()

    def headers(self) -> dict[str, str]:
        return {"content-type": "application/json", "authorization": f"Bearer {self.behind.idp.mint()}"}

    def ask(self, prompt: str, **options: Any) -> Stream:
        connection = self.connect()
        connection.request("POST", f"{self.prefix}/v1/messages", self.body(prompt, **options), self.headers())
        response = connection.getresponse()
        assert response.status == 200, response.read()
        return Stream(connection, response)

    def records(self) -> list[dict[str, Any]]:
        text = self._log.read_text() if self._log.exists() else ""
        return [json.loads(line) for line in text.splitlines()]

    def record(self, request_id: str) -> dict[str, Any]:
        """The one record of a request, as soon as there is one."""
        return wait_for(
            lambda: next((record for record in self.records() if record["request_id"] == request_id), None),
            f"a record of {request_id}; the server said:\n{self.said()}",
        )

    def said(self) -> str:
        return self.output.read_text(errors="replace")[-4000:]

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)


@pytest.fixture(scope="package")
def python() -> Path:
    """A Python with all the servers and all the hosts."""
    project, *servers = pyproject()["dependency-groups"]["servers"]
    return python_environment("servers", f"-e{ROOT}[{project.partition('[')[2]}", *servers, constrained=True)


Start = Callable[..., Any]


@pytest.fixture(scope="package")
def start(python: Path, behind: Behind) -> Start:
    """`with start(command, host, *options, **server settings) as gate`: gone, whatever happens, after the block."""
    count = iter(range(1_000_000))

    @contextmanager
    def started(server: Server, host: str, *extra: str, **settings: Any) -> Iterator[Gate]:
        config = behind.configure(f"{next(count)}-{host}", **settings)
        port = free_port()
        arguments = [*server.command(f"{host}:app", port, server.workers), *extra]
        environment = {
            "PYTHONPATH": f"{HOSTS}:{ROOT}",
            "LLMGATE_CONFIG": str(config),
            "HOME": str(behind.folder),
            "PATH": f"{python.parent}:{os.environ['PATH']}",
        }
        command = [python, "-m", *arguments]
        output = config.with_suffix(".out")
        with running(command, output, behind.folder, graceful=False, **environment) as process:
            gate = Gate(behind, process, port, "" if host == "bare" else "/llm", config)
            wait_for(lambda: is_ready(gate), f"an answer of {' '.join(arguments)}")
            wait_for(lambda: gate.meet() >= server.workers, f"all workers of {' '.join(arguments)}")
            yield gate

    return started


def is_ready(gate: Gate) -> bool:
    assert gate.process.poll() is None, gate.said()
    try:
        return gate.get(f"{gate.prefix}/readyz")[0] == 200
    except OSError:
        return False
