"""The access log of real server processes: neither silent nor doubled, whole under several workers, through rotations
and at the end of a worker's life."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from asgi_llmgate.testing.model_script import say
from tests.helpers.server_processes import Command, Folder, gunicorn, uvicorn

ASK = {"model": "claude-opus-5-5", "max_tokens": 50, "messages": [{"role": "user", "content": "hello"}]}

HOST = """
from asgi_llmgate import mount
from gateway import gateway, home

app = mount(home, "/llm", gateway)
"""

DJANGO = """
from django.conf import settings

settings.configure(SECRET_KEY="x", ALLOWED_HOSTS=["*"], ROOT_URLCONF="urls", DEBUG={debug}, LOGGING={logging})

from django.core.asgi import get_asgi_application

from asgi_llmgate import mount
from gateway import gateway

app = mount(get_asgi_application(), "/llm", gateway)
"""

CONSOLE = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "INFO"},
}

URLS = """
from django.http import HttpResponse
from django.urls import path

urlpatterns = [path("", lambda request: HttpResponse("the company's own app"))]
"""

BASIC = "import logging\nlogging.basicConfig(level=logging.INFO)\n" + HOST

more = pytest.mark.servers

SERVERS = [
    pytest.param(uvicorn("hosted:app"), HOST, id="uvicorn"),
    pytest.param(uvicorn("hosted:app", "--no-access-log"), HOST, id="uvicorn without its access log", marks=more),
    pytest.param(uvicorn("hosted:app", "--workers", "2"), HOST, id="uvicorn with workers", marks=more),
    pytest.param(uvicorn("hosted:app"), BASIC, id="uvicorn, a host with a root handler"),
    pytest.param(gunicorn("hosted:app"), HOST, id="gunicorn with uvicorn's worker"),
    pytest.param(gunicorn("hosted:app", worker="asgi"), HOST, id="gunicorn with its own worker", marks=more),
    pytest.param(gunicorn("hosted:app", "--access-logfile", "-"), HOST, id="gunicorn with an access log", marks=more),
    pytest.param(["-m", "hypercorn", "hosted:app", "--bind", "fd://{fd}"], HOST, id="hypercorn", marks=more),
    pytest.param(uvicorn("hosted:app"), DJANGO.format(debug=False, logging={}), id="django's own logging"),
    pytest.param(
        uvicorn("hosted:app"), DJANGO.format(debug=True, logging=CONSOLE), id="django with a console", marks=more
    ),
    pytest.param(
        gunicorn("hosted:app"), DJANGO.format(debug=False, logging=CONSOLE), id="django under gunicorn", marks=more
    ),
]


@pytest.mark.parametrize(("command", "host"), SERVERS)
def test_each_request_is_one_line_whatever_the_server(folder: Any, command: Command, host: str) -> None:
    place: Folder = folder()
    place.write("hosted.py", host)
    place.write("urls.py", URLS)
    with place.serve(command) as url, httpx.Client(timeout=60) as client:
        answers = [client.post(url + "/llm/v1/messages", json=ASK) for _ in range(3)]
        answers.append(client.post(url + "/llm/v1/messages", content=b"{"))
        assert client.get(url + "/").text == "the company's own app"
    assert [answer.status_code for answer in answers] == [200, 200, 200, 400]
    lines = [line for line in place.printed.splitlines() if '"request_id"' in line]
    for answer in answers:
        assert sum(answer.headers["request-id"] in line for line in lines) == 1, place.printed
    assert len(lines) == 4
    assert "Logging error" not in place.printed


def log_of(*files: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for file in files for line in file.read_text("ascii").splitlines()]


def test_lines_of_several_workers_are_whole_and_survive_rotation(folder: Any) -> None:
    place: Folder = folder()
    place.write("hosted.py", HOST)
    place.settings(usage={"access_log": {"file": "access.log"}})
    log, old, older = (place.path / name for name in ("access.log", "access.log.1", "access.log.2"))

    def ask(number: int) -> str:
        headers = {"user-agent": f"agent {number} " + "x" * 10_000}
        return httpx.post(f"{url}/llm/v1/messages", json=ASK, headers=headers, timeout=60).headers["request-id"]

    with place.serve(gunicorn("hosted:app", workers=2)) as url, ThreadPoolExecutor(8) as pool:
        asked = list(pool.map(ask, range(40)))
        os.rename(log, old)  # logrotate's default; `create` comes below
        asked += pool.map(ask, range(40))
        os.rename(log, older)
        log.touch()
        asked += pool.map(ask, range(40))
    assert sorted(record["request_id"] for record in log_of(old, older, log)) == sorted(asked)
    assert [len(log_of(file)) for file in (old, older, log)] == [40, 40, 40]


def test_a_log_that_is_copied_and_cut_goes_on_at_its_beginning(folder: Any) -> None:
    """logrotate's copytruncate"""
    place: Folder = folder()
    place.write("hosted.py", HOST)
    place.settings(usage={"access_log": {"file": "access.log"}})
    log = place.path / "access.log"
    with place.serve(uvicorn("hosted:app")) as url:
        httpx.post(f"{url}/llm/v1/messages", json=ASK, timeout=60)
        assert len(log_of(log)) == 1
        os.truncate(log, 0)
        httpx.post(f"{url}/llm/v1/messages", json=ASK, timeout=60)
    assert len(log_of(log)) == 1
    assert log.read_bytes()[:1] == b"{"


