"""What the paths other than the translated call do, with real servers behind them; Anthropic's wire is spoken by a
TranslationApp of our own, which another one takes for its native backend."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import pytest

from asgi_llmgate import Backend, Exchange, Gateway, ModelRow, ModelTable, TranslationApp
from asgi_llmgate.endpoints.passthrough import upstream_path
from asgi_llmgate.errors import ShuttingDown
from asgi_llmgate.net import StaticSecret
from asgi_llmgate.protocol.servers.dialects import DIALECTS
from asgi_llmgate.route import Route
from asgi_llmgate.routing.routes import ROUTES
from asgi_llmgate.secret_values import Secret
from asgi_llmgate.testing.driver import Driver, Reply, call
from asgi_llmgate.testing.grammar import check_stream
from asgi_llmgate.testing.model_script import Turn, refuse, say
from asgi_llmgate.testing.model_script import call as tool_call
from asgi_llmgate.testing.model_server import ModelServer

Serve = Callable[..., str]

# read-only: a test that changed it would change it for the tests that run after it in the same process
PATHS = MappingProxyType(
    {
        **ROUTES,
        "/v1/chat/completions": Route("completions"),
        "/forwarded/v1/chat/completions": Route("passthrough", "model"),
        "/openai/v1/models": Route("openai_models"),
        "/v1/embeddings": Route("passthrough", "model"),
        "/files": Route("passthrough", "model"),
    }
)
HELLO: Any = [{"role": "user", "content": "hello"}]
MESSAGES = {"model": "claude-opus-5", "max_tokens": 200, "messages": HELLO}
CHAT = {"model": "gpt", "messages": HELLO}


class Spy:
    """Keeps what an ASGI app is asked, and the exchange in front of it."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.exchange = Exchange()
        self.scope: dict[str, Any] = {}
        self.body = b""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        scope, self.exchange = Exchange.enter(scope)
        self.scope, self.body = scope, b""

        async def listening() -> Any:
            message = await receive()
            self.body += message.get("body", b"")
            return message

        return await self.app(scope, listening, send)

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.scope["headers"])


@pytest.fixture
async def gate(serve: Serve) -> Any:
    """`gate(turns...) -> (app, its upstream's spy, model server)`: a model server, and with `native=True` an
    Anthropic-style server before it, behind the app."""
    apps: list[TranslationApp] = []

    def app(base_url: str, dialect: str, key: str = "") -> tuple[TranslationApp, ModelTable]:
        models = ModelTable([ModelRow("*", ("model/answering",))], {"model": dialect})
        secret = StaticSecret(Secret(key)) if key else None
        backend = Backend(base_url=base_url, dialect=DIALECTS[dialect], vendor=dialect, api_key=secret)
        return TranslationApp({"model": backend}, models=models, routes=PATHS), models

    def make(*turns: Turn, native: bool = False) -> tuple[Spy, Spy, ModelServer]:
        server = ModelServer(turns)
        spy = Spy(server)
        if native:
            inner, models = app(serve(server) + "/v1", "openai")
            spy = Spy(inner)
            native_server = Gateway(spy, models=models, closing=[inner.aclose])
        outer, _ = app(serve(native_server if native else spy) + "/v1", "anthropic" if native else "openai", "sk-ours")
        apps.append(outer)
        return Spy(outer), spy, server

    yield make
    for each in apps:
        await each.aclose()


