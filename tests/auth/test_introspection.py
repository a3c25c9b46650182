"""Tokens that only their provider can read: what is asked, what is believed, and what it costs."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import pytest

from asgi_llmgate.auth import Introspection, JWTAuthMiddleware, JWTProvider, TokenRefused, Verifier
from asgi_llmgate.auth import provider as provider_of
from asgi_llmgate.auth.explanation import explain
from asgi_llmgate.errors import KeysUnavailable, MissingScope, SettingsError, Unreachable
from asgi_llmgate.net import OAuthClient, StaticSecret
from asgi_llmgate.secret_values import Secret
from asgi_llmgate.testing.driver import call
from tests.auth.conftest import ISSUER, JWKS_URL, NOW, Clock, Web

URL = "https://idp.test/introspect"
TOKEN = "an-opaque-token"
CLIENT = OAuthClient("gateway", StaticSecret(Secret("our-s3cret")))


class Desk:
    """The provider's introspection endpoint; `says` is its answer about TOKEN, about others it knows nothing."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.says: Any = {
            "active": True,
            "sub": "alice",
            "client_id": "claude-code",
            "scope": "llm.use openid",
            "aud": "llm",
            "exp": int(NOW) + 600,
            "iat": int(NOW),
        }
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self, form: bytes) -> Any:
        [token] = parse_qs(form.decode())["token"]
        self.asked.append(token)
        await self.open.wait()
        if isinstance(self.says, (tuple, Exception)):
            return self.says
        return self.says if token in (TOKEN, "another.opaque-one", "five.part.to.ken.s") else {"active": False}


@pytest.fixture
def desk(web: Web) -> Desk:
    desk = Desk()
    web.pages[URL] = desk
    return desk


@pytest.fixture
def introspecting(provider: Callable[..., JWTProvider]) -> Callable[..., JWTProvider]:
    def make(tokens: Any = "opaque", **options: Any) -> JWTProvider:
        return provider(introspection=Introspection(URL, CLIENT, tokens), **options)

    return make


@pytest.fixture
def verify(verifier: Callable[..., Verifier], introspecting: Callable[..., JWTProvider], desk: Desk) -> Any:
    """`verify(token)` for a provider with introspection."""
    return verifier(introspecting()).verify


@pytest.mark.parametrize("token", [TOKEN, "another.opaque-one", "five.part.to.ken.s"])
async def test_the_provider_says_who_an_opaque_token_is(verify: Any, desk: Desk, web: Web, token: str) -> None:
    identity = await verify(token)
    assert (identity.subject, identity.issuer, identity.provider) == ("alice", ISSUER, ISSUER)
    assert identity.claims["scopes"] == ["llm.use", "openid"]
    assert identity.claims["client"] == "claude-code"
    assert (desk.asked, web.asked) == ([token], [URL])
    assert dict(web.shown[0])[b"authorization"] == b"Basic Z2F0ZXdheTpvdXItczNjcmV0"


async def test_a_jwt_is_verified_here_nevertheless(verify: Any, desk: Desk, forge: Any) -> None:
    assert (await verify(forge.token())).subject == "alice"
    assert desk.asked == []


async def test_with_all_jwts_are_asked_about_and_no_key_is_fetched(
    verifier: Any, introspecting: Any, desk: Desk, web: Web, forge: Any
) -> None:
    verify = verifier(introspecting("all")).verify
    with pytest.raises(TokenRefused, match="does not know the token"):
        await verify(forge.token(sign_as="RS256", key="stolen"))
    desk.says["sub"] = "whom the provider names"
    token = forge.token(claims={"sub": "whom the token names"})
    desk.asked.clear()
    with pytest.raises(TokenRefused):
        await verify(token)
    assert desk.asked == [token]
    assert JWKS_URL not in web.asked


async def test_a_token_of_nobody_is_not_shown_to_the_provider(
    verifier: Any, introspecting: Any, desk: Desk, forge: Any
) -> None:
    verify = verifier(introspecting("all")).verify
    for token in (forge.token(claims={"iss": "https://other.test"}), "not.base64.$$$", "a.b.c"):
        with pytest.raises(TokenRefused):
            await verify(token)
    assert desk.asked == []


REFUSED = [
    ({"active": False}, "the identity provider does not know the token, or no longer"),
    ({"active": "true"}, "the identity provider does not know the token, or no longer"),
    ({}, "the identity provider does not know the token, or no longer"),
    ({"exp": int(NOW) - 60}, "token expired"),
    ({"exp": "soon"}, "the token is malformed"),
    ({"exp": ...}, 'missing claim "exp"'),
    ({"nbf": int(NOW) + 600}, "token not yet valid"),
    ({"aud": "another"}, "wrong audience"),
    ({"aud": ...}, 'missing claim "aud"'),
    ({"iss": "https://other.test"}, "wrong issuer"),
    ({"iss": ["https://idp.test"]}, "wrong issuer"),
    ({"token_use": "refresh"}, "not an access token"),
    ({"typ": "Refresh"}, "not an access token"),
]


@pytest.mark.parametrize(("change", "text"), REFUSED, ids=[str(change) for change, _ in REFUSED])
async def test_what_the_provider_says_is_held_against_the_same_demands(
    verify: Any, desk: Desk, change: dict[str, Any], text: str
) -> None:
    changed = {**desk.says, **change} if change else {}
    desk.says = {name: value for name, value in changed.items() if value is not ...}
    with pytest.raises(TokenRefused) as caught:
        await verify(TOKEN)
    assert caught.value.text == text


