from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import pytest

from asgi_llmgate._types import Receive, Scope, Send
from asgi_llmgate.asgi import PROTECTED_RESOURCE, Front, respond
from asgi_llmgate.exchange import KEY
from asgi_llmgate.testing.driver import call

PREFLIGHT = {"origin": "https://evil.test", "access-control-request-method": "POST"}


async def inner(scope: Scope, receive: Receive, send: Send) -> None:
    assert KEY not in scope, "Front opens no exchange: what it answers is no call"
    await respond(send, 418, [], b"inner", head=scope["method"] == "HEAD")


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("HEAD", "/", 200, b""),
        ("GET", "/", 418, b"inner"),
        ("HEAD", "/api/hello", 200, b""),
        ("GET", "/api/hello", 200, b'{"message":"hello"}'),
        ("POST", "/api/hello", 418, b"inner"),
        ("GET", "/healthz", 200, b"ok\n"),
        ("HEAD", "/healthz", 200, b""),
        ("POST", "/healthz", 418, b"inner"),
        ("GET", "/readyz", 200, b"ok\n"),
        ("HEAD", "/readyz", 200, b""),
        ("GET", "/healthz/", 200, b"ok\n"),
        ("GET", "/healthz/x", 418, b"inner"),
        ("GET", "/HEALTHZ", 418, b"inner"),
        ("GET", "/v1/healthz", 418, b"inner"),
        ("GET", "//healthz", 418, b"inner"),
        ("POST", "/v1/messages", 418, b"inner"),
        ("GET", PROTECTED_RESOURCE, 418, b"inner"),
        ("OPTIONS", "/v1/messages", 418, b"inner"),
    ],
)
@pytest.mark.parametrize("mount", ["", "/llm"])
async def test_the_table_is_exact_and_everything_else_goes_on(
    mount: str, method: str, path: str, status: int, body: bytes
) -> None:
    reply = await call(Front(inner), method, mount + path, scope={"root_path": mount})
    assert (reply.status, reply.body) == (status, body)


@pytest.mark.parametrize(
    ("states", "status", "says"),
    [
        ({}, 200, "ok"),
        ({"keys": True, "models": True}, 200, "ok"),
        ({"models": False, "keys": False, "ledger": True}, 503, "not ready: keys, models"),
    ],
)
async def test_ready_is_when_all_states_are(states: Mapping[str, bool], status: int, says: str) -> None:
    front = Front(inner, ready={name: partial(bool, good) for name, good in states.items()})
    reply = await call(front, "GET", "/readyz")
    assert (reply.status, reply.body.decode().strip()) == (status, says)
    assert reply.headers["cache-control"] == "no-store"
    assert (await call(front, "GET", "/healthz")).status == 200


async def test_a_preflight_is_answered_without_any_permission() -> None:
    reply = await call(Front(inner), "OPTIONS", "/v1/messages", headers=PREFLIGHT)
    assert (reply.status, dict(reply.headers), reply.body) == (204, {}, b"")


@pytest.mark.parametrize("missing", PREFLIGHT)
async def test_what_only_looks_like_a_preflight_goes_on(missing: str) -> None:
    headers = {name: value for name, value in PREFLIGHT.items() if name != missing}
    assert (await call(Front(inner), "OPTIONS", "/v1/messages", headers=headers)).status == 418


async def test_the_metadata_of_the_protected_resource_is_made_for_the_request() -> None:
    front = Front(inner, metadata=lambda scope: {"resource": f"https://gate.test{scope['root_path']}"})
    reply = await call(front, "GET", "/llm" + PROTECTED_RESOURCE, scope={"root_path": "/llm"})
    assert (reply.status, reply.json()) == (200, {"resource": "https://gate.test/llm"})
    assert reply.headers["content-type"] == "application/json"


@pytest.mark.parametrize("kind", ["websocket", "lifespan"])
async def test_other_scopes_go_on(kind: str) -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    async def unused(*_: object) -> None:
        raise AssertionError

    await Front(app)({"type": kind, "path": "/healthz", "headers": []}, unused, unused)  # type: ignore[arg-type]
    assert seen == [kind]
