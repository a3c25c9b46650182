"""What becomes of open streams when a server is told to stop."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from tests.helpers.server_processes import PATIENCE
from tests.servers.conftest import Gate, Start, Stream
from tests.servers.server_table import BARE, EVERY_WAY, SERVERS, WORKER, Server

pytestmark = pytest.mark.servers


def by_name(servers: Iterable[Server]) -> list[object]:
    return [pytest.param(server, id=server.name) for server in servers]


def fifty(gate: Gate) -> list[Stream]:
    streams = [gate.ask("hang") for _ in range(50)]
    for stream in streams:
        stream.until("content_block_delta")
    return streams


def assert_all_are_told_and_recorded(gate: Gate, streams: list[Stream]) -> None:
    for stream in streams:
        assert stream.rest()[-1:] == ["error"], gate.said()
        stream.leave()
    gate.process.wait(PATIENCE)
    outcomes = {record["request_id"]: record["outcome"] for record in gate.records()}
    assert outcomes == {stream.request_id: "shutdown" for stream in streams}


ALONE = replace(SERVERS[0], name="uvicorn --workers 1", workers=1)
"""One process, without a supervisor that takes the signal first."""


@pytest.mark.parametrize("server", by_name([ALONE, *(server for server in EVERY_WAY if server.drains)]))
def test_fifty_open_streams_are_told_and_recorded(start: Start, server: Server) -> None:
    with start(server, BARE, *server.patiently, drain={"signal": True, "after": 0.5}) as gate:
        streams = fifty(gate)
        gate.terminate()
        assert_all_are_told_and_recorded(gate, streams)


def test_our_gunicorn_worker_keeps_the_promise_without_a_signal_of_ours(start: Start) -> None:
    with start(WORKER, BARE, "--graceful-timeout", "5") as gate:
        streams = fifty(gate)
        gate.terminate()
        assert_all_are_told_and_recorded(gate, streams)


BOUNDS = {"uvicorn": "--timeout-graceful-shutdown", "gunicorn": "--graceful-timeout", "hypercorn": "--graceful-timeout"}
"""How long a server waits for connections; without an end where it is not told: an app cannot cut them."""


@pytest.mark.parametrize("server", by_name([ALONE, *(server for server in EVERY_WAY if server.drains)]))
def test_readers_that_have_stopped_do_not_keep_it(start: Start, server: Server) -> None:
    bound = BOUNDS.get(server.name.split()[0])
    options = [bound, "8"] if bound else server.patiently
    with start(server, BARE, *options, client_stall=600, drain={"signal": True, "after": 0.5}) as gate:
        streams = [gate.ask("flood") for _ in range(10)]
        gate.terminate()
        gate.process.wait(PATIENCE)
        outcomes = {record["request_id"]: record["outcome"] for record in gate.records()}
        assert outcomes == {stream.request_id: "shutdown" for stream in streams}, gate.said()
        for stream in streams:
            stream.leave()


@pytest.mark.parametrize("server", by_name(EVERY_WAY))
def test_what_a_server_does_by_itself(start: Start, server: Server) -> None:
    with start(server, BARE, *server.briefly) as gate:
        gate.behind.stepped.restart()
        stream = gate.ask("hello", model="stepped")
        stream.until("message_start")
        gate.terminate()
        if server.here == "waits":
            for _ in range(5):
                gate.behind.stepped.step()
                stream.until("content_block_delta")
        last = stream.rest()[-1]
        stream.leave()
        gate.process.wait(PATIENCE)
        records = [record["outcome"] for record in gate.records()]
    assert (last, records) == {
        "waits": ("message_stop", ["ok"]),
        "cancels": ("error", ["shutdown"]),
        "kills": ("cut", []),
    }[server.here], gate.said()
