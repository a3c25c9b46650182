"""HTTP/2 without TLS, where a server speaks it: several streams on one connection, and one of them reset."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import h2.config
import h2.connection
import h2.errors
import h2.events
import pytest

from tests.helpers.server_processes import PATIENCE
from tests.servers.conftest import Gate, Start
from tests.servers.server_table import BARE, SERVERS, Server

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module", params=[pytest.param(s, id=s.name) for s in SERVERS if s.http2])
def gate(request: pytest.FixtureRequest, start: Start) -> Iterator[Gate]:
    server: Server = request.param
    with start(server, BARE) as gate:
        yield gate


class Connection:
    """A client that knows beforehand that the server speaks HTTP/2."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._socket = socket.create_connection(("127.0.0.1", gate.port), timeout=PATIENCE)
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self._h2.initiate_connection()
        self.headers: dict[int, dict[str, str]] = {}
        self.bodies: dict[int, str] = {}
        self.ended: set[int] = set()

    def ask(self, prompt: str, *, model: str = "claude-opus-5", stream: bool = True) -> int:
        """The number of the new stream."""
        number = self._h2.get_next_available_stream_id()
        head = {":method": "POST", ":path": "/v1/messages", ":scheme": "http", ":authority": "gate"}
        self._h2.send_headers(number, [*head.items(), *self._gate.headers().items()])
        self._h2.send_data(number, self._gate.body(prompt, model=model, stream=stream), end_stream=True)
        self.bodies[number] = ""
        self._flush()
        return number

    def until(self, number: int, text: str) -> None:
        """Read until a stream has said something."""
        while text not in self.bodies[number]:
            assert number not in self.ended, self.bodies[number]
            self._receive()

    def until_the_end(self, number: int) -> str:
        while number not in self.ended:
            self._receive()
        return self.bodies[number]

    def reset(self, number: int) -> None:
        self._h2.reset_stream(number, h2.errors.ErrorCodes.CANCEL)
        self._flush()

    def _receive(self) -> None:
        data = self._socket.recv(65536)
        assert data, "the server has closed the connection"
        for event in self._h2.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                self.headers[event.stream_id] = dict(event.headers)
            elif isinstance(event, h2.events.DataReceived):
                self.bodies[event.stream_id] += event.data.decode()
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
                self.ended.add(event.stream_id)
        self._flush()

    def _flush(self) -> None:
        self._socket.sendall(self._h2.data_to_send())

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()


def test_calls_and_streams_share_a_connection(gate: Gate) -> None:
    stepped = gate.behind.stepped
    stepped.restart()
    with Connection(gate) as connection:
        stream = connection.ask("hello", model="stepped")
        for word in ("one", "two", "three", "four", "five"):
            stepped.step()
            connection.until(stream, word)
            if word == "three":
                message = json.loads(connection.until_the_end(connection.ask("hello", stream=False)))
                assert message["stop_reason"] == "end_turn"
        assert connection.until_the_end(stream).rstrip().endswith('data: {"type":"message_stop"}')
        assert connection.headers[stream][":status"] == "200"
        assert gate.record(connection.headers[stream]["request-id"])["outcome"] == "ok"


def test_a_stream_that_is_reset_ends_the_call_to_the_model_and_no_other(gate: Gate) -> None:
    stepped = gate.behind.stepped
    stepped.restart()
    gate.behind.model.requests.clear()
    with Connection(gate) as connection:
        going_on = connection.ask("hello", model="stepped")
        hanging = connection.ask("hang")
        connection.until(hanging, "content_block_delta")
        connection.reset(hanging)
        assert gate.behind.model.requests[0].gone.wait(PATIENCE)
        record = gate.record(connection.headers[hanging]["request-id"])
        assert record["outcome"] == "client_disconnect"
        for _ in range(5):
            stepped.step()
        assert "message_stop" in connection.until_the_end(going_on)
