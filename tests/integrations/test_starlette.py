"""Starlette's and FastAPI's idioms: Mount, Middleware, lifespan, request.user, Config, dependencies."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import httpx
import pytest
import yaml
from fastapi import Depends, FastAPI
from llmgate_starlette import IdentityBackend, User, combine, from_config, identity, require_identity, session_viewer
from starlette.applications import Starlette
from starlette.authentication import requires
from starlette.config import Config
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from asgi_llmgate import (
    Backend,
    Gateway,
    Identity,
    JWTAuthMiddleware,
    ModelRow,
    ModelTable,
    PolicyMiddleware,
    ResolveMiddleware,
    SettingsError,
    TranslationApp,
    UsageMiddleware,
    UsageRecord,
)
from asgi_llmgate.testing.driver import call
from asgi_llmgate.testing.idp import MockIdP
from tests.integrations.conftest import ASK, TEAM

if TYPE_CHECKING:
    from tests.integrations.conftest import Company


def test_mount_is_starlettes_own(company: Company, serve: Callable[..., str]) -> None:
    gateway = Gateway.from_settings(company.settings())
    url = serve(Starlette(routes=[Mount("/llm", app=gateway)], lifespan=gateway.lifespan))
    answer = httpx.post(f"{url}/llm/v1/messages", json=ASK, headers=company.bearer())
    assert answer.json()["content"][0]["text"] == "Hi."
    assert httpx.post(f"{url}/llm/v1/messages", json=ASK).status_code == 401


def test_the_layers_are_starlettes_middleware(company: Company, serve: Callable[..., str]) -> None:
    """What Gateway does, by hand, in a Mount's own list."""
    models = ModelTable([ModelRow("*", ("openai/gpt-4o-mini",))], {"openai": "openai"})
    records: list[UsageRecord] = []

    class Kept:
        def emit(self, record: UsageRecord) -> None:
            records.append(record)

    layers = [
        Middleware(UsageMiddleware, sinks=[Kept()]),
        Middleware(JWTAuthMiddleware, providers=[company.idp.provider()], strip_credentials=True),
        Middleware(ResolveMiddleware, models=models),
        Middleware(PolicyMiddleware, rules=[TEAM]),
    ]
    app = TranslationApp({"openai": Backend(base_url=company.base_url)}, models=models)

    @asynccontextmanager
    async def closing(host: Any) -> AsyncIterator[None]:
        yield
        await app.aclose()

    url = serve(Starlette(routes=[Mount("/llm", app=app, middleware=layers)], lifespan=closing))
    statuses = [
        httpx.post(f"{url}/llm/v1/messages", json=ASK, headers=headers).status_code
        for headers in (company.bearer(sub="ada"), company.bearer(team="marketing"), {})
    ]
    assert statuses == [200, 403, 401]
    assert [(record.status, record.subject) for record in records] == [(200, "ada"), (403, ""), (401, "")]


# Sessions


async def signed_in(scope: Any) -> Identity | None:
    """Who has signed in to the host, by Starlette's session."""
    name = scope["session"].get("user")
    return Identity(subject=name, provider="session", claims={"sub": name, "team": "data-platform"}) if name else None


@pytest.mark.parametrize(
    ("headers", "status"),
    [({}, 200), ({"sec-fetch-site": "cross-site"}, 403), ({"content-type": "text/plain"}, 403)],
    ids=str,
)
def test_a_session_of_the_host_can_say_who_calls(
    company: Company, serve: Callable[..., str], headers: dict[str, str], status: int
) -> None:
    gateway = Gateway.from_settings(company.settings(auth={}), session=signed_in)

    async def login(request: Request) -> JSONResponse:
        request.session["user"] = "ada"
        return JSONResponse("welcome")

    url = serve(
        Starlette(
            routes=[Route("/login", login), Mount("/llm", app=gateway)],
            middleware=[Middleware(SessionMiddleware, secret_key="x")],
            lifespan=gateway.lifespan,
        )
    )
    with httpx.Client(base_url=url) as browser:
        assert browser.post("/llm/v1/messages", json=ASK).status_code == 401
        browser.get("/login")
        assert browser.post("/llm/v1/messages", json=ASK, headers=headers).status_code == status


# Lifespans


def keeper(entries: list[str], name: str, state: Mapping[str, Any] | None = None, *, fails: bool = False) -> Any:
    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[Mapping[str, Any] | None]:
        if fails:
            raise ConnectionError(name)
        entries.append(f"{name} up")
        yield state
        entries.append(f"{name} down")

    return lifespan


async def test_lifespans_nest_and_their_states_are_merged() -> None:
    entries: list[str] = []
    both = combine(keeper(entries, "a", {"x": 1, "y": 1}), keeper(entries, "b"), keeper(entries, "c", {"y": 2}))
    async with both(Starlette()) as state:
        assert state == {"x": 1, "y": 2}
    assert entries == ["a up", "b up", "c up", "c down", "b down", "a down"]


async def test_what_has_started_is_ended_when_a_later_one_fails() -> None:
    entries: list[str] = []

    @asynccontextmanager
    async def careful(app: Any) -> AsyncIterator[None]:
        try:
            yield
        finally:
            entries.append("ended")

    with pytest.raises(ConnectionError):
        async with combine(careful, keeper(entries, "b", fails=True))(Starlette()):
            raise AssertionError
    assert entries == ["ended"]


# request.user and request.auth


async def whoami(request: Request) -> JSONResponse:
    user = request.user
    return JSONResponse(
        {
            "known": user.is_authenticated,
            "name": user.display_name,
            "scopes": request.auth.scopes,
            "team": user.claims["team"] if isinstance(user, User) else None,
        }
    )


