"""The whole gateway, over sockets, with a real model server behind it: whatever happens, one record, and in time."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from asgi_llmgate import Backend, Gateway, JWTAuthMiddleware, LimitMiddleware, ModelRow, ModelTable, PolicyMiddleware
from asgi_llmgate.testing.driver import call
from asgi_llmgate.testing.idp import MockIdP
from asgi_llmgate.testing.model_script import Turn, raw, refuse, say
from asgi_llmgate.testing.model_server import ModelServer

IDP = MockIdP()
HELLO = {"role": "user", "content": "hello"}
HI = say("one two three four")
ORPHAN = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "x"}]}


@dataclass(frozen=True)
class Ending:
    """A request, what the model server makes of it, and what is written down."""

    status: int
    outcome: str
    reason: str = ""
    turn: Turn = HI
    method: str = "POST"
    path: str = "/v1/messages"
    content: bytes | None = None
    team: str | None = "data-platform"
    body: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)

    def send(self, client: httpx.Client, url: str) -> httpx.Response:
        headers = {} if self.team is None else {"authorization": f"Bearer {IDP.mint(team=self.team)}"}
        body = {"model": "claude-opus-5-5", "max_tokens": 50, "messages": [HELLO], **self.body}
        content = json.dumps(body).encode() if self.content is None else self.content
        return client.request(self.method, url + self.path, content=content, headers=headers)


STREAM = {"stream": True}
ENDINGS = {
    "whole": Ending(200, "ok"),
    "stream": Ending(200, "ok", body=STREAM),
    "count_tokens": Ending(200, "ok", path="/v1/messages/count_tokens"),
    "models": Ending(200, "ok", method="GET", path="/v1/models", content=b""),
    "no token": Ending(401, "refused", "JwtAuth", team=None),
    "no path": Ending(404, "refused", "NotFound", path="/v1/nothing"),
    "no method": Ending(405, "refused", "InvalidRequest", method="PUT"),
    "no JSON": Ending(400, "refused", "InvalidRequest", content=b"{"),
    "no model": Ending(404, "refused", "NotFound", body={"model": "gpt-1"}),
    "too large": Ending(413, "refused", "InvalidRequest", content=b"x" * 2000),
    "policy": Ending(403, "refused", "Authorization", team="marketing"),
    "limit": Ending(429, "refused", "RateLimit", settings={
        "limits": [{"name": "none", "key": "jwt.sub", "requests": "1/hour"}]}),
    "not to be translated": Ending(400, "refused", "InvalidRequest", body={"messages": [ORPHAN]}),
    "upstream not there": Ending(529, "upstream_error", "Upstream", settings={
        "backends": {"main": {"base_url": "http://127.0.0.1:1/v1"}}}),
    "upstream refuses": Ending(429, "upstream_error", "UpstreamFailure", turn=refuse(429, "slow down")),
    "upstream breaks": Ending(500, "upstream_error", "UpstreamFailure", turn=refuse(500, "oh")),
    "upstream says nonsense": Ending(502, "upstream_error", "UpstreamFailure", turn=raw(b"data: what\n\n")),
    "upstream cut": Ending(502, "upstream_error", "UpstreamFailure", turn=HI.cut(after=2)),
    "upstream refuses a stream": Ending(429, "upstream_error", "UpstreamFailure", refuse(429, "slow"), body=STREAM),
    "upstream cut in a stream": Ending(200, "upstream_truncated", "UpstreamFailure", HI.cut(after=2), body=STREAM),
    "upstream silent": Ending(504, "upstream_error", "Timeout", HI.stall(), settings={"timeouts": {"first_byte": 0.1}}),
    "upstream silent in a stream": Ending(
        200, "upstream_error", "Timeout", HI.stall(after=2), body=STREAM, settings={"timeouts": {"idle": 1.0}}),
}  # fmt: skip


def gateway_of(ending: Ending, base_url: str, log: Path) -> Gateway:
    settings = {**ending.settings}
    backend = {"base_url": base_url, "timeouts": settings.pop("timeouts", {})}
    provider = {"issuer": "claude-code-lab", "audiences": ["anthropic-api"], "jwks": {"inline": IDP.jwks}}
    return Gateway.from_settings(
        {
            "auth": {"providers": [provider]},
            "policy": {"rules": ['jwt.team == "data-platform"']},
            "backends": {"main": backend},
            "models": [{"match": "claude-*", "use": "main/gpt-4o-mini"}],
            "usage": {"access_log": {"file": str(log)}, "otel": True},
            "server": {"body_limit": 1000},
            **settings,
        }
    )


@pytest.mark.parametrize("name", ENDINGS)
def test_one_record_is_there_when_the_client_has_read_the_answer(
    serve: Callable[..., str], tmp_path: Path, name: str
) -> None:
    ending, log = ENDINGS[name], tmp_path / "access.log"
    url = serve(gateway_of(ending, serve(ModelServer([ending.turn.always()])) + "/v1", log))
    with httpx.Client(timeout=60) as client:
        if name == "limit":
            assert ending.send(client, url).status_code == 200
            log.unlink()
        for count in (1, 2, 3):
            answer = ending.send(client, url)
            records = [json.loads(line) for line in log.read_text().splitlines()]
            assert answer.status_code == ending.status
            assert len(records) == count
            assert records[-1]["request_id"] == answer.headers["request-id"]
            found = (records[-1]["status"], records[-1]["outcome"], records[-1].get("reason", ""))
            assert found == (ending.status, ending.outcome, ending.reason)


def leave(url: str, sent: bytes, until: bytes) -> None:
    """Send, read as far as `until`, and go."""
    host, port = urlsplit(url).netloc.split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(sent)
        seen = b""
        while until not in seen:
            seen += connection.recv(4096)


def posting(stream: bool, cut: int = 0) -> bytes:
    body = json.dumps({"model": "claude-x", "max_tokens": 50, "messages": [HELLO], "stream": stream}).encode()
    head = f"POST /v1/messages HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {IDP.mint()}\r\n"
    return f"{head}content-length: {len(body) + cut}\r\n\r\n".encode() + body


@pytest.mark.parametrize(
    ("turn", "sent", "until", "outcome", "status"),
    [
        pytest.param(HI, posting(False, cut=10), b"", "client_disconnect", 499, id="before its request is there"),
        pytest.param(HI.stall(), posting(False), b"", "client_disconnect", 499, id="before the answer"),
        pytest.param(HI.stall(), posting(True), b"", "client_disconnect", 499, id="before the stream"),
        pytest.param(HI.stall(after=2), posting(True), b"text_delta", "client_disconnect", 200, id="in the stream"),
        pytest.param(HI, posting(False), b"end_turn", "ok", 200, id="after the answer"),
        pytest.param(HI, posting(True), b"message_stop", "ok", 200, id="after the stream"),
    ],
)
def test_a_client_that_leaves_is_one_record(
    serve: Callable[..., str], sink: Any, turn: Turn, sent: bytes, until: bytes, outcome: str, status: int
) -> None:
    model = ModelServer([turn.always()])
    url = serve(_gateway(serve(model) + "/v1", sink))
    for count in (1, 2, 3):
        asked = len(model.requests)
        leave(url, sent, until)
        record = sink.wait(count)[-1]
        assert (record.outcome, record.status) == (outcome, status)
        for request in model.requests[asked:]:
            assert outcome == "ok" or request.gone.wait(60)
    assert len(sink.records) == 3


class Raising:
    def __init__(self, app: Any, **options: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("the secret prompt")


def _gateway(base_url: str, sink: Any, **layers: Any) -> Gateway:
    return Gateway(
        **{
            "backends": {"main": Backend(base_url=base_url)},
            "models": ModelTable([ModelRow("*", ("main/gpt-4o-mini",))], {"main": "openai"}),
            "auth": partial(JWTAuthMiddleware, providers=[IDP.provider()]),
            "policy": partial(PolicyMiddleware, rules=["true"]),
            "limits": partial(LimitMiddleware, limits=[]),
            "sinks": [sink],
            **layers,
        }
    )


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize("layer", ["auth", "resolve", "policy", "limits", "app"])
async def test_an_exception_in_any_layer_is_a_500_and_one_record(sink: Any, layer: str, stream: bool) -> None:
    options: dict[str, Any] = {"app": Raising(None), "backends": {}} if layer == "app" else {layer: Raising}
    body = {"model": "claude-x", "max_tokens": 50, "messages": [HELLO], "stream": stream}
    headers = {"authorization": f"Bearer {IDP.mint()}"}
    async with _gateway("http://127.0.0.1:1/v1", sink, **options) as gateway:
        reply = await call(gateway, "POST", "/v1/messages", json=body, headers=headers)
    assert reply.status == 500
    assert (sink.only().outcome, sink.only().reason, sink.only().detail) == ("error", "Internal", "ValueError")
    assert "secret" not in reply.body.decode() + repr(sink.only())


COUNTS = [
    pytest.param(
        {"prompt_tokens": 100, "completion_tokens": 20, "prompt_tokens_details": {"cached_tokens": 60},
         "completion_tokens_details": {"reasoning_tokens": 7}},
        {"input_tokens": 100, "output_tokens": 20, "cache_read_tokens": 60, "reasoning_tokens": 7}, id="openai"),
    pytest.param(
        {"prompt_tokens": 100, "completion_tokens": 20,
         "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30}},
        {"input_tokens": 100, "output_tokens": 20, "cache_read_tokens": 60, "cache_creation_tokens": 30},
        id="openrouter"),
    pytest.param(
        {"prompt_tokens": 100, "completion_tokens": 20, "prompt_cache_hit_tokens": 60, "prompt_cache_miss_tokens": 40},
        {"input_tokens": 100, "output_tokens": 20, "cache_read_tokens": 60}, id="deepseek"),
]  # fmt: skip


@pytest.mark.parametrize(("usage", "numbers"), COUNTS)
async def test_streamed_and_not_streamed_are_the_same_record(
    serve: Callable[..., str], sink: Any, usage: dict[str, Any], numbers: dict[str, int]
) -> None:
    head = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
    message = {"role": "assistant", "content": "Hi."}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    whole = json.dumps({**head, "choices": [choice], "usage": usage}).encode()
    chunks = [{**head, "choices": [{"index": 0, "delta": message, "finish_reason": "stop"}]},
              {**head, "choices": [], "usage": usage}]  # fmt: skip
    stream = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks).encode() + b"data: [DONE]\n\n"
    model = ModelServer([raw(whole, content_type="application/json"), raw(stream)])
    headers = {"authorization": f"Bearer {IDP.mint()}"}
    async with _gateway(serve(model) + "/v1", sink) as gateway:
        for streamed in (False, True):
            body = {"model": "claude-x", "max_tokens": 50, "messages": [HELLO], "stream": streamed}
            await call(gateway, "POST", "/v1/messages", json=body, headers=headers)
    first, second = (record.flat() for record in sink.records)
    for own in ("time", "request_id", "duration_ms", "ttft_ms", "llmgate.upstream_ms", "gen_ai.request.stream"):
        first.pop(own, None)
        second.pop(own, None)
    assert first == second
    for record in sink.records:
        zero = dict.fromkeys(("cache_read_tokens", "cache_creation_tokens", "reasoning_tokens"), 0)
        assert {name: getattr(record, name) for name in zero | numbers} == zero | numbers
        assert not record.estimated