async def test_scopes_are_required_alike(verifier: Any, introspecting: Any, desk: Desk) -> None:
    verify = verifier(introspecting(required_scopes=["llm.use", "llm.admin"])).verify
    with pytest.raises(MissingScope, match=r"llm\.admin"):
        await verify(TOKEN)


async def test_an_answer_counts_until_the_token_expires(verify: Any, desk: Desk, clock: Clock) -> None:
    desk.says["exp"] = int(NOW) + 100
    for _ in range(5):
        await verify(TOKEN)
    clock.advance(99)
    await verify(TOKEN)
    assert len(desk.asked) == 1
    clock.advance(2)
    desk.says["active"] = False
    with pytest.raises(TokenRefused):
        await verify(TOKEN)
    assert len(desk.asked) == 2


async def test_and_for_cache_ttl_at_the_most(verifier: Any, introspecting: Any, desk: Desk, clock: Clock) -> None:
    verify = verifier(introspecting(), cache_ttl=30.0).verify
    await verify(TOKEN)
    desk.says = {"active": False}  # it was withdrawn
    clock.advance(29)
    await verify(TOKEN)
    clock.advance(2)
    with pytest.raises(TokenRefused):
        await verify(TOKEN)


async def test_a_token_that_nobody_knows_is_asked_about_once_in_a_while(verify: Any, desk: Desk, clock: Clock) -> None:
    for _ in range(10):
        with pytest.raises(TokenRefused) as caught:
            await verify("made-up")
        assert caught.value.renewable
    assert len(desk.asked) == 1
    clock.advance(6)
    with pytest.raises(TokenRefused):
        await verify("made-up")
    assert len(desk.asked) == 2


async def test_a_hundred_who_wait_are_one_question(verify: Any, desk: Desk) -> None:
    desk.open.clear()
    waiting = [asyncio.create_task(verify(TOKEN)) for _ in range(100)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting[0].cancel()
    desk.open.set()
    assert {identity.subject for identity in await asyncio.gather(*waiting[1:])} == {"alice"}
    assert desk.asked == [TOKEN]


AWAY = [
    (Unreachable("the server cannot be reached"), f"{URL}: the server cannot be reached"),
    ((503, {}, b"{}"), f"{URL} responded with 503"),
    ((200, {}, b"<html>"), f"{URL} responded with 200, not a JSON object"),
    ((302, {"location": "https://evil.test"}, b""), f"{URL} responded with 302, not a JSON object"),
    ((401, {}, b'{"error":"invalid_client","error_description":"our-s3cret is wrong"}'), "401 invalid_client"),
]


@pytest.mark.parametrize(("says", "detail"), AWAY, ids=[detail for _, detail in AWAY])
async def test_without_an_answer_nobody_can_say_and_that_is_a_503(
    verify: Any, desk: Desk, says: Any, detail: str, caplog: pytest.LogCaptureFixture
) -> None:
    desk.says = says
    with caplog.at_level(logging.DEBUG), pytest.raises(KeysUnavailable) as caught:
        await verify(TOKEN)
    assert caught.value.message == "authentication unavailable: the identity provider could not be asked"
    assert detail in caught.value.detail
    assert "our-s3cret" not in caplog.text + caught.value.detail
    assert TOKEN not in caplog.text + caught.value.detail


async def test_who_is_known_stays_known_while_the_provider_is_away(verify: Any, desk: Desk, clock: Clock) -> None:
    await verify(TOKEN)
    desk.says = Unreachable("down")
    clock.advance(200)
    assert (await verify(TOKEN)).subject == "alice"


async def test_a_withdrawn_token_of_a_helper_leads_to_a_new_one(web: Web, introspecting: Any, desk: Desk) -> None:
    async def inner(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("nobody gets here")

    layer = JWTAuthMiddleware(inner, providers=[introspecting()], client=web, now=lambda: NOW)
    by_helper = {"authorization": "Bearer made-up", "x-api-key": "made-up"}
    for headers, retry in (({"authorization": "Bearer made-up"}, "false"), (by_helper, None)):
        reply = await call(layer, "POST", "/v1/messages", headers=headers)
        assert (reply.status, reply.headers.get("x-should-retry")) == (401, retry)
        assert reply.headers["www-authenticate"] == 'Bearer error="invalid_token"'


def test_an_opaque_token_names_nobody_so_only_one_provider_can_be_asked(verifier: Any, introspecting: Any) -> None:
    with pytest.raises(SettingsError, match="two providers have an introspection"):
        verifier(introspecting(), introspecting(issuers=["https://second.test"]))


def test_oktas_org_server_will_do_when_it_is_asked() -> None:
    org = {"issuers": ["https://acme.okta.com"], "audiences": ["https://acme.okta.com"]}
    asked = Introspection("https://acme.okta.com/oauth2/v1/introspect", CLIENT, "all")
    assert provider_of("okta", **org, introspection=asked).introspection is asked
    with pytest.raises(SettingsError, match="org authorization server"):
        provider_of("okta", **org, introspection=Introspection(asked.url, CLIENT))


async def test_an_opaque_token_is_explained(web: Web, introspecting: Any, desk: Desk) -> None:
    lines = await explain(TOKEN, [introspecting()], fetch=web.fetch, now=lambda: NOW)
    assert lines == [
        "ok      shape         opaque: only its provider can read it",
        f"ok      issuer        provider {ISSUER}, the one with introspection",
        f"ok      introspection {URL}",
        "ok      dates",
        "ok      audience",
        "ok      claims",
        "ok      token type",
        "ok      scope",
    ]
    desk.says = Unreachable("down")
    lines = await explain(TOKEN, [introspecting()], fetch=web.fetch, now=lambda: NOW)
    assert lines[2].startswith("FAILED  introspection")
    assert TOKEN not in json.dumps(lines)