@requires("reports:read")
async def reports(request: Request) -> JSONResponse:
    return JSONResponse([request.user.identity])


def protected(idp: MockIdP) -> Starlette:
    return Starlette(
        routes=[Route("/whoami", whoami), Route("/reports", reports)],
        middleware=[
            Middleware(JWTAuthMiddleware, providers=[idp.provider()], mode="optional"),
            Middleware(AuthenticationMiddleware, backend=IdentityBackend()),
        ],
    )


@pytest.mark.parametrize(
    ("claims", "name", "scopes"),
    [
        ({"sub": "u1"}, "u1", []),
        ({"sub": "u1", "email": "ada@acme.test"}, "ada@acme.test", []),
        ({"sub": "u1", "name": "Ada", "scope": "reports:read a"}, "Ada", ["reports:read", "a"]),
        ({"sub": "u1", "scp": ["x", "y"]}, "u1", ["x", "y"]),
    ],
)
async def test_a_caller_is_the_user(idp: MockIdP, company: Company, claims: Any, name: str, scopes: list[str]) -> None:
    reply = await call(protected(idp), "GET", "/whoami", headers=company.bearer(**claims))
    assert reply.json() == {"known": True, "name": name, "scopes": ["authenticated", *scopes], "team": "data-platform"}


async def test_without_a_token_the_user_is_starlettes_unauthenticated_user(idp: MockIdP) -> None:
    reply = await call(protected(idp), "GET", "/whoami")
    assert reply.json() == {"known": False, "name": "", "scopes": [], "team": None}


async def test_requires_asks_for_the_tokens_scopes(idp: MockIdP, company: Company) -> None:
    good = await call(protected(idp), "GET", "/reports", headers=company.bearer(sub="ada", scope="reports:read"))
    assert (good.status, good.json()) == (200, ["ada"])
    assert (await call(protected(idp), "GET", "/reports", headers=company.bearer())).status == 403
    assert (await call(protected(idp), "GET", "/reports")).status == 403


# FastAPI


def test_dependencies_read_the_identity(idp: MockIdP, company: Company, serve: Callable[..., str]) -> None:
    app = FastAPI()
    app.add_middleware(JWTAuthMiddleware, providers=[idp.provider()], mode="optional")

    @app.get("/me")
    def me(caller: Annotated[Identity, Depends(require_identity)]) -> dict[str, str]:
        return {"sub": caller.subject}

    @app.get("/open")
    def everybody(caller: Annotated[Identity, Depends(identity)]) -> bool:
        return caller.is_authenticated

    url = serve(app)
    assert httpx.get(f"{url}/me", headers=company.bearer(sub="ada")).json() == {"sub": "ada"}
    refused = httpx.get(f"{url}/me")
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert httpx.get(f"{url}/open").json() is False
    assert httpx.get(f"{url}/me", headers={"authorization": "Bearer x.y.z"}).status_code == 401


async def test_without_a_layer_the_error_names_what_is_missing() -> None:
    async def page(request: Request) -> JSONResponse:
        return JSONResponse(identity(request).subject)

    with pytest.raises(LookupError, match="put a layer of asgi_llmgate before"):
        await call(Starlette(routes=[Route("/", page)]), "GET", "/")


# Config


@pytest.fixture
def folder(company: Company, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One with settings that take two things from the environment, neither of which is there."""
    for name in ("COMPANY_MODEL_URL", "COMPANY_MODEL_KEY", "LLMGATE_CONFIG", "UNRELATED"):
        monkeypatch.setenv(name, "")  # restored at the end
        monkeypatch.delenv(name)
    backend = {"base_url": "${COMPANY_MODEL_URL}", "api_key": "env:COMPANY_MODEL_KEY"}
    (tmp_path / "gate.yaml").write_text(yaml.safe_dump(company.settings(backends={"openai": backend})))
    (tmp_path / ".env").write_text(
        f"LLMGATE_CONFIG={tmp_path}/gate.yaml\nCOMPANY_MODEL_URL={company.base_url}\nCOMPANY_MODEL_KEY=sk-1\nUNRELATED=1\n"
    )
    return tmp_path


def test_config_knows_the_file_and_what_it_needs(folder: Path, company: Company, serve: Callable[..., str]) -> None:
    import os

    environment = dict(os.environ)
    url = serve(from_config(Config(folder / ".env")))
    assert httpx.post(f"{url}/v1/messages", json=ASK, headers=company.bearer()).status_code == 200
    assert company.model.requests[0].authorization == "Bearer sk-1"
    assert dict(os.environ) == environment


def test_the_environment_counts_before_the_env_file(
    folder: Path, company: Company, serve: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMPANY_MODEL_KEY", "sk-2")
    url = serve(from_config(Config(folder / ".env")))
    httpx.post(f"{url}/v1/messages", json=ASK, headers=company.bearer())
    assert company.model.requests[0].authorization == "Bearer sk-2"


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.yaml cannot be read"):
        from_config(Config(), tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("session", "login", "viewer"),
    [
        ({"user": {"name": "ada", "team": "search"}}, None, {"name": "ada", "team": "search"}),
        ({"user": "ada"}, "/login", {"name": "ada"}),
        ({}, "/login", "/login?next=%2Fllm-usage%2F"),
        ({"user": ""}, None, None),
    ],
)
def test_the_session_is_the_viewer_of_the_usage_page(session: Any, login: str | None, viewer: Any) -> None:
    assert session_viewer(login=login)({"path": "/llm-usage/", "session": session}) == viewer


def test_a_page_without_a_session_middleware_is_an_error_that_names_it() -> None:
    with pytest.raises(LookupError, match="put SessionMiddleware around the mounted page"):
        session_viewer()({"path": "/llm-usage/"})
