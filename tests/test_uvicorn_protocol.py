"""Clients that stop reading, over real sockets: they are given up, and no server that is to stop waits for them."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from asgi_llmgate import Gateway, UsageRecord
from asgi_llmgate.testing.model_script import Turn, say
from asgi_llmgate.testing.model_server import ModelServer
from asgi_llmgate.uvicorn_protocol import Closable, Protocol
from asgi_llmgate.workers import MARGIN
from tests.helpers.server_processes import Command, Folder, free_port, gunicorn, running, uvicorn, wait_for

FLOOD = say(" ".join(["x" * 65536] * 240))
"""More than the buffers between two sockets hold."""

READERS = 50


class Kept(list[UsageRecord]):
    """A sink."""

    def emit(self, record: UsageRecord) -> None:
        self.append(record)


@pytest.fixture
def folder(tmp_path: Path, serve: Callable[..., str]) -> Callable[..., Folder]:
    def make(*turns: Turn) -> Folder:
        model = ModelServer(turns)
        return Folder(tmp_path / "served", model, serve(model) + "/v1")

    return make


def asking(path: str = "/v1/messages") -> bytes:
    body = json.dumps(
        {"model": "m", "max_tokens": 50, "stream": True, "messages": [{"role": "user", "content": "hello"}]}
    ).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


@contextmanager
def stalled(url: str, count: int, path: str = "/v1/messages") -> Iterator[list[socket.socket]]:
    """Clients that have begun to read an answer and have stopped."""
    place = urlsplit(url)
    assert place.hostname is not None
    with ExitStack() as stack:
        readers = []
        for _ in range(count):
            reader = stack.enter_context(socket.socket())
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.settimeout(30)
            reader.connect((place.hostname, place.port))
            reader.sendall(asking(path))
            readers.append(reader)
        for reader in readers:
            assert reader.recv(1024).startswith(b"HTTP/1.1 200")
        yield readers


def uvicorn_for(grace: int) -> Command:
    return uvicorn("gateway:gateway", "--timeout-graceful-shutdown", str(grace))


def worker_for(grace: int) -> Command:
    ours = "asgi_llmgate.workers.UvicornWorker"
    return gunicorn("gateway:gateway", "--graceful-timeout", str(grace + MARGIN), worker=ours)


@contextmanager
def command_line(folder: Folder, grace: int) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """`llmgate serve`, which binds its port by itself."""
    port = free_port()
    start = "from asgi_llmgate.cli import main; main()"
    options = ["--port", str(port), "--graceful-timeout", str(grace)]
    command = [sys.executable, "-c", start, "serve", *options]
    with running(command, folder.path / "output.txt", folder.path) as process:
        wait_for(lambda: answers(port), "an answer of llmgate serve")
        yield f"http://127.0.0.1:{port}", process


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


@contextmanager
def started(folder: Folder, server: str, grace: int) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    if server == "llmgate serve":
        with command_line(folder, grace) as served:
            yield served
    else:
        with folder.serve({"uvicorn": uvicorn_for, "gunicorn": worker_for}[server](grace)) as url:
            yield url, folder.process


def stop(folder: Folder, server: str, grace: int, readers: int) -> None:
    """Tell a server to stop while clients do not read their answers: it ends, and each call has its record."""
    folder.settings(usage={"access_log": {"file": "access.log"}})
    with started(folder, server, grace) as (url, process), stalled(url, readers):
        process.terminate()
        process.wait(timeout=40)
        records = [json.loads(line) for line in (folder.path / "access.log").read_text("utf-8").splitlines()]
    assert [record["outcome"] for record in records] == ["shutdown"] * readers
    assert len({record["request_id"] for record in records}) == readers


def test_a_server_that_is_to_stop_does_not_wait_for_clients_that_do_not_read(folder: Callable[..., Folder]) -> None:
    stop(folder(FLOOD.always()), "llmgate serve", grace=1, readers=2)


@pytest.mark.servers
@pytest.mark.parametrize("server", ["uvicorn", "gunicorn", "llmgate serve"])
def test_nor_for_many_of_them(folder: Callable[..., Folder], server: str) -> None:
    stop(folder(FLOOD.always()), server, grace=5, readers=READERS)


class Transport:
    """Has this much to send still."""

    def __init__(self, unsent: int) -> None:
        self.unsent = unsent
        self.closed = 0
        self.aborted = 0
        self.written: list[bytes] = []

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return self.closed > 0

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def close(self) -> None:
        self.closed += 1

    def abort(self) -> None:
        self.aborted += 1


@pytest.mark.parametrize(("unsent", "times", "aborted"), [(0, 1, 0), (1, 1, 1), (1, 3, 1), (0, 3, 0)])
async def test_only_a_connection_with_something_left_to_send_is_cut(unsent: int, times: int, aborted: int) -> None:
    transport = Transport(unsent)
    closable = Closable(transport, 0)
    for _ in range(times):
        closable.close()
    await asyncio.sleep(0.01)
    assert (transport.closed, transport.aborted) == (times, aborted)
    assert closable.unsent == unsent


def test_nothing_is_written_to_a_connection_that_is_closed() -> None:
    """uvloop's transport raises then, into the app: https://github.com/MagicStack/uvloop/issues/685."""
    transport = Transport(0)
    closable = Closable(transport, 0)
    closable.write(b"a")
    closable.close()
    closable.write(b"b")
    assert transport.written == [b"a"]


