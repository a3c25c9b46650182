"""Exactly one record, whatever happens, and before the end of the answer can be read: over real sockets."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
from contextlib import ExitStack, closing
from urllib.parse import urlsplit

import pytest

from asgi_llmgate.asgi.responses import refuse, respond
from asgi_llmgate.errors import NotAuthorized
from asgi_llmgate.testing.serving import serving
from asgi_llmgate.usage import AccessLog, UsageMiddleware

STREAM = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]}


def body(data=b"", more=False):
    return {"type": "http.response.body", "body": data, "more_body": more}


async def app(scope, receive, send):
    """One ending per path."""
    await ENDINGS[scope["path"]](scope, receive, send)


async def whole(scope, receive, send):
    await respond(send, 200, [], b"hello")


async def stream(scope, receive, send):
    await send(STREAM)
    for number in range(20):
        await send(body(b"data: %d\n\n" % number, more=True))
    await send(body())


async def refusal(scope, receive, send):
    await refuse(scope, receive, send, NotAuthorized("authorization failed"))


async def crash(scope, receive, send):
    raise ValueError


async def crash_in_stream(scope, receive, send):
    await send(STREAM)
    await send(body(b"data: 0\n\n", more=True))
    raise ValueError


async def crash_in_json(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send(body(b'{"half":', more=True))
    raise ValueError


async def upload(scope, receive, send):
    message = await receive()
    while message.get("more_body"):
        message = await receive()
    if message["type"] != "http.disconnect":
        await whole(scope, receive, send)


async def open_stream(scope, receive, send):
    await receive()
    await send(STREAM)
    await send(body(b"data: 0\n\n", more=True))
    assert (await receive())["type"] == "http.disconnect"


async def deaf_stream(scope, receive, send):
    """Does not listen for a disconnect: only a cancellation ends it."""
    await send(STREAM)
    await send(body(b"data: 0\n\n", more=True))
    await asyncio.Event().wait()


async def answer_then_listen(scope, receive, send):
    await receive()
    await whole(scope, receive, send)
    assert (await receive())["type"] == "http.disconnect"


ENDINGS = {
    f"/{function.__name__}": function
    for function in (
        whole, stream, refusal, crash, crash_in_stream, crash_in_json,
        upload, open_stream, deaf_stream, answer_then_listen,
    )
}  # fmt: skip


@pytest.fixture
def server(serve, sink):
    return urlsplit(serve(UsageMiddleware(app, sinks=[sink]), timeout_graceful_shutdown=0)).netloc


def connect(netloc: str) -> socket.socket:
    host, port = netloc.split(":")
    return socket.create_connection((host, int(port)), timeout=5)


def open_request(netloc: str, path: str, until: bytes) -> socket.socket:
    """A connection on which the answer has come as far as `until`."""
    connection = connect(netloc)
    connection.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    seen = b""
    while until not in seen:
        seen += connection.recv(4096)
    return connection


@pytest.mark.parametrize(
    ("path", "status", "outcome"),
    [
        ("/whole", 200, "ok"),
        ("/stream", 200, "ok"),
        ("/refusal", 403, "refused"),
        ("/crash", 500, "error"),
        ("/crash_in_stream", 200, "error"),
    ],
)
def test_the_line_is_written_before_the_client_can_read_the_end(serve, sink, tmp_path, path, status, outcome):
    file = tmp_path / "access.log"
    with closing(AccessLog(file=file)) as log:
        connection = http.client.HTTPConnection(urlsplit(serve(UsageMiddleware(app, sinks=[sink, log]))).netloc)
        with closing(connection):
            for count in range(1, 21):
                connection.request("POST", path, body=b"{}")
                answer = connection.getresponse()
                answer.read()
                assert (len(sink.records), file.read_bytes().count(b"\n")) == (count, count)
                assert answer.status == status
    assert sink.outcomes() == [outcome] * 20
    assert len({json.loads(line)["request_id"] for line in file.read_text().splitlines()}) == 20


def test_a_broken_stream_ends_cleanly_with_an_error_event(server, sink):
    with closing(http.client.HTTPConnection(server)) as connection:
        connection.request("GET", "/crash_in_stream")
        text = connection.getresponse().read().decode()
    assert text.startswith("data: 0\n\nevent: error\ndata: {")
    assert sink.only().request_id in text


def test_a_broken_json_answer_is_cut_off_and_not_passed_for_whole(server, sink):
    with closing(http.client.HTTPConnection(server)) as connection:
        connection.request("GET", "/crash_in_json")
        with pytest.raises(http.client.IncompleteRead):
            connection.getresponse().read()
    assert [record.outcome for record in sink.wait(1)] == ["error"]


def test_a_client_that_leaves_while_it_uploads(server, sink):
    with connect(server) as connection:
        connection.sendall(b"POST /upload HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc")
    (record,) = sink.wait(1)
    assert (record.outcome, record.status) == ("client_disconnect", 499)


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_a_client_that_leaves_during_the_answer(server, sink, reset):
    with open_request(server, "/open_stream", until=b"data: 0") as connection:
        assert sink.records == []
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    (record,) = sink.wait(1)
    assert (record.outcome, record.status, record.reason) == ("client_disconnect", 200, "ClientClosed")


def test_a_client_that_leaves_after_the_answer(server, sink):
    for _ in range(5):
        with open_request(server, "/answer_then_listen", until=b"hello"):
            pass
    assert sink.outcomes() == ["ok"] * 5


def test_fifty_streams_of_which_half_leave_and_half_are_shut_down(sink):
    middleware = UsageMiddleware(app, sinks=[sink])
    with ExitStack() as connections, serving(middleware, timeout_graceful_shutdown=0) as url:
        netloc = urlsplit(url).netloc
        for _ in range(25):
            connections.enter_context(open_request(netloc, "/deaf_stream", until=b"data: 0"))
        leaving = [open_request(netloc, "/open_stream", until=b"data: 0") for _ in range(25)]
        assert sink.records == []
        for connection in leaving:
            connection.close()
        assert [record.outcome for record in sink.wait(25)] == ["client_disconnect"] * 25
    assert sorted(sink.outcomes()) == ["client_disconnect"] * 25 + ["shutdown"] * 25
    assert len({record.request_id for record in sink.records}) == 50
