"""What an answer may cost the gateway: bounded by a setting, whatever the model server sends, and nothing for what has
gone out."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import chain, repeat
from typing import Any

import httpx
import pytest

from asgi_llmgate import Backend, Exchange, Gateway, HTTPClient, ModelRow, ModelTable, TranslationApp
from asgi_llmgate.route import Route
from asgi_llmgate.routing.routes import ROUTES
from asgi_llmgate.testing.driver import Reply, call
from asgi_llmgate.testing.grammar import check_stream
from asgi_llmgate.testing.model_script import Turn, raw
from asgi_llmgate.testing.model_server import ModelServer
from asgi_llmgate.usage import UsageMiddleware
from tests.helpers.counted_work import peak

Serve = Callable[..., str]
PATHS = {**ROUTES, "/v1/chat/completions": Route("completions"), "/v1/embeddings": Route("passthrough", "model")}
LIMIT = 300_000
WORDS = "all work and no play makes Jack a dull boy, " * 90


def event(data: Any) -> bytes:
    return f"data: {json.dumps(data)}\n\n".encode()


def said(finish: str | None = None, **delta: Any) -> bytes:
    return event({"id": "c1", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


def arguments(text: str, **named: Any) -> bytes:
    return said(tool_calls=[{"index": 0, "function": {"arguments": text, **named}}])


END = said("stop") + b"data: [DONE]\n\n"


class Endless(httpx.AsyncByteStream):
    """A model server's answer, made while it is read: how much of it has been is `given`."""

    def __init__(self, pieces: Iterator[bytes], total: int = 20_000_000) -> None:
        self.given = 0
        self._pieces = pieces
        self._total = total

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            self.given += len(piece)
            yield piece
            if self.given > self._total:
                return
            await asyncio.sleep(0)


class Gate:
    """The app in front of one answer, and the records of its calls."""

    def __init__(self, answer: Endless, headers: dict[str, str], **options: Any) -> None:
        self.answer = answer
        self.records: list[Any] = []
        self.headers: dict[bytes, bytes] = {}
        transport = httpx.MockTransport(lambda _: httpx.Response(200, headers=headers, stream=answer))
        self.client = HTTPClient(transport=transport)
        models = ModelTable([ModelRow("*", ("model/m",), max_output_tokens=1000)], {"model": "openai"})
        app = TranslationApp(
            {"model": Backend(base_url="http://model.test/v1")},
            models=models,
            routes=PATHS,
            client=self.client,
            answer_limit=LIMIT,
            **options,
        )
        self.app = UsageMiddleware(app, sinks=[self])

    def emit(self, record: Any) -> None:
        self.records.append(record)

    async def ask(self, path: str = "/v1/messages", *, stream: bool = True) -> tuple[int, list[bytes]]:
        """The status, and the last pieces of the answer: a client that keeps nothing."""
        body = json.dumps(
            {"model": "m", "max_tokens": 1000, "stream": stream, "messages": [{"role": "user", "content": "hello"}]}
        ).encode()
        messages = [{"type": "http.request", "body": body, "more_body": False}]
        last: list[bytes] = []
        status = 0

        async def receive() -> Any:
            return messages.pop() if messages else await asyncio.Event().wait()

        async def send(message: Any) -> None:
            nonlocal status
            status = message.get("status", status)
            self.headers.update(message.get("headers", ()))
            if message.get("body"):
                last[:] = [*last[-1:], message["body"]]

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": [(b"content-type", b"application/json")],
        }
        await self.app(scope, receive, send)
        return status, last


def run(gate: Gate, **asked: Any) -> tuple[int, list[bytes]]:
    async def both() -> tuple[int, list[bytes]]:
        try:
            return await gate.ask(**asked)
        finally:
            await gate.client.aclose()

    return asyncio.run(both())


SSE = {"content-type": "text/event-stream"}
JSON = {"content-type": "application/json"}