def test_a_client_that_does_not_read_is_given_up_with_its_connection(
    serve: Callable[..., str],
) -> None:
    lost = threading.Semaphore(0)
    records = Kept()

    class Watched(Protocol):
        close_seconds = 0.05

        def connection_lost(self, error: Exception | None) -> None:
            super().connection_lost(error)
            lost.release()

    model = serve(ModelServer([FLOOD.always()]))
    gateway = Gateway.from_settings(
        {
            "auth": {"mode": "off"},
            "policy": {"default": "allow"},
            "backends": {"main": {"base_url": model + "/v1"}},
            "models": [{"match": "*", "use": "main/gpt-4o-mini"}],
            "server": {"client_stall": 0.05},
        },
        sinks=[records],
    )
    with stalled(serve(gateway, http=Watched), 2):
        for _ in range(2):
            assert lost.acquire(timeout=30)
    assert [record.outcome for record in records] == ["client_disconnect"] * 2


HEADS = {
    "one long header": b"x: " + b"y" * 200_000,
    "a header without an end": b"x: " + b"y" * 2_000_000,
    "a name without an end": b"x" * 2_000_000,
    "many headers": b"a: b\r\n" * 300,
    "a million equal headers": b"a: b\r\n" * 1_000_000,
    "many different headers": b"".join(b"a%d: b\r\n" % number for number in range(5_000)),
    "headers of a kilobyte": (b"a: " + b"b" * 1000 + b"\r\n") * 100,
    "cookies": b"cookie: a=" + b"b" * 100_000 + b"\r\n",
    "many cookies": b"cookie: a=b\r\n" * 300,
    "a long token": b"authorization: Bearer " + b"x" * 100_000 + b"\r\n",
    "folded lines": b"a: b\r\n" + b" c\r\n" * 100_000,
}


def exchange(url: str, *sent: bytes) -> bytes:
    """What a server answers until it closes the connection, or has answered for a second and a half."""
    place = urlsplit(url)
    assert place.hostname is not None
    with socket.create_connection((place.hostname, place.port or 0), 10) as connection:
        answer = b""
        with suppress(ConnectionError):
            for piece in sent:
                connection.sendall(piece)
        with suppress(ConnectionError):
            while piece := connection.recv(65536):
                answer += piece
        return answer


@pytest.fixture
def served(serve: Callable[..., str]) -> Callable[..., str]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 204, "headers": [(b"connection", b"close")]})
        await send({"type": "http.response.body", "body": b""})

    def start(**bounds: float) -> str:
        return serve(app, http=type("Bounded", (Protocol,), bounds), lifespan="off")

    return start


@pytest.mark.parametrize("name", HEADS)
def test_a_head_that_is_too_large_is_refused_before_it_has_ended(name: str, served: Callable[..., str]) -> None:
    answer = exchange(served(), b"GET / HTTP/1.1\r\nhost: x\r\n" + HEADS[name] + b"\r\n\r\n")
    assert answer.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 400 ")) or answer == b""  # where it was reset while writing


@pytest.mark.parametrize("length", [70_000, 500_000, 5_000_000])
def test_so_is_a_path(length: int, served: Callable[..., str]) -> None:
    answer = exchange(served(), b"GET /" + b"x" * length)
    assert answer.startswith(b"HTTP/1.1 431 ") or answer == b""


@pytest.mark.parametrize("trailer", [b"a: b\r\n" * 300, b"a: " + b"b" * 200_000])
def test_so_is_what_follows_a_body_in_chunks(trailer: bytes, served: Callable[..., str]) -> None:
    head = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n"
    assert b" 204 " not in exchange(served(), head + trailer)


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /" + b"x" * 8_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nauthorization: Bearer " + b"x" * 16_384 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"".join(b"x%d: y\r\n" % number for number in range(199)) + b"\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 1000000\r\n\r\n" + b"x" * 1_000_000,
        b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n" + b"f4240\r\n" + b"x" * 1_000_000 + b"\r\n0\r\n\r\n",
    ],
)
def test_what_honest_clients_send_is_taken(head: bytes, served: Callable[..., str]) -> None:
    assert exchange(served(), head).startswith(b"HTTP/1.1 204 ")
    half = len(head) // 2
    assert exchange(served(), head[:half], head[half:]).startswith(b"HTTP/1.1 204 ")


