"""What only two parties may know is looked for everywhere else: in all that a whole run logs, answers, raises, shows.

The gateway is the one of the settings, over real HTTP, with every kind of credential in it and everything that can go
wrong on the way going wrong once.
"""

from __future__ import annotations

import base64
import gc
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from asgi_llmgate import Exchange, Gateway, mount
from asgi_llmgate.testing.driver import call
from asgi_llmgate.testing.idp import MockIdP
from tests.helpers.token_server import Asked, TokenServer

STATIC, OURS, OPAQUE, PROMPT = "sk-static-5ecret", "cl1ent-s3cret+/x", "opaque-caller-t0ken", "the-prompt-itself-x9"
ISSUED = "issued-t0ken-"
BODY = {"max_tokens": 50, "messages": [{"role": "user", "content": PROMPT}]}


def everything_of_ours() -> str:
    """The reprs of all the gateway's objects that there are."""
    return "\n".join(repr(each) for each in gc.get_objects() if str(type(each).__module__).startswith("asgi_llmgate"))


class Company:
    """An identity provider and a model server that both repeat what they were sent when something is wrong."""

    def __init__(self) -> None:
        self.wrong = ""
        self.tokens = TokenServer(self.answer)
        self.shown: list[str] = []
        self.reprs = ""

    def answer(self, asked: Asked) -> tuple[int, Any]:
        if self.wrong == "idp away":
            return 503, b"down"
        if self.wrong == "idp":
            return 400, {"error": "invalid_grant", "error_description": f"no: {dict(asked.form)} {asked.authorization}"}
        if asked.path == "/introspect":
            active = asked.form["token"] == OPAQUE
            return 200, {"active": active, "sub": "olga", "aud": "llm", "exp": 2**33, "team": "data"}
        return 200, {"access_token": ISSUED + str(len(self.tokens.asked)), "expires_in": 3600}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope["headers"])
        key = (headers.get(b"authorization") or headers.get(b"api-key", b"")).decode()
        self.shown.append(key)
        body = (await receive()).get("body", b"").decode()
        if self.wrong.startswith("model"):
            status = int(self.wrong.split()[1])
            said = f'{{"error":{{"message":"key {key} is bad, input={body!r}","type":"x"}}}}'.replace("'", "")
            await send({"type": "http.response.start", "status": status, "headers": [(b"x-your-key", key.encode())]})
            await send({"type": "http.response.body", "body": said.encode()})
            return
        if not self.wrong and not self.reprs:
            self.reprs = everything_of_ours()  # while a call is under way
        answer = (
            b'{"id":"c","object":"chat.completion","model":"m","choices":[{"index":0,"finish_reason":"stop",'
            b'"message":{"role":"assistant","content":"fine"}}],'
            b'"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}'
        )
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


KINDS = ("static", "own", "exchanged", "entra", "function")
WRONGS = ("idp", "idp away", "", "model 400", "model 401", "model 403", "model 429", "model 500")


def function(exchange: Exchange) -> str:
    return STATIC + "-of-the-function"


@pytest.fixture
def company() -> Company:
    return Company()


@pytest.fixture
def settings(
    company: Company, serve: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("STATIC", STATIC)
    (tmp_path / "secret").write_text(OURS)
    idp, model = serve(company.tokens), serve(company) + "/v1"
    client = {"client_id": "gateway", "client_secret": f"file:{tmp_path / 'secret'}"}
    grant = {"token_url": idp + "/token", **client}
    keys = {
        "static": "env:STATIC",
        "own": {"client_credentials": grant},
        "exchanged": {"token_exchange": grant},
        "entra": {"token_exchange": {**grant, "style": "on_behalf_of", "client_auth": "post"}},
        "function": {"callable": f"{__name__}:function"},
    }
    return {
        "auth": {
            "providers": [
                {
                    "issuer": "https://idp.test",
                    "audiences": ["llm"],
                    "jwks": {"inline": IDP.jwks},
                    "introspection": {"url": idp + "/introspect", **client},
                }
            ],
            "token_sources": ["authorization", "x-api-key"],
        },
        "policy": {"rules": ['jwt.team == "data"']},
        "backends": {kind: {"base_url": model, "api_key": key} for kind, key in keys.items()},
        "models": [{"match": kind, "use": f"{kind}/m", "list": [kind]} for kind in keys],
        "usage": {"access_log": {"file": str(tmp_path / "access.log")}, "fields": {"team": "jwt.team"}},
        "server": {"debug": True},
    }


IDP = MockIdP(issuer="https://idp.test", audience="llm")


async def test_a_secret_is_nowhere_but_where_it_belongs(
    company: Company, settings: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("asyncio").setLevel(logging.INFO)
    seen: list[str] = []
    tokens = [
        OPAQUE,
        "an-0ther-opaque-one",
        IDP.mint(team="data"),
        IDP.mint(team="sales"),
        IDP.mint(team="data", ttl=-99),
    ]
    exchanges: list[Exchange] = []

    async def host(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("the host is not asked")

    gateway = Gateway.from_settings(settings, folder=tmp_path)
    inner = mount(host, "/llm", gateway)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def watched(message: Any) -> None:
            seen.append(repr(message))
            await send(message)

        scope, exchange = Exchange.enter(scope)
        exchanges.append(exchange)
        await inner(scope, receive, watched)

    statuses = set()
    async with gateway:
        for wrong in WRONGS:
            company.wrong = wrong
            for kind in KINDS:
                for token in tokens:
                    body = {**BODY, "model": kind}
                    headers = {"authorization": f"Bearer {token}", "x-api-key": token}
                    reply = await call(app, "POST", "/llm/v1/messages", json=body, headers=headers)
                    statuses.add(reply.status)
                    seen.append(repr(dict(reply.headers)) + reply.body.decode())
    seen += [repr(exchange) for exchange in exchanges]
    seen += [company.reprs, everything_of_ours()]
    out, err = capfd.readouterr()
    seen += [caplog.text, out, err, (tmp_path / "access.log").read_text()]

    assert {200, 401, 403, 502, 503} <= statuses
    assert f"Bearer {STATIC}" in company.shown
    assert f"Bearer {STATIC}-of-the-function" in company.shown
    assert any(each.startswith(f"Bearer {ISSUED}") for each in company.shown)
    assert {asked.form.get("subject_token") for asked in company.tokens.asked} >= {OPAQUE, tokens[2]}

    text = "\n".join(seen)
    signatures = [token.rpartition(".")[2] for token in tokens[2:]]
    secrets = [STATIC, OURS, ISSUED, PROMPT, *tokens[:2], *signatures]
    for secret in secrets:
        for form in (secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode().rstrip("=")[:-1]):
            found = [text[max(0, place.start() - 200) : place.end()] for place in re.finditer(re.escape(form), text)]
            assert found == [], f"{secret}: {found[0]}"
