"""Calls that miss the mount, in real hosts under a real server: the right base URL is told; hosts stay as they are."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from asgi_llmgate import Gateway, UsageRecord, mount
from tests.helpers import django_site
from tests.integrations.conftest import ASK

if TYPE_CHECKING:
    from tests.integrations.conftest import Company

CLAUDE = {"anthropic-version": "2023-06-01"}


def starlette(gateway: Gateway) -> Any:
    """Starlette's own Mount, with the gateway's lifespan."""
    from starlette.applications import Starlette
    from starlette.routing import Mount

    return Starlette(routes=[Mount("/llm", app=gateway)], lifespan=gateway.lifespan)


def starlette_combined(gateway: Gateway) -> Any:
    from llmgate_starlette import combine
    from starlette.applications import Starlette
    from starlette.routing import Mount

    @asynccontextmanager
    async def own(app: Any) -> Any:
        yield {"up": True}

    return Starlette(routes=[Mount("/llm", app=gateway)], lifespan=combine(own, gateway.lifespan))


def fastapi(gateway: Gateway) -> Any:
    from fastapi import FastAPI

    app = FastAPI(lifespan=gateway.lifespan)
    app.mount("/llm", gateway)
    return app


def starlette_wrapped(gateway: Gateway) -> Any:
    from starlette.applications import Starlette

    return mount(Starlette(), "/llm", gateway)


def fastapi_wrapped(gateway: Gateway) -> Any:
    from fastapi import FastAPI

    return mount(FastAPI(), "/llm", gateway)


def quart(gateway: Gateway) -> Any:
    from llmgate_quart import LLMGate
    from quart import Quart

    app = Quart(__name__)
    LLMGate(app, gateway=gateway)
    return app


def django(gateway: Gateway) -> Any:
    """A page at every path: a POST without a CSRF token is a 403."""
    return mount(django_site.ready(), "/llm", gateway)


HOSTS = [starlette, starlette_combined, fastapi, starlette_wrapped, fastapi_wrapped, quart, django]
hosts = pytest.mark.parametrize("make_host", HOSTS)


class Kept(list[UsageRecord]):
    def emit(self, record: UsageRecord) -> None:
        self.append(record)


@hosts
def test_the_right_base_url_is_told_wherever_the_wrong_one_leads(
    make_host: Any, company: Company, serve: Callable[..., str]
) -> None:
    records = Kept()
    # A rule about models denies what is no call: it must not hide the words.
    setting = company.settings(policy={"rules": ['llm.model == "gpt-4o-mini"']})
    url = serve(make_host(Gateway.from_settings(setting, sinks=[records])))

    def ask(base: str, **headers: str) -> httpx.Response:
        return httpx.post(f"{url}{base}/v1/messages?beta=true", json=ASK, headers={**CLAUDE, **headers})

    token = company.bearer(sub="ada")
    assert ask("/llm", **token).status_code == 200
    for base, mistake in {
        "": "ANTHROPIC_BASE_URL has no path and should",
        "/v1": "the path of ANTHROPIC_BASE_URL is /v1, where no gateway is",
        "/LLM": "the path of ANTHROPIC_BASE_URL is /LLM, where no gateway is",
        "/llm/v1": "ANTHROPIC_BASE_URL ends in /v1 and should not",
        "/llm/llm": "ANTHROPIC_BASE_URL ends in /llm and should not",
        "/llm/v1/messages": "ANTHROPIC_BASE_URL ends in /v1/messages and should not",
    }.items():
        answer = ask(base, **token)
        text = f"nothing is served at {base}/v1/messages: {mistake}; set it to {url}/llm"
        assert (answer.status_code, answer.json()["error"]["message"]) == (421, text)
    assert ask("/llm/v1").status_code == 401  # under the mount, who calls is asked first
    assert [(record.status, record.subject, record.reason) for record in records] == [
        (200, "ada", ""),
        *[(421, "ada", "NotFound")] * 3,
        (401, "", "JwtAuth"),
    ]


@hosts
def test_what_no_client_of_the_api_sends_is_the_hosts(
    make_host: Any, company: Company, serve: Callable[..., str]
) -> None:
    url = serve(make_host(Gateway.from_settings(company.settings())))
    assert httpx.post(f"{url}/v1/messages", json=ASK).status_code in (403, 404)
    assert httpx.post(f"{url}/page", json=ASK, headers=CLAUDE).status_code in (403, 404)
    assert httpx.get(f"{url}/v1/messages", headers=CLAUDE).status_code in (200, 404)


@pytest.mark.parametrize("make_host", [starlette, fastapi])
async def test_after_the_lifespan_the_app_is_as_it_was(make_host: Any, company: Company) -> None:
    gateway = Gateway.from_settings(company.settings())
    app = make_host(gateway)
    before = app.router.default
    async with gateway.lifespan(app):
        assert app.router.default is not before
    assert app.router.default == before