def test_a_connection_without_a_request_is_closed_after_a_while(served: Callable[..., str]) -> None:
    assert exchange(served(head_seconds=0.05)).startswith(b"HTTP/1.1 408 ")


def test_so_is_one_whose_headers_do_not_end(served: Callable[..., str]) -> None:
    assert exchange(served(head_seconds=0.05), b"GET / HTTP/1.1\r\nhost: x\r\n").startswith(b"HTTP/1.1 408 ")


def test_a_request_that_is_being_answered_is_not_cut_for_the_head_behind_it(serve: Callable[..., str]) -> None:
    asked = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await asyncio.to_thread(asked.wait, 10)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    class Hasty(Protocol):
        head_seconds = 0.05
        expired = 0

        def _head_timed_out(self) -> None:
            type(self).expired += 1
            if self.expired == 3:
                asked.set()
            super()._head_timed_out()

    url = serve(app, http=Hasty, lifespan="off")
    answer = exchange(url, b"GET / HTTP/1.1\r\nhost: x\r\n\r\nGET / HTTP/1.1\r\nhost")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"\r\n\r\nok" in answer
    assert b"HTTP/1.1 408 " in answer


def test_many_requests_in_one_piece_are_answered(serve: Callable[..., str]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        last = scope["path"] == "/last"
        await send({"type": "http.response.start", "status": 204, "headers": [(b"connection", b"close")] * last})
        await send({"type": "http.response.body", "body": b""})

    one = b"GET /x HTTP/1.1\r\nhost: x\r\nuser-agent: " + b"a" * 100 + b"\r\n\r\n"
    answer = exchange(serve(app, http=Protocol, lifespan="off"), one * 3_000 + one.replace(b"/x", b"/last"))
    assert answer.count(b"HTTP/1.1 204 ") == 3_001


@pytest.mark.parametrize("behind", [b"GET / HTTP/1.1\r\nx: " + b"y" * 200_000, b"a: b\r\n" * 300, b"no HTTP\r\n\r\n"])
def test_no_refusal_stands_in_the_middle_of_another_answer(behind: bytes, serve: Callable[..., str]) -> None:
    started = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        started.set()
        while (await receive())["type"] != "http.disconnect":
            pass

    place = urlsplit(serve(app, http=Protocol, lifespan="off"))
    with socket.create_connection((place.hostname or "", place.port or 0), 10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert started.wait(10)
        answer = b""
        with suppress(ConnectionError):
            connection.sendall(behind)
            while piece := connection.recv(65536):
                answer += piece
    assert answer.startswith(b"HTTP/1.1 200 ") or not answer
    assert answer.count(b"HTTP/1.1 ") <= 1


async def old_app(scope: Any, receive: Any, send: Any) -> None:
    """A response whose length is stated (/length), or not; in several parts, of which one is empty."""
    fields = [(b"content-length", b"12")] if scope["path"] == "/length" else []
    await send({"type": "http.response.start", "status": 204 if scope["path"] == "/none" else 200, "headers": fields})
    for part in () if scope["path"] == "/none" else (b"0\r\n\r\n", b"", b"5\r\nabcd"[:7]):
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


@pytest.mark.parametrize("path", ["/", "/length", "/none"])
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_client_of_http_1_0_gets_no_chunk_sizes(
    serve: Callable[..., str], version: str, method: str, path: str
) -> None:
    if not hasattr(Protocol, "on_url"):
        pytest.skip("h11 knows HTTP/1.0")
    place = urlsplit(serve(old_app, http=Protocol, lifespan="off"))
    with socket.create_connection((place.hostname, place.port), 10) as client:
        client.sendall(f"{method} {path} HTTP/{version}\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
        received = b"".join(iter(lambda: client.recv(65536), b""))
    head, _, body = received.partition(b"\r\n\r\n")
    chunked = version == "1.1" and path == "/" and method != "HEAD"
    assert (b"transfer-encoding" in head.lower()) is chunked
    content = b"" if method == "HEAD" or path == "/none" else b"0\r\n\r\n5\r\nabcd"
    assert body == (b"5\r\n0\r\n\r\n\r\n7\r\n5\r\nabcd\r\n0\r\n\r\n" if chunked else content)