ENDLESS: dict[str, Callable[[], Iterator[bytes]]] = {
    "text": lambda: repeat(said(content=WORDS)),
    "text in small pieces": lambda: repeat(said(content="ab" * 9) * 30),
    "thinking": lambda: repeat(said(reasoning=WORDS)),
    "comments": lambda: chain([said(content="a")], repeat(b": still here, " * 40 + b"\n\n")),
}
KEPT: dict[str, Callable[[], Iterator[bytes]]] = {
    "arguments": lambda: chain([arguments('{"a":"', name="A")], repeat(arguments(WORDS))),
    "text behind a call": lambda: chain([arguments('{"a":"', name="A")], repeat(said(content=WORDS))),
    "a line": lambda: chain([b"data: "], repeat(WORDS.encode())),
    "lines of an event": lambda: chain([b"data: a\n"], repeat(b"data: a\n" * 500)),
}


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions", "/v1/embeddings"])
@pytest.mark.parametrize("shape", ENDLESS)
def test_deltas_that_have_gone_out_are_not_kept(shape: str, path: str) -> None:
    gate = Gate(Endless(ENDLESS[shape](), 1_500_000), SSE)
    assert peak(lambda: run(gate, path=path)) < 1_200_000
    assert gate.answer.given > 1_500_000
    assert len(gate.records) == 1


def test_twenty_megabytes_of_deltas_are_not_kept() -> None:
    gate = Gate(Endless(ENDLESS["text"](), 20_000_000), SSE)
    assert peak(lambda: run(gate)) < 4_000_000


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("shape", KEPT)
def test_what_is_kept_of_a_stream_ends_it_at_the_limit(shape: str, stream: bool) -> None:
    gate = Gate(Endless(KEPT[shape]()), SSE)
    answers: list[Any] = []
    assert peak(lambda: answers.append(run(gate, stream=stream))) < 12 * LIMIT
    status, last = answers[0]
    assert gate.answer.given < 5 * LIMIT
    assert status == (200 if stream and shape == "arguments" else status)
    assert b'"type":"api_error"' in last[-1]
    assert status in (200, 502)
    (record,) = gate.records
    assert record.error_type in ("ResponseTooLarge", "Broken")


@pytest.mark.parametrize("shape", ["text", "text in small pieces", "thinking"])
def test_a_stream_that_becomes_one_message_has_a_limit(shape: str) -> None:
    gate = Gate(Endless(ENDLESS[shape](), 6_000_000), SSE)
    answers: list[Any] = []
    assert peak(lambda: answers.append(run(gate, stream=False))) < 12 * LIMIT
    status, last = answers[0]
    if shape == "thinking":  # nobody asked for it, so it is not kept
        assert gate.answer.given > LIMIT
        return
    assert gate.answer.given < 15 * LIMIT
    assert status == 502
    assert gate.headers[b"x-should-retry"] == b"false"
    assert json.loads(last[-1])["error"] == {
        "type": "api_error",
        "message": f"the model server's response is too large: more than {LIMIT} bytes of it would have to be kept",
    }
    (record,) = gate.records
    assert (record.outcome, record.error_type) == ("upstream_error", "ResponseTooLarge")


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions"])
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("piece", [b"ab" * 50, b"x" * 5000], ids=["small pieces", "large pieces"])
def test_a_document_has_a_limit(path: str, stream: bool, piece: bytes) -> None:
    gate = Gate(Endless(chain([b'{"id":"'], repeat(piece))), JSON)
    answers: list[Any] = []
    assert peak(lambda: answers.append(run(gate, path=path, stream=stream))) < 12 * LIMIT
    assert gate.answer.given < 2 * LIMIT
    assert answers[0][0] == 502
    assert len(gate.records) == 1


def test_a_compressed_answer_is_counted_as_what_it_becomes() -> None:
    bomb = gzip.compress(b'{"id":"' + b"x" * 30_000_000)
    gate = Gate(Endless(iter([bomb])), {**JSON, "content-encoding": "gzip"})
    answers: list[Any] = []
    assert peak(lambda: answers.append(run(gate, stream=False))) < 12 * LIMIT
    assert answers[0][0] == 502


def test_a_compressed_stream_is_told_in_pieces() -> None:
    bomb = gzip.compress(said(content=WORDS) * 3000 + END)
    gate = Gate(Endless(iter([bomb])), {**SSE, "content-encoding": "gzip"})
    assert peak(lambda: run(gate)) < 12 * LIMIT
    assert gate.records[0].outcome == "ok"


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions"])
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize(
    "before",
    [said(content="Hi") + END, event({"error": {"message": "busy", "code": 503}}), b"data: junk\n\n"],
    ids=["an end", "an error", "junk"],
)
def test_a_server_that_goes_on_after_the_end_is_left(path: str, stream: bool, before: bytes) -> None:
    gate = Gate(Endless(chain([before], repeat(b": on and on\n" * 100))), SSE)
    run(gate, path=path, stream=stream)
    assert gate.answer.given < 200_000
    assert len(gate.records) == 1