async def ask(app: Any, path: str, body: Any, query: str = "", **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await call(app, "POST", path, content=content, query=query, headers=named)


# Anthropic's wire in, Anthropic's wire out


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_a_native_server_gets_the_clients_bytes_under_the_models_name(gate: Any, stream: bool) -> None:
    app, upstream, _ = gate(say("Let me see.") + tool_call("look", at="it"), native=True)
    tools = [{"name": "look", "input_schema": {"type": "object"}, "cache_control": {"type": "ephemeral"}}]
    body = {**MESSAGES, "stream": stream, "tools": tools, "safeguards": [{"type": "dangerous_tool_use"}], "new": 1}
    sent = json.dumps(body, indent=1).encode()
    headers = {"anthropic_beta": "b1,b2", "anthropic_version": "2026-10-21", "x_api_key": "mine", "cookie": "c=1"}
    reply = await ask(app, "/v1/messages", sent, query="beta=true", **headers)
    assert upstream.body == sent.replace(b'"claude-opus-5"', b'"answering"')
    assert upstream.scope["query_string"] == b"beta=true"
    assert upstream.headers[b"anthropic-beta"] == b"b1,b2"
    assert upstream.headers[b"anthropic-version"] == b"2026-10-21"
    assert upstream.headers[b"x-api-key"] == b"sk-ours"
    assert b"cookie" not in upstream.headers
    message = check_stream(reply.body) if stream else reply.json()
    assert [block["type"] for block in message["content"]] == ["text", "tool_use"]
    exchange = app.exchange
    assert (exchange.outcome, exchange.response.finish_reasons) == ("ok", ("tool_use",))
    assert exchange.response.tools == ("look",)
    assert (exchange.usage.input, exchange.usage.output) == (
        upstream.exchange.usage.input,
        upstream.exchange.usage.output,
    )
    assert not exchange.usage.estimated
    assert reply.headers["request-id"] == exchange.request_id != upstream.exchange.request_id


async def test_a_client_that_names_no_version_is_given_one(gate: Any) -> None:
    app, upstream, _ = gate(say("Hi."), native=True)
    assert (await ask(app, "/v1/messages", MESSAGES)).status == 200
    assert upstream.headers[b"anthropic-version"] == b"2023-06-01"
    assert upstream.headers[b"user-agent"].startswith(b"asgi-llmgate/")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_a_native_servers_refusal_keeps_its_words(gate: Any, stream: bool) -> None:
    app, upstream, _ = gate(native=True)
    missing = {**MESSAGES, "stream": stream, "mcp_servers": [{"name": "x"}]}
    reply = await ask(app, "/v1/messages", missing)
    assert (reply.status, reply.json()["error"]["message"]) == (400, "mcp_servers: not supported by this gateway")
    assert reply.json()["request_id"] == app.exchange.request_id != upstream.exchange.request_id


async def test_a_native_servers_own_credential_trouble_is_not_the_callers(gate: Any) -> None:
    app, _, _ = gate(refuse(401, "bad key", code="invalid_api_key"), native=True)
    reply = await ask(app, "/v1/messages", MESSAGES)
    assert (reply.status, reply.json()["error"]["type"]) == (500, "api_error")
    assert reply.headers["x-should-retry"] == "false"


async def test_a_native_stream_that_is_cut_ends_in_an_error(gate: Any) -> None:
    app, upstream, _ = gate(native=True)
    told = threading.Event()

    async def cutting(scope: Any, receive: Any, send: Any) -> None:
        message = {"id": "msg_1", "model": "m", "usage": {"input_tokens": 3, "output_tokens": 1}}
        events = [
            {"type": "message_start", "message": message},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "half an ans"}},
        ]
        body = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events).encode()
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": True})
        await asyncio.to_thread(told.wait, 10)
        await send({"type": "http.response.body", "body": b"event: content_block_stop\ndata: {"})

    upstream.app = cutting
    async with Driver(app, "POST", "/v1/messages", json={**MESSAGES, "stream": True}) as client:
        first = await client.chunk()
        told.set()
        rest = (await client.read()).body
    assert b"half an ans" in first
    assert rest.startswith(b'event: error\ndata: {"type":"error","error":{"type":"api_error"')
    assert app.exchange.outcome == "upstream_truncated"
    assert (app.exchange.usage.input, app.exchange.usage.estimated) == (3, True)


