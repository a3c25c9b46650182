"""Every server with every host: one process each, the checks one after the other, the last of which ends it."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from asgi_llmgate.testing.model_server import ModelServer
from tests.helpers.installation import run
from tests.helpers.server_processes import PATIENCE
from tests.servers.conftest import Gate, Start
from tests.servers.server_table import BARE, HOSTS, SERVERS, Server

pytestmark = pytest.mark.servers

PAIRS = [
    pytest.param((server, module), id=f"{server.name}, {host}")
    for server in SERVERS
    for host, module in {**HOSTS, "no host": BARE}.items()
]


@pytest.fixture(scope="module", params=PAIRS)
def pair(request: pytest.FixtureRequest) -> tuple[Server, str]:
    found: tuple[Server, str] = request.param
    return found


@pytest.fixture(scope="module")
def server(pair: tuple[Server, str]) -> Server:
    return pair[0]


@pytest.fixture(scope="module")
def gate(pair: tuple[Server, str], start: Start) -> Iterator[Gate]:
    server, host = pair
    with start(server, host, body_timeout=0.5, client_stall=0.5, drain={"signal": True, "after": 0.2}) as gate:
        yield gate


@pytest.fixture
def model(gate: Gate) -> ModelServer:
    gate.behind.model.requests.clear()
    return gate.behind.model


def test_a_call_is_answered_and_the_hosts_own_page_too(gate: Gate) -> None:
    answer = gate.ask("hello", stream=False)
    message = json.loads(answer.response.read())
    answer.leave()
    assert (message["type"], message["stop_reason"]) == ("message", "end_turn")
    record = gate.record(answer.request_id)
    assert (record["outcome"], record["path"]) == ("ok", f"{gate.prefix}/v1/messages")
    assert gate.get("/pid")[0] == 200


def test_a_body_that_stops_coming_is_refused_and_its_connection_closed(server: Server, gate: Gate) -> None:
    if server.slow_upload == "unseen":
        pytest.skip("it calls the gateway when it has the whole body")
    with socket.create_connection(("127.0.0.1", gate.port), timeout=PATIENCE) as client:
        fields = {"host": "x", "content-length": "1000", **gate.headers()}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        client.sendall(f"POST {gate.prefix}/v1/messages HTTP/1.1\r\n{head}\r\n{{".encode())
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 408 "), answer
    assert gate.records()[-1]["status"] == 408


def test_events_arrive_one_by_one(gate: Gate) -> None:
    stepped = gate.behind.stepped
    stepped.restart()
    stream = gate.ask("hello", model="stepped")
    words = []
    for _ in range(5):
        stepped.step()
        words.append(stream.until("content_block_delta")["delta"]["text"].strip())
    assert words == ["one", "two", "three", "four", "five"]
    assert stream.rest() == ["content_block_stop", "message_delta", "message_stop"]
    stream.leave()
    assert gate.record(stream.request_id)["outcome"] == "ok"


def test_a_client_that_leaves_ends_the_call_to_the_model(gate: Gate, model: ModelServer) -> None:
    stream = gate.ask("hang")
    stream.until("content_block_delta")
    stream.leave()
    assert model.requests[0].gone.wait(PATIENCE)
    assert gate.record(stream.request_id)["outcome"] == "client_disconnect"


def test_nodes_fetch_can_read_why_an_upload_was_refused(gate: Gate) -> None:
    url = f"http://127.0.0.1:{gate.port}{gate.prefix}/v1/messages"
    seen = json.loads(run("node", Path(__file__).parent / "upload.mjs", url, "5", timeout=PATIENCE))
    assert seen == [[401, "authentication failure: no bearer token found"]] * 5


def test_a_reader_that_has_stalled_is_released(gate: Gate, server: Server) -> None:
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(PATIENCE)
        client.connect(("127.0.0.1", gate.port))
        body = gate.body("flood")
        lines = [f"POST {gate.prefix}/v1/messages HTTP/1.1", "host: x", f"content-length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in gate.headers().items()]
        client.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(1)
        request_id = head.lower().partition(b"request-id: ")[2].partition(b"\r\n")[0].decode()
        outcome = gate.record(request_id)["outcome"]
    assert outcome == {"released": "client_disconnect", "buffered": "ok"}[server.stalled]


def test_two_workers_answer(gate: Gate, server: Server) -> None:
    assert len(gate.workers) == server.workers


def test_sigterm_in_a_stream(gate: Gate, model: ModelServer) -> None:
    stream = gate.ask("hang")
    stream.until("content_block_delta")
    gate.terminate()
    assert stream.rest()[-1:] == ["error"], gate.said()
    stream.leave()
    assert model.requests[0].gone.wait(PATIENCE)
    assert gate.record(stream.request_id)["outcome"] == "shutdown"
    try:
        gate.process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        raise AssertionError(gate.said()) from None
