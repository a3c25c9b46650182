"""The certified oidc-provider: discovery, every algorithm, opaque tokens, and we as its client in three ways."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from asgi_llmgate import Gateway
from asgi_llmgate.testing.driver import call

if TYPE_CHECKING:
    from tests.idp.conftest import OIDCProvider

pytestmark = pytest.mark.idp

BODY = {"model": "claude-opus-5", "max_tokens": 50, "messages": [{"role": "user", "content": "hello"}]}
GATEWAY_SECRET = "gateway-s3cret+/%:"
AUDIENCE = "https://gate.test/llm"


def described(idp: OIDCProvider, **options: Any) -> dict[str, Any]:
    return {"issuer": idp.issuer, "audiences": [AUDIENCE], **options}


async def answer(gateway: Gateway, token: str) -> tuple[int, str]:
    reply = await call(gateway, "POST", "/v1/messages", json=BODY, headers={"authorization": f"Bearer {token}"})
    # Behind the reason is what a developer can do.
    return reply.status, reply.json().get("error", {}).get("message", "").partition("; ")[0]


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA"])
async def test_a_token_of_each_algorithm_is_verified_by_discovered_keys(
    oidc_provider: OIDCProvider, gateway: Callable[..., Any], algorithm: str
) -> None:
    app, _ = gateway(described(oidc_provider, profile="rfc9068", required_scopes=["llm.use"]))
    token = oidc_provider.jwt(algorithm)
    async with app:
        assert await answer(app, token) == (200, "")
        head, body, signature = token.split(".")
        forged = f"{head}.{body}.{signature[:-8]}{'A' * 8}"
        assert await answer(app, forged) == (401, "authentication failure: invalid signature")
    other, _ = gateway(described(oidc_provider, audiences=["another"]))
    async with other:
        assert await answer(other, token) == (401, "authentication failure: wrong audience")


def introspection(idp: OIDCProvider, secret: str, **options: Any) -> dict[str, Any]:
    return {"url": idp.introspection_url, "client_id": "gateway", "client_secret": secret, **options}


async def test_opaque_tokens_are_introspected_until_they_are_revoked(
    oidc_provider: OIDCProvider, gateway: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_SECRET", GATEWAY_SECRET)
    provider = described(
        oidc_provider,
        audiences="none",
        client_ids=["batch"],
        introspection=introspection(oidc_provider, "env:GATEWAY_SECRET"),
    )
    app, _ = gateway(provider, policy={"rules": ['jwt.client_id == "batch" && "llm.use" in jwt.scopes']})
    token = oidc_provider.opaque()
    assert "." not in token
    async with app:
        assert await answer(app, token) == (200, "")
        assert (await answer(app, token[:-1] + "x"))[0] == 401
    revoked = oidc_provider.web.post(
        f"{oidc_provider.token_url}/revocation", data={"token": token}, auth=("batch", "batch-secret")
    )
    assert revoked.status_code == 200
    app, _ = gateway(provider, policy={"default": "allow"})
    async with app:
        status, text = await answer(app, token)
    assert (status, text) == (
        401,
        "authentication failure: the identity provider does not know the token, or no longer",
    )


async def test_a_wrong_secret_of_ours_is_nobody_elses_401(
    oidc_provider: OIDCProvider, gateway: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_SECRET", "wrong")
    app, _ = gateway(described(oidc_provider, introspection=introspection(oidc_provider, "env:GATEWAY_SECRET")))
    async with app:
        assert await answer(app, oidc_provider.opaque()) == (
            503,
            "authentication unavailable: the gateway cannot check tokens now",
        )


@pytest.mark.parametrize("way", ["basic", "private_key_jwt"])
async def test_the_model_server_gets_a_token_of_the_gateways_own(
    oidc_provider: OIDCProvider, gateway: Callable[..., Any], tmp_path: Path, way: str
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(GATEWAY_SECRET if way == "basic" else oidc_provider.gateway_key)
    grant = {
        "token_url": oidc_provider.token_url,
        "client_id": "gateway" if way == "basic" else "gateway-by-key",
        "client_secret": f"file:{secret}",
        "client_auth": way,
        "scope": "llm.use",
        "resource": "https://gate.test/llm?alg=ES256",
    }
    app, model = gateway(described(oidc_provider), api_key={"client_credentials": grant})
    callers = oidc_provider.jwt()
    async with app:
        for _ in range(3):
            assert await answer(app, callers) == (200, "")
    [shown] = {request.authorization for request in model.chats}
    scheme, _, token = shown.partition(" ")
    assert (scheme, token.count(".")) == ("Bearer", 2)
    assert token != callers
    accepts, _ = gateway(described(oidc_provider, client_ids=[grant["client_id"]]))
    async with accepts:
        assert await answer(accepts, token) == (200, "")
