"""The mock identity provider, against the layer that it is made for."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc import jwt

from asgi_llmgate.auth import Discovery, File, JWTAuthMiddleware, TokenRefused, Verifier
from asgi_llmgate.auth.keys.key_set import jws_registry
from asgi_llmgate.net import HTTPClient
from asgi_llmgate.testing.driver import call
from asgi_llmgate.testing.idp import JWKS_FILE, KEY_FILE, MockIdP

NOW = 1_800_000_000.0


@pytest.fixture(scope="module")
def idp() -> MockIdP:
    return MockIdP(now=lambda: NOW)


async def no_network(url: str, **options: Any) -> Any:
    raise AssertionError("nothing is fetched")


def verifier(idp: MockIdP, **options: Any) -> Verifier:
    return Verifier([idp.provider(**options)], fetch=no_network, now=lambda: NOW)


def test_a_token_says_what_the_lab_says(idp: MockIdP) -> None:
    token = jwt.decode(idp.mint(ttl=60), idp.key, registry=jws_registry())
    assert token.header == {"alg": "RS256", "kid": "claude-code-key", "typ": "JWT"}
    assert token.claims == {
        "iss": "claude-code-lab",
        "aud": "anthropic-api",
        "org": "acme",
        "team": "data-platform",
        "llms": {"openai": ["gpt-4o-mini"]},
        "iat": int(NOW),
        "exp": int(NOW) + 60,
    }


def test_claims_and_header_can_be_changed_and_left_out(idp: MockIdP) -> None:
    made = idp.mint({"ttl": "a claim of that name"}, header={"typ": None, "x": 1}, team="marketing", org=None)
    token = jwt.decode(made, idp.key, registry=jws_registry())
    assert token.header == {"alg": "RS256", "kid": "claude-code-key", "x": 1}
    assert (token.claims["team"], token.claims["ttl"]) == ("marketing", "a claim of that name")
    assert "org" not in token.claims


@pytest.mark.parametrize("algorithm", ["RS256", "RS512", "PS256", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"])
async def test_it_signs_with_every_algorithm_that_is_accepted(algorithm: str) -> None:
    idp = MockIdP(algorithm=algorithm, now=lambda: NOW)
    assert (await verifier(idp).verify(idp.mint())).claims["team"] == "data-platform"


async def test_keys_rotate() -> None:
    idp = MockIdP(algorithm="EdDSA", now=lambda: NOW)
    before, old = idp.provider(), idp.mint()
    idp.rotate("new", algorithm="ES256")
    after = verifier(idp)
    assert (await after.verify(old)).is_authenticated
    assert (await after.verify(idp.mint())).is_authenticated
    with pytest.raises(TokenRefused, match="unknown key"):
        await Verifier([before], fetch=no_network, now=lambda: NOW).verify(idp.mint())
    idp.rotate("last", algorithm="EdDSA", keep=False)
    assert [key["kid"] for key in idp.jwks["keys"]] == ["last"]


def test_what_it_publishes_holds_no_private_key(idp: MockIdP) -> None:
    assert not {"d", "p", "q", "dp", "dq", "qi"} & set(idp.jwks["keys"][0])
    assert "claude-code-lab" in repr(idp)
    assert len(repr(idp)) < 40


async def test_it_serves_its_documents_to_who_fetches_them() -> None:
    idp = MockIdP(issuer="https://idp.test", algorithm="EdDSA")
    client = HTTPClient(transport=httpx.ASGITransport(app=idp))
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["llmgate"].identity.claims["team"])
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    layer = JWTAuthMiddleware(app, providers=[idp.provider(jwks=Discovery())], client=client)
    for _ in range(3):
        reply = await call(layer, "GET", "/", headers={"authorization": f"Bearer {idp.mint()}"})
        assert reply.status == 204
    assert idp.requests == ["/.well-known/openid-configuration", "/jwks.json"]
    assert seen == ["data-platform"] * 3


async def test_it_answers_404_elsewhere(idp: MockIdP) -> None:
    assert (await call(idp, "GET", "/other")).status == 404


async def test_a_folder_keeps_the_key(tmp_path: Path) -> None:
    place = tmp_path / "deep" / ".llmgate"
    first = MockIdP.in_folder(place)
    again = MockIdP.in_folder(place)
    gate = Verifier([first.provider(jwks=File(place / JWKS_FILE))], fetch=no_network)
    assert (await gate.verify(again.mint())).claims["org"] == "acme"
    assert json.loads((place / JWKS_FILE).read_text()) == again.jwks == first.jwks
    assert sorted(path.name for path in place.iterdir()) == [JWKS_FILE, KEY_FILE]


def test_the_private_key_is_for_its_owner_alone(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        MockIdP.in_folder(tmp_path / "k", algorithm="EdDSA")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "k" / KEY_FILE).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "k").stat().st_mode) == 0o700


@pytest.mark.parametrize("lost", ["{}", "not JSON", ""])
def test_lost_public_keys_are_written_again(lost: str, tmp_path: Path) -> None:
    first = MockIdP.in_folder(tmp_path, algorithm="EdDSA")
    (tmp_path / JWKS_FILE).write_text(lost)
    MockIdP.in_folder(tmp_path)
    assert json.loads((tmp_path / JWKS_FILE).read_text()) == first.jwks


def test_a_damaged_key_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / KEY_FILE).write_text("not a key")
    with pytest.raises(ValueError):
        MockIdP.in_folder(tmp_path)
    assert (tmp_path / KEY_FILE).read_text() == "not a key"
