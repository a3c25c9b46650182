"""Numbered cases of docs/explanation/known-failures.md that take the whole gateway: identity, a model server, a
client."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

import pytest

from asgi_llmgate import Gateway
from asgi_llmgate.errors import TABLE
from asgi_llmgate.testing.driver import Reply, call
from asgi_llmgate.testing.grammar import check_stream
from asgi_llmgate.testing.idp import MockIdP
from asgi_llmgate.testing.model_script import Turn, raw, refuse, say
from asgi_llmgate.testing.model_server import ModelServer

IDP = MockIdP()
KEY = "sk-upstream-1234567890"
STREAM = pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])


class Gate:
    def __init__(self, gateway: Gateway, server: ModelServer) -> None:
        self.gateway = gateway
        self.server = server
        self.token = IDP.mint()

    async def get(self, path: str, *, method: str = "GET", query: str = "") -> Reply:
        return await call(self.gateway, method, path, query=query, headers={"authorization": f"Bearer {self.token}"})

    async def post(self, path: str = "/v1/messages", *, query: str = "", headers: Any = None, **more: Any) -> Reply:
        body = {"model": "claude-x", "max_tokens": 50, "messages": [{"role": "user", "content": "hello"}], **more}
        headers = headers or {"authorization": f"Bearer {self.token}"}
        return await call(self.gateway, "POST", path, query=query, headers=headers, json=body)


@pytest.fixture
async def gate(serve: Callable[..., str], tmp_path: Any) -> Any:
    """`gate(turns...)`: the gateway with a model server that plays them; `url` puts another one in its place."""
    gates: list[Gate] = []

    def made(*turns: Turn, url: str = "", **settings: Any) -> Gate:
        server = ModelServer(turns, api_key=KEY)
        (tmp_path / "key").write_text(KEY)
        provider = {"issuer": IDP.issuer, "audiences": ["anthropic-api"], "jwks": {"inline": IDP.jwks}}
        backend = {"base_url": (url or serve(server)) + "/v1", "api_key": f"file:{tmp_path / 'key'}"}
        gateway = Gateway.from_settings(
            {
                "auth": {"providers": [provider], "token_sources": ["authorization", "x-api-key"]},
                "policy": {"rules": ['llm.model != "gpt-4o"'], "default": "deny"},
                "backends": {"openai": backend},
                "models": [
                    {"match": "claude-*", "use": "openai/gpt-4o-mini", "list": ["claude-small"]},
                    {"match": "gpt-4o", "use": "openai/gpt-4o"},
                ],
                "usage": {"access_log": {"file": str(tmp_path / "access.log")}},
                **settings,
            }
        )
        gates.append(Gate(gateway, server))
        return gates[-1]

    yield made
    for each in gates:
        await each.gateway.shutdown()


async def test_case_22_include_usage_refused(gate: Any) -> None:
    gateway = gate(refuse(400, "Unknown parameter: 'stream_options'."), say("a").always())
    for _ in range(2):
        assert check_stream((await gateway.post(stream=True)).body)["stop_reason"] == "end_turn"
    assert ["stream_options" in request.body for request in gateway.server.requests] == [True, False, False]


@pytest.mark.parametrize("version", ["2023-06-01", "2026-10-21"])
@pytest.mark.parametrize("header", ["x-api-key", "authorization"])
@STREAM
async def test_case_57_both_versions_and_both_credentials(gate: Any, version: str, header: str, stream: bool) -> None:
    gateway = gate(say("Hi."))
    token = f"Bearer {gateway.token}" if header == "authorization" else gateway.token
    headers = {header: token, "anthropic-version": version, "anthropic-beta": "new-2026-11-01,other"}
    sampling = {"temperature": 0.5, "top_k": 5} if version == "2023-06-01" else {}
    reply = await gateway.post(query="beta=true", headers=headers, stream=stream, **sampling)
    message = check_stream(reply.body) if stream else reply.json()
    assert message["content"] == [{"type": "text", "text": "Hi."}]
    (sent,) = gateway.server.requests
    assert sent.body.get("temperature") == sampling.get("temperature")
    assert sent.headers["authorization"] == f"Bearer {KEY}"
    assert gateway.token not in repr(dict(sent.headers))


ORGANISATION = "org-AbCdEf123456"
SECRETS = f"for {KEY} of {ORGANISATION} at http://10.0.0.7:8000/v1"
HTML = b"<html><body><h1>nginx at 10.0.0.7</h1></body></html>"


def refused(status: int, words: str = "no", **more: Any) -> Turn:
    return refuse(status, f"{words} {SECRETS}", headers={"openai-organization": ORGANISATION}, **more)


@pytest.mark.parametrize(
    ("turn", "status", "kind"),
    [
        pytest.param(refused(400), 400, "invalid_request_error", id="400"),
        pytest.param(refused(401), 502, "api_error", id="401"),
        pytest.param(refused(402), 402, "billing_error", id="402"),
        pytest.param(refused(403), 502, "api_error", id="403"),
        pytest.param(refused(404), 502, "api_error", id="404 of a path"),
        pytest.param(refused(404, code="model_not_found"), 404, "not_found_error", id="404 of a model"),
        pytest.param(refused(408), 504, "timeout_error", id="408"),
        pytest.param(refused(409), 529, "overloaded_error", id="409"),
        pytest.param(refused(413), 413, "request_too_large", id="413"),
        pytest.param(refused(422), 400, "invalid_request_error", id="422"),
        pytest.param(refused(429), 429, "rate_limit_error", id="429"),
        pytest.param(refused(429, code="insufficient_quota"), 402, "billing_error", id="429 of a quota"),
        pytest.param(refused(500), 500, "api_error", id="500"),
        pytest.param(refused(502), 529, "overloaded_error", id="502"),
        pytest.param(refused(503), 529, "overloaded_error", id="503"),
        pytest.param(refused(504), 504, "timeout_error", id="504"),
        pytest.param(raw(HTML, content_type="text/html"), 502, "api_error", id="a page"),
        pytest.param(raw(HTML, status=503, content_type="text/html"), 529, "overloaded_error", id="a page with 503"),
        pytest.param(raw(b"", status=302), 502, "api_error", id="a redirect"),
        pytest.param(raw(b"", content_type="application/json"), 502, "api_error", id="nothing"),
    ],
)
@STREAM
async def test_case_59_error_matrix(gate: Any, turn: Turn, status: int, kind: str, stream: bool) -> None:
    gateway = gate(turn)
    reply = await gateway.post(stream=stream)
    assert_error(reply, status, kind)
    assert len(gateway.server.requests) == 1


@STREAM
async def test_case_59_nobody_listens(gate: Any, stream: bool) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    assert_error(await gate(url=url).post(stream=stream), 529, "overloaded_error")


def assert_error(reply: Reply, status: int, kind: str) -> None:
    error = reply.json()
    assert (reply.status, error["error"]["type"]) == (status, kind)
    assert kind in {row.anthropic for row in TABLE.values()}
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["request-id"] == error["request_id"]
    shown = reply.body.decode() + repr(dict(reply.headers))
    for secret in (KEY, ORGANISATION, "10.0.0.7", "127.0.0.1"):
        assert secret not in shown
    # What another attempt cannot change: money, the gateway's key, and what stands at the address instead of a model.
    lasting = ("credential", "the operator of the gateway must")
    never = kind == "billing_error" or (status == 502 and any(word in error["error"]["message"] for word in lasting))
    assert reply.headers.get("x-should-retry") == ("false" if never else None)


@STREAM
async def test_case_59_a_wait_is_kept(gate: Any, stream: bool) -> None:
    turn = refuse(429, "slow down", headers={"retry-after": "7", "x-ratelimit-remaining-requests": "0"})
    reply = await gate(turn).post(stream=stream)
    assert reply.headers["retry-after"] == "7"
    assert "x-ratelimit-remaining-requests" not in reply.headers


TOOLS = [{"name": "Read", "description": "Reads a file. " * 20, "input_schema": {"type": "object"}}]
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}


async def test_case_60_tokens_are_counted_with_tools_and_images(gate: Any) -> None:
    gateway = gate()

    async def count(**more: Any) -> int:
        reply = await gateway.post("/v1/messages/count_tokens", query="beta=true", **more)
        assert reply.status == 200
        counted: int = reply.json()["input_tokens"]
        return counted

    text = await count()
    assert 0 < text < await count(tools=TOOLS)
    assert text < await count(messages=[{"role": "user", "content": [{"type": "text", "text": "hello"}, IMAGE]}])


async def test_case_60_models_that_the_caller_may_use(gate: Any) -> None:
    gateway = gate()
    headers = {"x-api-key": gateway.token}
    reply = await call(gateway.gateway, "GET", "/v1/models", query="limit=1000", headers=headers)
    assert reply.status == 200
    assert [model["id"] for model in reply.json()["data"]] == ["claude-small"]
    assert (await gateway.get("/v1/models/claude-small")).json()["type"] == "model"
    assert (await gateway.get("/v1/models/gpt-4o")).status == 404


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("HEAD", "/", 200), ("HEAD", "/api/hello", 200), ("GET", "/no/such", 404), ("GET", "/v1/messages", 405)],
)
async def test_case_60_other_paths(gate: Any, method: str, path: str, status: int) -> None:
    reply = await gate().get(path, method=method)
    assert reply.status == status
    if status >= 400:
        assert reply.json()["type"] == "error"
    if status == 404:
        assert reply.json()["error"]["type"] == "not_found_error"


@STREAM
async def test_case_60_max_tokens_zero(gate: Any, stream: bool) -> None:
    gateway = gate()
    reply = await gateway.post(max_tokens=0, stream=stream)
    message = check_stream(reply.body) if stream else json.loads(reply.body)
    assert message["content"] == []
    assert message["usage"]["output_tokens"] == 0
    assert gateway.server.requests == []