@pytest.fixture
def streams() -> Iterator[Any]:
    """`streams(url, count)`: connections on which the answer has begun."""
    with ExitStack() as stack:

        def start(url: str, count: int) -> list[socket.socket]:
            netloc, body = urlsplit(url).netloc, json.dumps({**ASK, "stream": True})
            host, port = netloc.split(":")
            head = f"POST /llm/v1/messages HTTP/1.1\r\nhost: {netloc}\r\ncontent-type: application/json\r\n"
            connections = []
            for _ in range(count):
                connection = stack.enter_context(socket.create_connection((host, int(port)), timeout=60))
                connection.sendall(f"{head}content-length: {len(body)}\r\n\r\n{body}".encode())
                connections.append(connection)
            for connection in connections:
                seen = b""
                while b"content_block_delta" not in seen:
                    seen += connection.recv(4096)
            return connections

        yield start


def test_a_worker_that_is_told_to_stop_leaves_a_record_of_each_of_fifty_open_streams(folder: Any, streams: Any) -> None:
    place: Folder = folder(say("one two three four").stall(after=2).always())
    place.write("hosted.py", HOST)
    place.settings(usage={"access_log": {"file": "access.log"}})
    with place.serve(uvicorn("hosted:app", "--timeout-graceful-shutdown", "1")) as url:
        connections = streams(url, 50)
        assert not (place.path / "access.log").exists()
        place.process.send_signal(signal.SIGTERM)
        for connection in connections:
            rest = b""
            while piece := connection.recv(65536):
                rest += piece
            assert b"message_stop" not in rest
    records = log_of(place.path / "access.log")
    assert [record["outcome"] for record in records] == ["shutdown"] * 50
    assert len({record["request_id"] for record in records}) == 50
    assert {record["gen_ai.request.model"] for record in records} == {"gpt-4o-mini"}
    assert all(request.gone.wait(60) for request in place.model.requests)


def test_nothing_of_telemetry_is_imported_unless_it_is_asked_for(folder: Any) -> None:
    place: Folder = folder()
    place.write(
        "hosted.py",
        """
        import sys
        from gateway import gateway as app

        print(sorted({name.split(".")[0] for name in sys.modules} & {"opentelemetry", "prometheus_client"}))
        """,
    )
    with place.serve(uvicorn("hosted:app")) as url:
        assert httpx.post(f"{url}/v1/messages", json=ASK, timeout=60).status_code == 200
    assert re.search(r"^\[\]$", place.printed, re.MULTILINE), place.printed
