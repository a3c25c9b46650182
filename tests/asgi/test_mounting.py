"""A gateway in real hosts: Starlette, Quart and Django, in memory, and one of them under a real server."""

from __future__ import annotations

import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from asgi_llmgate._types import ASGIApp, Message, Receive, Scope, Send
from asgi_llmgate.asgi import PROTECTED_RESOURCE, Front, mount
from asgi_llmgate.errors import SettingsError
from asgi_llmgate.testing.driver import call
from tests.helpers import django_site

Lifespan = Callable[[ASGIApp], Awaitable[list[str]]]
MakeHost = Callable[[list[str]], ASGIApp]

COMPLETE = ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def starlette(diary: list[str]) -> ASGIApp:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        diary.append("host up")
        yield
        diary.append("host down")

    async def page(request: Request) -> PlainTextResponse:
        return PlainTextResponse(f"host {request.url.path}")

    return Starlette(routes=[Route("/{path:path}", page, methods=["GET"])], lifespan=lifespan)


def quart(diary: list[str]) -> ASGIApp:
    from quart import Quart

    app = Quart(__name__)

    @app.before_serving
    async def up() -> None:
        diary.append("host up")

    @app.after_serving
    async def down() -> None:
        diary.append("host down")

    @app.route("/<path:path>")
    async def page(path: str) -> str:
        return f"host /{path}"

    return app.asgi_app


def django(diary: list[str]) -> ASGIApp:
    return lower_case(django_site.ready())


def lower_case(app: ASGIApp) -> ASGIApp:
    """Django sends `Content-Type`, which servers forgive and the driver does not."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        async def lowering_send(message: Message) -> None:
            if "headers" in message:
                message["headers"] = [(name.lower(), value) for name, value in message["headers"]]
            await send(message)

        await app(scope, receive, lowering_send)

    return wrapped


hosts = pytest.mark.parametrize("make_host", [starlette, quart, django])


@hosts
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/llm", b"gateway /llm /llm"),
        ("/llm/", b"gateway /llm /llm/"),
        ("/llm/v1/messages", b"gateway /llm /llm/v1/messages"),
        ("/llmfoo", b"host /llmfoo"),
        ("/other/llm", b"host /other/llm"),
        (PROTECTED_RESOURCE + "/llm", f"host {PROTECTED_RESOURCE}/llm".encode()),
    ],
)
async def test_the_gateway_has_what_is_under_its_prefix_and_the_host_the_rest(
    make_host: MakeHost, path: str, body: bytes, fake_gateway: Any
) -> None:
    assert (await call(mount(make_host([]), "/llm", fake_gateway()), "GET", path)).body == body


@pytest.mark.parametrize(
    ("make_host", "diary"),
    [
        (starlette, ["gateway up", "host up", "host down", "gateway down"]),
        (quart, ["gateway up", "host up", "host down", "gateway down"]),
        (django, ["gateway up", "gateway down"]),
    ],
)
async def test_the_gateway_starts_before_its_host_and_stops_after_it(
    make_host: MakeHost, diary: list[str], fake_gateway: Any, lifespan: Lifespan
) -> None:
    gateway = fake_gateway()
    assert await lifespan(mount(make_host(gateway.diary), "/llm", gateway)) == COMPLETE
    assert gateway.diary == diary


async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """A host that answers nothing, and shows what it was given."""
    scope["seen"].append(scope["type"])


@pytest.mark.parametrize(
    ("path", "root_path", "seen"),
    [
        pytest.param("/llm/v1", "", ("/llm", "/llm/v1"), id="direct"),
        pytest.param("/proxy/llm/v1", "/proxy", ("/proxy/llm", "/proxy/llm/v1"), id="uvicorn --root-path"),
        pytest.param("/llm/v1", "/proxy", ("/proxy/llm", "/llm/v1"), id="hypercorn --root-path"),
        pytest.param("/llm/v1", "/proxy/", ("/proxy/llm", "/llm/v1"), id="with a slash at its end"),
    ],
)
async def test_the_path_is_left_and_the_root_path_grows(
    path: str, root_path: str, seen: tuple[str, str], fake_gateway: Any
) -> None:
    reply = await call(mount(nothing, "/llm", fake_gateway()), "GET", path, scope={"root_path": root_path})
    assert reply.body.decode() == f"gateway {seen[0]} {seen[1]}"


async def test_the_servers_scope_is_not_changed(fake_gateway: Any) -> None:
    async def server(scope: Scope, receive: Receive, send: Send) -> None:
        before = dict(scope)
        await mount(nothing, "/llm", fake_gateway())(scope, receive, send)
        assert dict(scope) == before

    assert (await call(server, "GET", "/llm/v1")).status == 200


@pytest.mark.parametrize("root_path", ["", "/proxy"])
async def test_the_protected_resource_is_found_at_the_root_of_the_host(root_path: str, fake_gateway: Any) -> None:
    class Fronted(fake_gateway):  # type: ignore[misc]
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await Front(nothing, metadata=lambda scope: {"resource": scope["root_path"]})(scope, receive, send)

    app = mount(nothing, "/llm", Fronted(), well_known=True)
    path = root_path + PROTECTED_RESOURCE + "/llm"
    reply = await call(app, "GET", path, scope={"root_path": root_path})
    assert reply.json() == {"resource": root_path + "/llm"}


async def test_websockets_are_routed_alike_and_unknown_scopes_are_the_hosts(fake_gateway: Any) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError

    app = mount(nothing, "/llm", fake_gateway())
    seen: list[str] = []
    await app({"type": "websocket", "path": "/llm/v1", "headers": [], "seen": seen}, receive, send)
    await app({"type": "websocket", "path": "/chat", "headers": [], "seen": seen}, receive, send)
    await app({"type": "mqtt", "path": "/llm/v1", "seen": seen}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]
    assert seen == ["websocket", "mqtt"]


@pytest.mark.parametrize("prefix", ["", "/", "llm", "/llm/"])
def test_a_prefix_that_is_none_is_refused(prefix: str, fake_gateway: Any) -> None:
    with pytest.raises(SettingsError):
        mount(nothing, prefix, fake_gateway())


@hosts
def test_under_a_real_server_both_are_served_and_stopped(
    make_host: MakeHost, fake_gateway: Any, serve: Callable[..., str]
) -> None:
    gateway = fake_gateway()
    url = serve(mount(make_host(gateway.diary), "/llm", gateway))
    assert read(url + "/llm/v1/models") == b"gateway /llm /llm/v1/models"
    assert read(url + "/page") == b"host /page"
    assert gateway.diary[0] == "gateway up"


def read(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=5) as answer:
        content: bytes = answer.read()
        return content
