"""A traceback may be shown with its variables (Django's debug page, Sentry, rich): no key or token is among ours.

What aiohttp, the ASGI server and the host hold in their own frames is theirs; those below the HTTP client are cut off
from what it raises (tests/net/test_secret_headers.py).
"""

from __future__ import annotations

import asyncio
import pprint
from functools import partial
from typing import Any

import httpx
import pytest

from asgi_llmgate import Backend, Gateway, JWTAuthMiddleware, JWTProvider, ModelRow, ModelTable, UsageMiddleware, mount
from asgi_llmgate.errors import GateError
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.net import HTTPClient, OAuthClient
from asgi_llmgate.net.secrets import StaticSecret
from asgi_llmgate.protocol.servers.dialects import DIALECTS
from asgi_llmgate.route import Route
from asgi_llmgate.routing.routes import ROUTES
from asgi_llmgate.secret_values import Secret, hide_header_values
from asgi_llmgate.testing.driver import call
from asgi_llmgate.testing.idp import MockIdP
from asgi_llmgate.upstream import ClientCredentials, TokenExchange
from tests.helpers.stack_frames import frames_of, running_frames, shown

KEY, EXTRA = "sk-up5tream-key", "an-extra-5ecret"
IDP = MockIdP(issuer="https://idp.test", audience="llm")
TOKEN_URL = "https://idp.test/token"

CALL = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "messages": ("/v1/messages", CALL),
    "stream": ("/v1/messages", {**CALL, "stream": True}),
    "count_tokens": ("/v1/messages/count_tokens", CALL),
    "completions": ("/v1/chat/completions", CALL),
    "completions, stream": ("/v1/chat/completions", {**CALL, "stream": True}),
    "passthrough": ("/v1/embeddings", {"model": "m", "input": "hi"}),
    "native": ("/v1/messages", {**CALL, "model": "native"}),
    "native, count_tokens": ("/v1/messages/count_tokens", {**CALL, "model": "native"}),
    "own token": ("/v1/messages", {**CALL, "model": "own"}),
    "exchanged": ("/v1/messages", {**CALL, "model": "exchanged"}),
    "on behalf of": ("/v1/messages", {**CALL, "model": "obo"}),
}


def gateway(client: HTTPClient) -> Any:
    oauth: dict[str, Any] = {
        "token_url": TOKEN_URL,
        "client": OAuthClient("gate", StaticSecret(Secret(KEY)), "post"),
        "http": client,
    }
    keys = {
        "m": StaticSecret(Secret(KEY)),
        "native": StaticSecret(Secret(KEY)),
        "own": ClientCredentials(**oauth),
        "exchanged": TokenExchange(**oauth),
        "obo": TokenExchange(style="on_behalf_of", **oauth),
    }
    more = {"m": {"dialect": DIALECTS["vllm"]}, "native": {"dialect": DIALECTS["anthropic"]}}
    backends = {
        name: Backend(base_url="https://m.test/v1", api_key=key, extra_headers={"x-extra": EXTRA}, **more.get(name, {}))  # type: ignore[arg-type]
        for name, key in keys.items()
    }
    table = ModelTable([ModelRow(name, (f"{name}/x",)) for name in keys], dict.fromkeys(keys, "x"))
    routes = {**ROUTES, "/v1/chat/completions": Route("completions"), "/v1/embeddings": Route("passthrough", "m")}
    provider = JWTProvider(issuers=["https://idp.test"], audiences=["llm"], jwks=IDP.jwks)
    made = Gateway(
        backends=backends,
        models=table,
        routes=routes,
        client=client,
        auth=partial(JWTAuthMiddleware, providers=[provider]),
        usage=UsageMiddleware,
    )
    return mount(lambda scope, receive, send: asyncio.sleep(0), "/llm", made)


@pytest.mark.parametrize("kind", CALLS)
async def test_while_a_call_is_sent_no_frame_of_ours_shows_a_key_or_a_token(kind: str) -> None:
    path, body = CALLS[kind]
    looked_at: list[str] = []
    sent: list[httpx.Request] = []

    def look(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        looked_at.append(shown(running_frames()))
        if str(request.url) == TOKEN_URL:
            return httpx.Response(200, json={"access_token": "issued-" + KEY, "expires_in": 300})
        raise httpx.ReadError("reset")

    token = IDP.mint(sub="alice")
    client = HTTPClient(transport=httpx.MockTransport(look))
    await call(gateway(client), "POST", "/llm" + path, json=body, headers={"authorization": f"Bearer {token}"})
    assert KEY in "".join(f"{dict(request.headers)} {request.content!r}" for request in sent)
    assert any("UsageMiddleware" in text for text in looked_at)
    for secret in (KEY, EXTRA, token, token.rpartition(".")[2]):
        assert [text for text in looked_at if secret in text] == []


async def test_an_answer_that_cannot_be_ended_is_raised_without_a_secret() -> None:
    async def broken() -> Any:
        yield b"{"
        raise httpx.ReadError("reset")

    client = HTTPClient(transport=httpx.MockTransport(lambda _: httpx.Response(200, content=broken())))
    token = IDP.mint(sub="alice")
    with pytest.raises(GateError) as caught:
        await call(
            gateway(client), "POST", "/llm/v1/embeddings", json=CALL, headers={"authorization": f"Bearer {token}"}
        )
    text = shown(frames_of(caught.value))
    assert "UsageMiddleware" in text
    for secret in (KEY, EXTRA, token.rpartition(".")[2]):
        assert secret not in text


def test_a_shielded_scope_is_what_it_was() -> None:
    headers = [(b"authorization", b"Bearer abc"), (b"x-api-key", b"abc")]
    scope = hide_header_values({"type": "http", "headers": headers})
    assert scope["headers"] == headers
    assert dict(scope["headers"])[b"authorization"].decode() == "Bearer abc"
    assert "abc" not in repr(scope)
    assert "abc" not in pprint.pformat(scope)
    _, exchange = Exchange.enter({"type": "http", "headers": headers})
    assert exchange.headers == {"authorization": "Bearer abc", "x-api-key": "abc"}