async def test_tokens_are_counted_by_a_native_server(gate: Any) -> None:
    app, upstream, _ = gate(native=True)
    body = {"model": "claude-opus-5", "messages": [{"role": "user", "content": "hello " * 100}]}
    reply = await ask(app, "/v1/messages/count_tokens", body, query="beta=true")
    assert upstream.scope["path"] == "/v1/messages/count_tokens"
    assert reply.json() == {"input_tokens": upstream.exchange.call.request.input_tokens_estimate}
    bad = await ask(app, "/v1/messages/count_tokens", {**body, "messages": [{"role": "user", "content": []}]})
    assert bad.status == 200


# OpenAI's wire in, OpenAI's wire out


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_a_completion_is_handed_on_and_metered(gate: Any, stream: bool) -> None:
    app, _, server = gate(say("Hi there."))
    sent = json.dumps({**CHAT, "stream": stream, "seed": 7}).encode()
    reply = await ask(app, "/v1/chat/completions", sent)
    received = server.requests[0]
    asked = {"stream_options": {"include_usage": True}} if stream else {}
    assert received.body == {**CHAT, "model": "answering", "stream": stream, "seed": 7, **asked}
    assert received.authorization == "Bearer sk-ours"
    if stream:
        events = [event.removeprefix("data: ") for event in reply.body.decode().split("\n\n") if event]
        assert events[-1] == "[DONE]"
        chunks = [json.loads(event) for event in events[:-1]]
        assert all(chunk["choices"] for chunk in chunks)
        assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks) == "Hi there."
    else:
        assert reply.json()["choices"][0]["message"]["content"] == "Hi there."
    assert app.exchange.usage.output == 3
    assert not app.exchange.usage.estimated
    assert (app.exchange.response.finish_reasons, app.exchange.outcome) == (("stop",), "ok")


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"messages": HELLO}, 400, "model: Field required"),
        (b'{"model":"a","model":"b"}', 400, "model: given more than once"),
        ({**CHAT, "messages": []}, 400, "[] is too short - 'messages'"),
    ],
)
async def test_errors_are_told_in_openais_envelope(gate: Any, body: Any, status: int, message: str) -> None:
    app, _, _ = gate()
    reply = await ask(app, "/v1/chat/completions", body)
    assert reply.status == status
    assert reply.json() == {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}


async def test_a_completion_that_is_cut_ends_in_an_error(gate: Any) -> None:
    app, _, _ = gate(say("one two three four").cut(after=3))
    reply = await ask(app, "/v1/chat/completions", {**CHAT, "stream": True})
    assert json.loads(reply.body.decode().strip().rpartition("data: ")[2])["error"]["type"] == "server_error"
    assert app.exchange.outcome == "upstream_truncated"


async def test_stream_options_that_are_refused_are_left_out_the_next_time(gate: Any) -> None:
    refusal = refuse(400, "Unrecognized request argument supplied: stream_options").when(
        lambda request: "stream_options" in request.body
    )
    app, _, server = gate(refusal.always(), say("Hi.").always())
    for _ in range(2):
        assert (await ask(app, "/v1/chat/completions", {**CHAT, "stream": True})).status == 200
    assert ["stream_options" in request.body for request in server.requests] == [True, False, False]
    assert app.exchange.usage.estimated


async def test_a_field_of_the_clients_own_that_is_refused_is_not_tried_again(gate: Any) -> None:
    app, _, server = gate(refuse(400, "Unrecognized request argument supplied: reasoning_effort").always())
    reply = await ask(app, "/v1/chat/completions", {**CHAT, "reasoning_effort": "high"})
    assert (reply.status, len(server.requests)) == (400, 1)


async def test_a_native_server_does_not_answer_openais_clients(gate: Any) -> None:
    app, _, _ = gate(native=True)
    reply = await ask(app, "/v1/chat/completions", CHAT)
    assert reply.status == 404
    assert reply.json()["error"]["message"] == "model: gpt (not available in the format of this path)"


