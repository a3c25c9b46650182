"""What is no HTTP, at each app and layer of ours: a websocket is closed, and of other protocols nobody here knows."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from asgi_llmgate import (
    Gateway,
    JWTAuthMiddleware,
    Limit,
    LimitMiddleware,
    ModelTable,
    PolicyMiddleware,
    ResolveMiddleware,
    TranslationApp,
    UsageMiddleware,
    UsagePage,
    mount,
)
from asgi_llmgate.asgi import Front
from asgi_llmgate.testing.idp import MockIdP
from asgi_llmgate.usage.prometheus import PrometheusApp

IDP = MockIdP()
NONE = ModelTable([], {})


def app() -> TranslationApp:
    return TranslationApp({}, models=NONE)


def host(scope: Any, receive: Any, send: Any) -> Any:
    raise NotImplementedError(f"HTTP is served here, not {scope['type']!r}")


AUTH = partial(JWTAuthMiddleware, providers=[IDP.provider()])
RESOLVE = partial(ResolveMiddleware, models=NONE)
POLICY = partial(PolicyMiddleware, rules=["true"])
LIMITS = partial(LimitMiddleware, limits=[Limit("l", "identity.subject", requests="1/second")])
USAGE = partial(UsageMiddleware, sinks=[])

APPS: dict[str, Callable[[], Any]] = {
    "the app": app,
    "auth": lambda: AUTH(app()),
    "resolve": lambda: RESOLVE(app()),
    "policy": lambda: POLICY(app()),
    "limits": lambda: LIMITS(app()),
    "usage": lambda: USAGE(app()),
    "front": lambda: Front(app()),
    "a gateway": lambda: Gateway(models=NONE, auth=AUTH, policy=POLICY, limits=LIMITS, usage=USAGE),
    "a gateway in a host": lambda: mount(host, "/llm", Gateway(models=NONE)),
    "the usage page": lambda: UsagePage("sqlite:///none.db", page_auth=lambda scope: True),
    "metrics": lambda: PrometheusApp(CollectorRegistry()),
}

HEADERS = {"no token": [], "a token": [(b"authorization", f"Bearer {IDP.mint()}".encode())]}


@pytest.mark.parametrize("headers", HEADERS)
@pytest.mark.parametrize("name", APPS)
async def test_a_websocket_is_closed_before_it_is_open(name: str, headers: str) -> None:
    said: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        said.append(message)

    await APPS[name]()({"type": "websocket", "path": "/llm/ws", "headers": HEADERS[headers]}, receive, send)
    assert said == [{"type": "websocket.close", "code": 1008}]


@pytest.mark.parametrize("kind", ["webtransport", "", "lifespan2", "http2", "x" * 10_000])
@pytest.mark.parametrize("name", APPS)
async def test_of_other_protocols_an_app_says_that_it_does_not_know_them(name: str, kind: str) -> None:
    async def send(message: Any) -> None:
        raise AssertionError(message)

    with pytest.raises(NotImplementedError, match=r"^HTTP is served here, not '") as failure:
        await APPS[name]()({"type": kind, "path": "/llm/x", "headers": []}, None, send)
    assert len(str(failure.value)) < 200 or name == "a gateway in a host"
