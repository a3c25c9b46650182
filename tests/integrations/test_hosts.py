"""What a host does is the same with a gateway beside it, and our layers serve a host's own pages as well."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from asgi_llmgate import Exchange, Gateway, JWTAuthMiddleware, PolicyMiddleware, UsageMiddleware, UsageRecord, mount
from asgi_llmgate.testing.idp import MockIdP
from asgi_llmgate.testing.serving import serving
from tests.helpers import django_site
from tests.integrations.conftest import ASK

if TYPE_CHECKING:
    from tests.integrations.conftest import Company

Diary = list[str]


def starlette(diary: Diary) -> Any:
    from starlette.applications import Starlette

    return with_middleware(Starlette(routes=routes(), lifespan=partial(lifespan, diary)))


def fastapi(diary: Diary) -> Any:
    from fastapi import FastAPI

    return with_middleware(FastAPI(routes=routes(), lifespan=partial(lifespan, diary)))


def with_middleware(app: Any) -> Any:
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.middleware.sessions import SessionMiddleware

    app.add_middleware(BaseHTTPMiddleware, dispatch=stamp)
    app.add_middleware(SessionMiddleware, secret_key="x")
    return app


def routes() -> Any:
    from starlette.routing import Route, WebSocketRoute

    return [
        Route("/page", page),
        Route("/headers", shown_headers),
        Route("/count", count),
        Route("/upload", upload, methods=["POST"]),
        WebSocketRoute("/echo", echo),
    ]


async def page(request: Any) -> Any:
    from starlette.responses import JSONResponse

    return JSONResponse({"root": request.scope.get("root_path"), "path": request.url.path, "up": request.state.up})


async def shown_headers(request: Any) -> Any:
    from starlette.responses import JSONResponse

    return JSONResponse({name: request.headers.get(name) for name in ("authorization", "x-api-key", "cookie")})


async def count(request: Any) -> Any:
    from starlette.responses import PlainTextResponse

    request.session["n"] = request.session.get("n", 0) + 1
    return PlainTextResponse(str(request.session["n"]))


async def upload(request: Any) -> Any:
    from starlette.responses import PlainTextResponse

    return PlainTextResponse(str(len(await request.body())))


async def echo(websocket: Any) -> None:
    await websocket.accept()
    await websocket.send_text(f"host {await websocket.receive_text()}")
    await websocket.close()


async def stamp(request: Any, call_next: Any) -> Any:
    response = await call_next(request)
    response.headers["x-host"] = "yes"
    return response


@asynccontextmanager
async def lifespan(diary: Diary, app: Any) -> AsyncIterator[Mapping[str, Any]]:
    diary.append("up")
    yield {"up": True}
    diary.append("down")


def quart(diary: Diary) -> Any:
    from quart import Quart, request, session, websocket

    app = Quart(__name__)
    app.secret_key = "x"
    app.before_serving(lambda: diary.append("up"))
    app.after_serving(lambda: diary.append("down"))

    @app.after_request
    async def stamped(response: Any) -> Any:
        response.headers["x-host"] = "yes"
        return response

    @app.get("/page")
    async def own_page() -> dict[str, Any]:
        return {"root": request.root_path, "path": request.path, "up": diary[-1:] == ["up"]}

    @app.get("/headers")
    async def own_headers() -> dict[str, Any]:
        return {name: request.headers.get(name) for name in ("authorization", "x-api-key", "cookie")}

    @app.get("/count")
    async def own_count() -> str:
        session["n"] = session.get("n", 0) + 1
        return str(session["n"])

    @app.post("/upload")
    async def own_upload() -> str:
        return str(len(await request.data))

    @app.websocket("/echo")
    async def own_echo() -> None:
        await websocket.send(f"host {await websocket.receive()}")

    return app


def django(diary: Diary) -> Any:
    return django_site.ready()


hosts = pytest.mark.parametrize("make_host", [starlette, fastapi, quart, django])


def seen(app: Any, root_path: str) -> list[Any]:
    """What a browser sees of a host: pages, uploads, a session, a websocket, what is not there."""
    found: list[Any] = []
    options = {"timeout_graceful_shutdown": 1, "root_path": root_path}
    with serving(app, **options) as url, httpx.Client(base_url=url) as browser:
        for answer in (
            browser.get("/page"),
            browser.get("/no/such/page"),
            browser.get("/llmfoo"),
            browser.get("/count"),
            browser.get("/count"),
            browser.post("/upload", content=b"x" * 100_000),
            browser.options("/page"),
            browser.head("/page"),
            browser.get("/headers", headers={"authorization": "Bearer a", "x-api-key": "b", "cookie": "c=d"}),
        ):
            kept = {name: answer.headers.get(name) for name in ("content-type", "x-host", "allow")}
            found.append((answer.request.url.path, answer.status_code, answer.text, kept))
        try:
            with connect(f"ws{url[4:]}/echo", open_timeout=30) as websocket:
                websocket.send("hello")
                found.append(websocket.recv(timeout=30))
        except InvalidStatus as error:
            found.append(error.response.status_code)
    return found


@hosts
@pytest.mark.parametrize("root_path", ["", "/proxy"])
def test_a_host_is_the_same_with_a_gateway_beside_it(make_host: Any, root_path: str, company: Company) -> None:
    alone: Diary = []
    beside: Diary = []
    gateway = Gateway.from_settings(company.settings())
    before = seen(make_host(alone), root_path)
    after = seen(mount(make_host(beside), "/llm", gateway), root_path)
    assert after == before
    assert beside == alone
    assert make_host is django or (alone == ["up", "down"] and before[-1] == "host hello")


@hosts
def test_behind_a_proxys_path_the_gateway_is_there_too(
    make_host: Any, company: Company, serve: Callable[..., str]
) -> None:
    url = serve(mount(make_host([]), "/llm", Gateway.from_settings(company.settings())), root_path="/proxy")
    assert httpx.post(f"{url}/llm/v1/messages", json=ASK, headers=company.bearer()).status_code == 200


@hosts
def test_a_websocket_at_the_gateway_is_refused_and_is_no_error_in_the_log(
    make_host: Any, company: Company, serve: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    url = serve(mount(make_host([]), "/llm", Gateway.from_settings(company.settings())))
    for path in ("/llm/v1/messages", "/llm", "/llm/v1/realtime"):
        for headers in (company.bearer(), {}):
            with pytest.raises(InvalidStatus, match="403"), ExitStack() as stack:
                stack.enter_context(connect(f"ws{url[4:]}{path}", additional_headers=headers))
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


class Kept(list[UsageRecord]):
    """A sink."""

    def emit(self, record: UsageRecord) -> None:
        self.append(record)


@hosts
def test_a_hosts_own_view_behind_auth_and_policy_alone(
    make_host: Any, idp: MockIdP, company: Company, serve: Callable[..., str]
) -> None:
    rules = ['jwt.team == "data-platform" && request.path != "/secret"']
    app = JWTAuthMiddleware(PolicyMiddleware(make_host([]), rules=rules), providers=[idp.provider()])
    url = serve(app)
    path = "/whoami" if make_host is django else "/headers"
    sent = company.bearer(sub="ada")
    good = httpx.get(url + path, headers={**sent, "x-api-key": "theirs"})
    assert good.status_code == 200
    assert good.json()["authorization"] == sent["authorization"]
    if make_host is django:
        assert good.json()["caller"] == "ada"
    else:
        assert good.json()["x-api-key"] == "theirs"
    assert httpx.get(url + path).status_code == 401
    assert httpx.get(url + path, headers=company.bearer(team="marketing")).status_code == 403
    assert httpx.get(f"{url}/secret", headers=sent).status_code == 403
    if make_host is not django:
        with pytest.raises(InvalidStatus, match="403"), ExitStack() as stack:
            stack.enter_context(connect(f"ws{url[4:]}/echo"))
        with connect(f"ws{url[4:]}/echo", additional_headers=sent) as websocket:
            websocket.send("hello")
            assert websocket.recv(timeout=30) == "host hello"


@hosts
def test_our_layers_host_wide_and_a_gateway_are_two_exchanges_and_one_record(
    make_host: Any, company: Company, serve: Callable[..., str]
) -> None:
    """The host's pages know people by one provider, the gateway callers by another; each has its own identity."""
    people, exchanges, host_records, gateway_records = MockIdP(issuer="people"), [], Kept(), Kept()

    class Noting:
        """The innermost: notes the exchange that the host's own page sees."""

        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                exchanges.append(Exchange.of(scope))
            await self.app(scope, receive, send)

    class Inside(Gateway):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                exchanges.append(Exchange.of(scope))
            await super().__call__(scope, receive, send)

    gateway = Inside.from_settings(
        company.settings(
            auth={"providers": [company.provider()], "token_sources": ["header:x-llm-token"]},
            policy={"rules": ['jwt.sub == "robot"']},
        ),
        sinks=[gateway_records],
    )
    inner = mount(Noting(make_host([])), "/llm", gateway)
    app = UsageMiddleware(JWTAuthMiddleware(inner, providers=[people.provider()]), sinks=[host_records])
    url = serve(app)
    person = {"authorization": f"Bearer {people.mint(sub='ada')}"}
    robot = {"x-llm-token": company.idp.mint(sub="robot")}

    assert httpx.get(f"{url}/headers", headers=person).status_code == 200
    assert httpx.post(f"{url}/llm/v1/messages", json=ASK, headers=person | robot).status_code == 200
    assert httpx.post(f"{url}/llm/v1/messages", json=ASK, headers=person).status_code == 401
    assert httpx.post(f"{url}/llm/v1/messages", json=ASK, headers=robot).status_code == 401

    assert [(record.path, record.status, record.subject) for record in host_records] == [
        ("/headers", 200, "ada"),
        ("/llm/v1/messages", 401, ""),
    ]
    assert [(record.path, record.status, record.subject) for record in gateway_records] == [
        ("/llm/v1/messages", 200, "robot"),
        ("/llm/v1/messages", 401, ""),
    ]
    assert {exchange.identity.subject for exchange in exchanges} == {"ada"}
    assert {record.request_id for record in gateway_records}.isdisjoint(each.request_id for each in exchanges)