async def test_models_are_listed_in_openais_shape(gate: Any) -> None:
    app = TranslationApp(
        {"m": Backend(base_url="http://127.0.0.1:9/v1")},
        models=ModelTable([ModelRow("org/qwen3", ("m",))], {"m": "m"}),
        routes=PATHS,
    )
    row = {"id": "org/qwen3", "object": "model", "created": 0, "owned_by": "gateway"}
    assert (await call(app, "GET", "/openai/v1/models")).json() == {"object": "list", "data": [row]}
    assert (await call(app, "GET", "/openai/v1/models/org/qwen3")).json() == row
    missing = await call(app, "GET", "/openai/v1/models/x")
    assert (missing.status, missing.json()["error"]["message"]) == (404, "model: x")


# handed on


async def test_a_passthrough_is_handed_on_and_counted(gate: Any) -> None:
    answer = {"object": "list", "data": [], "model": "e5", "usage": {"prompt_tokens": 8, "total_tokens": 8}}
    app, upstream, _ = gate()
    body = b'{"input": ["a"],  "model": "e"}'

    async def embeddings(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        headers = [(b"content-type", b"application/json"), (b"x-secret-host", b"gpu-1")]
        await send({"type": "http.response.start", "status": 201, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

    upstream.app = embeddings
    reply = await ask(app, "/v1/embeddings", body, query="a=1&b", content_type="x; charset=utf-16", cookie="c=1")
    assert (reply.status, reply.json()) == (201, answer)
    assert set(reply.headers) == {"content-type", "request-id"}
    assert (upstream.scope["method"], upstream.scope["path"]) == ("POST", "/v1/embeddings")
    assert upstream.scope["query_string"] == b"a=1&b"
    assert upstream.body == b'{"input": ["a"],  "model": "answering"}'
    assert b"cookie" not in upstream.headers
    assert upstream.headers[b"content-type"] == b"application/json"
    assert (app.exchange.usage.input, app.exchange.response.model) == (8, "e5")
    assert app.exchange.call.operation == "embeddings"
    assert app.exchange.outcome == "ok"


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
async def test_a_passthrough_takes_any_method_and_no_body(gate: Any, method: str) -> None:
    app, upstream, _ = gate()
    reply = await call(app, method, "/files")
    assert (upstream.scope["method"], upstream.scope["path"]) == (method, "/v1/files")
    assert reply.status == 502
    assert "did not respond as a chat completions server does" in reply.json()["error"]["message"]


async def test_a_passthrough_names_its_model_where_it_is_decided_on(gate: Any) -> None:
    app, upstream, _ = gate()
    reply = await ask(app, "/v1/embeddings", {"model": "e"}, query="a=1&m%6fdel=other")
    assert (reply.status, upstream.scope) == (400, {})


async def test_a_passthrough_needs_json(gate: Any) -> None:
    app, upstream, _ = gate()
    reply = await ask(app, "/files", b"--x\r\n", content_type="multipart/form-data")
    assert reply.status == 400
    assert upstream.scope == {}


async def test_a_passthrough_that_breaks_off_is_cut(gate: Any) -> None:
    app, upstream, _ = gate()

    async def breaking(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-length", b"100")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"a":', "more_body": True})
        raise RuntimeError("gone")

    upstream.app = breaking
    with pytest.raises(Exception, match="cut off"):
        await ask(app, "/files", {"model": "e"})
    assert (app.exchange.outcome, app.exchange.reason) == ("upstream_truncated", "UpstreamFailure")


async def test_a_passthrough_ends_with_its_client(gate: Any) -> None:
    app, _, server = gate(say("never").stall())
    async with Driver(app, "POST", "/forwarded/v1/chat/completions", json=CHAT) as client:
        await asyncio.to_thread(server.asked.wait, 10)
        client.disconnect()
        await client.finish()
    assert app.exchange.outcome == "client_disconnect"


async def test_a_passthrough_that_is_open_when_the_server_stops_is_cut(gate: Any) -> None:
    app, _, server = gate(say("one two three").stall(after=2))
    async with Driver(app, "POST", "/forwarded/v1/chat/completions", json={**CHAT, "stream": True}) as client:
        await client.chunk()
        app.app._passthrough._draining._after = 0
        app.app._passthrough._draining.begin()
        with pytest.raises(ShuttingDown):
            await client.finish()
    assert app.exchange.outcome == "shutdown"
    assert await asyncio.to_thread(server.requests[0].gone.wait, 10)


async def test_a_model_that_the_backend_does_not_have_is_404(gate: Any) -> None:
    models = ModelTable([ModelRow("a", ("one",)), ModelRow("b", ("two",))], {"one": "x", "two": "x"})
    backends = {name: Backend(base_url="http://127.0.0.1:9/v1") for name in ("one", "two")}
    app = TranslationApp(backends, models=models, routes={"/v1/embeddings": Route("passthrough", "one")})
    assert (await ask(app, "/v1/embeddings", {"model": "b"})).json()["error"]["message"] == "model: b"
    assert (await ask(app, "/v1/embeddings", {"model": "c"})).json()["error"]["message"] == "model: c"
    assert (await ask(app, "/v1/embeddings", {"model": "a"})).status == 529
    await app.aclose()


# what decides


def settings(**more: Any) -> dict[str, Any]:
    return {
        "auth": {"mode": "off"},
        "policy": {"rules": ['llm.model == "small"']},
        "backends": {"gpu": {"dialect": "vllm", "base_url": "http://127.0.0.1:9/v1"}},
        "models": [{"match": "small", "use": "gpu/small"}, {"match": "*", "use": "gpu/large"}],
        "routes": {"/v1/chat/completions": "completions", "/v1/embeddings": {"passthrough": "gpu"}},
        **more,
    }


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/chat/completions", {"model": "small"}, 529),
        ("/v1/chat/completions", {"model": "other"}, 403),
        ("/v1/embeddings", {"model": "small"}, 529),
        ("/v1/embeddings", {"model": "other"}, 403),
        ("/v1/embeddings", {}, 403),
        ("/v1/embeddings", None, 403),
        ("/v1/embeddings", b'{"model":"small","model":"large"}', 400),
    ],
)
async def test_rules_decide_on_what_is_sent(path: str, body: Any, status: int) -> None:
    async with Gateway.from_settings(settings()) as gateway:
        reply = await ask(gateway, path, b"" if body is None else body)
    assert reply.status == status
    assert "type" not in reply.json()


async def test_a_rule_that_takes_models_out_denies_where_nobody_knows_the_model() -> None:
    rules = ["true", {"name": "not the large one", "action": "deny", "when": 'llm.model == "large"'}]
    async with Gateway.from_settings(settings(policy={"rules": rules})) as gateway:
        assert (await ask(gateway, "/v1/embeddings", {"input": "x"})).status == 403


async def test_a_refusal_of_any_layer_is_told_in_the_words_of_the_path() -> None:
    auth = {"providers": [{"issuer": "i", "audiences": ["a"], "jwks": {"inline": {"keys": []}}}]}
    async with Gateway.from_settings(settings(auth=auth)) as gateway:
        openai = await ask(gateway, "/v1/chat/completions", CHAT)
        anthropic = await ask(gateway, "/v1/messages", MESSAGES)
    assert openai.status == anthropic.status == 401
    assert "type" not in openai.json()
    assert anthropic.json()["type"] == "error"


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("/v1/embeddings", "/embeddings"),
        ("/openai/v1/audio/speech", "/audio/speech"),
        ("/v1/x/v1/y", "/y"),
        ("/files", "/files"),
        ("/v1", "/v1"),
    ],
)
def test_a_path_hangs_under_the_base_url_without_its_version(given: str, sent: str) -> None:
    assert upstream_path(given) == sent


@pytest.mark.parametrize("kind", ["application/json", ""])
async def test_a_passthrough_has_the_servers_content_type_or_none(serve: Serve, kind: str) -> None:
    async def server(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", kind.encode())] if kind else []
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"{}"})

    backend = {"dialect": "vllm", "base_url": serve(server, lifespan="off") + "/v1"}
    async with Gateway.from_settings(settings(backends={"gpu": backend})) as gateway:
        reply = await ask(gateway, "/v1/embeddings", {"model": "small"})
    assert reply.status == 200
    assert reply.headers.get("content-type", "") == kind