@pytest.fixture
async def ask(serve: Serve) -> Any:
    """`ask(turn, stream) -> (reply, exchange)`, over a real socket."""
    apps: list[TranslationApp] = []

    async def asking(turn: Turn, stream: bool, path: str = "/v1/messages") -> tuple[Reply, Exchange]:
        models = ModelTable([ModelRow("*", ("model/m",), max_output_tokens=1000)], {"model": "openai"})
        backends = {"model": Backend(base_url=serve(ModelServer([turn])) + "/v1")}
        apps.append(TranslationApp(backends, models=models, routes=PATHS))
        kept = Exchange()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            nonlocal kept
            scope, kept = Exchange.enter(scope)
            await apps[-1](scope, receive, send)

        body = {"model": "m", "max_tokens": 1000, "stream": stream, "messages": [{"role": "user", "content": "hello"}]}
        return await call(app, "POST", path, json=body), kept

    yield asking
    for app in apps:
        await app.aclose()


async def test_the_limit_is_a_setting(serve: Serve) -> None:
    base_url = serve(ModelServer([raw(said(content=WORDS) * 10 + END).always()])) + "/v1"
    settings = {
        "backends": {"model": {"base_url": base_url}},
        "models": [{"match": "*", "use": "model/m"}],
        "auth": {"mode": "off"},
        "policy": {"default": "allow"},
    }
    body = {"model": "m", "max_tokens": 20_000, "messages": [{"role": "user", "content": "hello"}]}
    for limit, status in (("8kB", 502), ("1MiB", 200)):
        async with Gateway.from_settings({**settings, "server": {"answer_limit": limit}}) as gateway:
            reply = await call(gateway, "POST", "/v1/messages", json=body)
        assert reply.status == status
    assert reply.headers.get("x-should-retry") is None


STREAM = said(content="Hi ") + said(content="there.") + END
DOCUMENT = json.dumps(
    {
        "id": "c1",
        "model": "m",
        "choices": [{"index": 0, "message": {"content": "Hi there."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 3},
    }
).encode()


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (STREAM, "text/event-stream"),
        (STREAM, "Text/Event-Stream"),
        (STREAM, "TEXT/EVENT-STREAM;CHARSET=UTF-8"),
        (STREAM, "text/event-stream ; charset=utf-8"),
        (STREAM, "application/json"),
        (STREAM, "application/x-ndjson"),
        (STREAM, "text/plain; charset=utf-8"),
        (STREAM, ""),
        (b"\n\n" + STREAM, "application/json"),
        (b": hello\n\n" + STREAM, "application/octet-stream"),
        (DOCUMENT, "application/json"),
        (DOCUMENT, "Application/JSON; Charset=utf-8"),
        (DOCUMENT, "text/event-stream"),
        (DOCUMENT + b"data: [DONE]\n\n", "text/event-stream"),
        (b"\n \n" + DOCUMENT, "application/json"),
        (DOCUMENT, "text/plain"),
        (DOCUMENT, ""),
    ],
)
async def test_an_answer_is_read_for_what_it_is(ask: Any, body: bytes, content_type: str, stream: bool) -> None:
    reply, exchange = await ask(raw(body, content_type=content_type), stream)
    assert reply.status == 200
    message = check_stream(reply.body) if stream else reply.json()
    assert [block["text"] for block in message["content"]] == ["Hi there."]
    assert exchange.outcome == "ok"


@pytest.mark.parametrize("content_type", ["text/event-stream", "application/json"])
@pytest.mark.parametrize("body", [b"", b"\n", b"<html>busy</html>", b'{"id":'])
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_what_is_no_answer_is_an_error_whatever_it_is_called(
    ask: Any, body: bytes, content_type: str, stream: bool
) -> None:
    reply, exchange = await ask(raw(body, content_type=content_type), stream)
    assert (reply.status, reply.json()["error"]["type"]) == (502, "api_error")
    assert exchange.outcome == "upstream_error"


async def test_a_stream_is_no_answer_to_an_openai_client_that_waits_for_a_document(ask: Any) -> None:
    reply, _ = await ask(raw(STREAM), False, "/v1/chat/completions")
    assert reply.status == 502
    assert reply.json()["error"]["message"] == "the model server streamed a response that should be one JSON document"
