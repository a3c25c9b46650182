"""What is remembered of tokens and for how long, and which provider judges them."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import certifi
import pytest

from asgi_llmgate.auth import URL, Inline, JWTProvider, TokenRefused, Verifier
from asgi_llmgate.auth import verifier as module
from asgi_llmgate.auth.jws import read_token
from asgi_llmgate.errors import KeysUnavailable, MissingScope, SettingsError
from asgi_llmgate.net import HTTPClient

JWKS_URL = "https://idp.test/jwks.json"
GUID = "3f2504e0-4f89-11d3-9a0c-0305e82c3301"
MULTI = "https://login.microsoftonline.com/{tenantid}/v2.0"


async def test_a_good_token_is_verified_once(verifier: Any, forge: Any, signatures: list[str], web: Any) -> None:
    judge, token = verifier(), forge.token()
    first = await judge.verify(token)
    assert all([await judge.verify(token) is first for _ in range(100)])
    assert (len(signatures), len(web.asked)) == (1, 1)


async def test_it_is_forgotten_after_the_ttl(verifier: Any, forge: Any, signatures: list[str], clock: Any) -> None:
    judge, token = verifier(cache_ttl=300), forge.token()
    await judge.verify(token)
    clock.advance(299)
    await judge.verify(token)
    assert len(signatures) == 1
    clock.advance(1)
    await judge.verify(token)
    assert len(signatures) == 2


async def test_it_is_not_remembered_at_all_with_a_ttl_of_zero(verifier: Any, forge: Any, signatures: list[str]) -> None:
    judge, token = verifier(cache_ttl=0), forge.token()
    await judge.verify(token)
    await judge.verify(token)
    assert len(signatures) == 2


async def test_a_remembered_token_expires_all_the_same(verifier: Any, forge: Any, clock: Any) -> None:
    judge, token = verifier(cache_ttl=86400), forge.token(claims={"exp": int(clock()) + 60})
    await judge.verify(token)
    clock.advance(60)
    await judge.verify(token)  # within the leeway
    clock.advance(30)
    with pytest.raises(TokenRefused, match="token expired"):
        await judge.verify(token)


async def test_a_remembered_token_falls_with_its_key(
    verifier: Any, forge: Any, web: Any, clock: Any, published: Any
) -> None:
    judge, token = verifier(cache_ttl=86400), forge.token()
    await judge.verify(token)
    web.pages[JWKS_URL] = {
        "keys": [key for key in published["keys"] if key and key != "not a key" and key["kid"] == "ec"]
    }
    clock.advance(301)
    await judge.verify(forge.token(claims={"sub": "bob"}, key="ec"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    with pytest.raises(TokenRefused, match="unknown key"):
        await judge.verify(token)


async def test_what_was_decided_about_a_token_ends_with_what_it_was_decided_from(
    verifier: Any, forge: Any, web: Any, clock: Any, published: Any
) -> None:
    judge, token = verifier(cache_ttl=600), forge.token(claims={"exp": int(clock()) + 100_000})

    async def is_kept() -> bool:
        identity = judge.known(token.encode()) or await judge.verify(token)
        kept = "decided" in identity.cache
        identity.cache["decided"] = True
        return kept

    assert [await is_kept() for _ in range(3)] == [False, True, True]
    clock.advance(600)
    assert [await is_kept() for _ in range(2)] == [False, True]
    # The provider has one key less, and the token is good as before.
    web.pages[JWKS_URL] = {
        "keys": [key for key in published["keys"] if not (isinstance(key, dict) and key.get("kid") == "ec")]
    }
    clock.advance(301)
    await judge.verify(forge.token(claims={"sub": "bob"}))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [await is_kept() for _ in range(2)] == [False, True]


async def test_a_bad_signature_is_remembered_for_seconds(
    verifier: Any, forge: Any, signatures: list[str], clock: Any
) -> None:
    judge, token = verifier(), forge.token(signature=bytes(256))
    for _ in range(50):
        with pytest.raises(TokenRefused, match="invalid signature") as caught:
            await judge.verify(token)
        assert caught.value.__traceback__ is not None
    assert len(signatures) == 1
    clock.advance(5)
    with pytest.raises(TokenRefused):
        await judge.verify(token)
    assert len(signatures) == 2


async def test_what_may_pass_later_is_not_remembered(verifier: Any, forge: Any, clock: Any) -> None:
    judge = verifier()
    early = forge.token(claims={"nbf": int(clock()) + 60})
    with pytest.raises(TokenRefused, match="not yet valid"):
        await judge.verify(early)
    clock.advance(31)
    await judge.verify(early)


async def test_a_token_by_a_key_that_comes_later_is_good_then(
    verifier: Any, forge: Any, web: Any, clock: Any, published: Any
) -> None:
    web.pages[JWKS_URL] = {"keys": [forge.keys["ec"].as_dict(private=False)]}
    judge, token = verifier(), forge.token()
    with pytest.raises(TokenRefused, match="unknown key"):
        await judge.verify(token)
    web.pages[JWKS_URL] = published
    clock.advance(31)
    assert (await judge.verify(token)).subject == "alice"


async def test_memory_is_bounded(verifier: Any, forge: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CACHE_SIZE", 20)
    judge = verifier()
    for number in range(30):
        await judge.verify(
            forge.token(claims={"sub": f"person-{number}"}, key="ed", sign_as="EdDSA", header={"alg": "EdDSA"})
        )
        with pytest.raises(TokenRefused):
            await judge.verify(forge.token({"x": number}, signature=b""))
    assert (len(judge._accepted), len(judge._rejected)) == (20, 2)


async def test_what_was_used_last_stays(
    verifier: Any, forge: Any, monkeypatch: pytest.MonkeyPatch, signatures: Any
) -> None:
    monkeypatch.setattr(module, "CACHE_SIZE", 2)
    judge = verifier()
    one, two, three = (forge.token(claims={"sub": name}) for name in ("one", "two", "three"))
    for token in (one, two, one, three, one):
        await judge.verify(token)
    assert len(signatures) == 3


async def test_no_token_lies_about_in_memory(verifier: Any, forge: Any) -> None:
    judge, token = verifier(), forge.token()
    await judge.verify(token)
    kept = repr(judge._accepted._entries)
    assert token not in kept
    assert "alice" not in kept


async def test_what_a_token_says_is_logged_for_debugging_alone_and_escaped(
    verifier: Any, forge: Any, caplog: pytest.LogCaptureFixture
) -> None:
    token = forge.token({"kid": "a\nb"}, {"sub": "\x1b[31malice"})
    for level, told in ((logging.INFO, ""), (logging.DEBUG, r"kid='a\nb' sub='\x1b[31malice'")):
        caplog.clear()
        caplog.set_level(level)
        with pytest.raises(TokenRefused):
            await verifier().verify(token)
        assert told in caplog.text
        assert ("alice" in caplog.text) is bool(told)
        assert token.split(".")[2] not in caplog.text


async def test_surrogates_in_a_token_are_only_malformed(verifier: Any) -> None:
    with pytest.raises(TokenRefused, match="malformed"):
        await verifier().verify("\ud800.\udfff.x")


async def test_keys_that_cannot_be_had_are_no_fault_of_the_token(
    verifier: Any, forge: Any, web: Any, clock: Any
) -> None:
    web.pages[JWKS_URL] = web.down()
    judge, token = verifier(), forge.token()
    with pytest.raises(KeysUnavailable):
        await judge.verify(token)
    web.pages[JWKS_URL] = {"keys": [forge.keys["rsa"].as_dict(private=False)]}
    clock.advance(2)
    assert (await judge.verify(token)).is_authenticated


async def test_a_bad_algorithm_or_issuer_costs_no_fetch(verifier: Any, forge: Any, web: Any) -> None:
    judge = verifier()
    for token in (forge.token({"alg": "none"}, signature=b""), forge.token(claims={"iss": "https://evil.test"})):
        with pytest.raises(TokenRefused):
            await judge.verify(token)
    assert web.asked == []


async def test_scopes_are_asked_for_by_name(verifier: Any, provider: Any, forge: Any) -> None:
    judge = verifier(provider(required_scopes=["llm.use", "llm.read"]))
    with pytest.raises(MissingScope, match=r'the token lacks scope "llm\.read"') as caught:
        await judge.verify(forge.token(claims={"scope": "openid llm.use"}))
    assert caught.value.challenge == 'Bearer error="insufficient_scope", scope="llm.use llm.read"'
    for scopes in ({"scope": "llm.use llm.read"}, {"scp": ["llm.read", "llm.use"]}, {"scp": "llm.use llm.read"}):
        assert (await judge.verify(forge.token(claims=scopes))).is_authenticated


@pytest.mark.parametrize("scope", [5, {"llm.use": 1}, [5], [["llm.use"]], "llm.user", None, True], ids=str)
async def test_what_is_no_scope_grants_nothing(scope: Any, verifier: Any, provider: Any, forge: Any) -> None:
    with pytest.raises(MissingScope):
        await verifier(provider(required_scopes=["llm.use"])).verify(forge.token(claims={"scope": scope}))


async def test_each_issuer_is_judged_by_its_own_keys_alone(verifier: Any, provider: Any, forge: Any) -> None:
    other = JWTProvider(
        issuers=["https://other.test"], audiences=["llm"], jwks={"keys": [forge.keys["ec"].as_dict(private=False)]}
    )
    judge = verifier(provider(), other)
    assert (await judge.verify(forge.token())).provider == "https://idp.test"
    assert (
        await judge.verify(forge.token(claims={"iss": "https://other.test"}, key="ec"))
    ).provider == "https://other.test"
    with pytest.raises(TokenRefused, match="unknown key"):
        await judge.verify(forge.token(claims={"iss": "https://other.test"}))


async def test_a_provider_may_have_several_issuers(verifier: Any, provider: Any, forge: Any) -> None:
    judge = verifier(provider(issuers=["https://idp.test", "idp.test"], name="both"))
    for issuer in ("https://idp.test", "idp.test"):
        identity = await judge.verify(forge.token(claims={"iss": issuer}))
        assert (identity.issuer, identity.provider) == (issuer, "both")


def test_an_issuer_belongs_to_one_provider(verifier: Any, provider: Any) -> None:
    with pytest.raises(SettingsError, match="two providers have the issuer"):
        verifier(provider(), provider(name="again"))


async def test_a_slash_at_the_end_is_pointed_out_to_the_operator_alone(verifier: Any, forge: Any) -> None:
    with pytest.raises(TokenRefused) as caught:
        await verifier().verify(forge.token(claims={"iss": "https://idp.test/"}))
    assert "slash" in caught.value.detail
    assert "slash" not in caught.value.message


@pytest.mark.parametrize(
    ("algorithms", "good"), [(["RS256"], True), (["PS256", "RS256"], True), (["ES256"], False)], ids=str
)
async def test_a_provider_may_narrow_its_algorithms(
    algorithms: list[str], good: bool, verifier: Any, provider: Any, forge: Any
) -> None:
    judge = verifier(provider(algorithms=algorithms))
    if good:
        assert (await judge.verify(forge.token())).is_authenticated
    else:
        with pytest.raises(TokenRefused, match="algorithm not allowed"):
            await judge.verify(forge.token())


async def test_a_token_without_kid_can_be_ruled_out(verifier: Any, provider: Any, forge: Any) -> None:
    token = forge.token({"kid": ...}, key="ec")
    assert (await verifier().verify(token)).is_authenticated
    with pytest.raises(TokenRefused, match="unknown key"):
        await verifier(provider(tokens_without_kid=False)).verify(token)


def multi_tenant(key: dict[str, Any]) -> JWTProvider:
    return JWTProvider(issuers=[MULTI], audiences=["llm"], jwks={"keys": [key]}, required_values={"tid": [GUID]})


async def no_network(url: str, **options: Any) -> Any:
    raise AssertionError("nothing is fetched")


@pytest.mark.parametrize(
    ("key_issuer", "tid", "iss", "text"),
    [
        (MULTI, GUID, MULTI.replace("{tenantid}", GUID), ""),
        (MULTI.replace("{tenantid}", GUID), GUID, MULTI.replace("{tenantid}", GUID), ""),
        (MULTI.replace("{tenantid}", GUID[::-1]), GUID, MULTI.replace("{tenantid}", GUID), "unknown key"),
        (None, GUID, MULTI.replace("{tenantid}", GUID), "unknown key"),
        (5, GUID, MULTI.replace("{tenantid}", GUID), "unknown key"),
        (MULTI, GUID, MULTI, "wrong issuer"),
        (MULTI, "{tenantid}", MULTI, "wrong issuer"),
        (MULTI, "common", MULTI.replace("{tenantid}", "common"), "wrong issuer"),
        (MULTI, "../evil", MULTI.replace("{tenantid}", "../evil"), "wrong issuer"),
        (MULTI, None, MULTI.replace("{tenantid}", GUID), "wrong issuer"),
        (MULTI, "0" + GUID[1:], MULTI.replace("{tenantid}", GUID), "wrong issuer"),
        (MULTI, "0" + GUID[1:], MULTI.replace("{tenantid}", "0" + GUID[1:]), '"tid" has a value'),
    ],
)
async def test_a_multi_tenant_issuer_needs_the_tokens_tenant_and_the_keys(
    key_issuer: Any, tid: Any, iss: str, text: str, forge: Any, clock: Any
) -> None:
    key = {**forge.keys["rsa"].as_dict(private=False), "issuer": key_issuer}
    judge = Verifier([multi_tenant(key)], fetch=no_network, now=clock)
    token = forge.token(claims={"iss": iss, "tid": tid})
    if text:
        with pytest.raises(TokenRefused, match=text):
            await judge.verify(token)
    else:
        assert (await judge.verify(token)).issuer == iss


async def test_inline_keys_need_no_network(forge: Any, clock: Any, published: Any) -> None:
    provider = JWTProvider(issuers=["https://idp.test"], audiences=["llm"], jwks=Inline(published))
    judge = Verifier([provider], fetch=no_network, now=clock)
    assert (await judge.verify(forge.token())).is_authenticated
    with pytest.raises(TokenRefused, match="unknown key"):
        await judge.verify(forge.token({"kid": "absent"}))


async def test_a_ca_file_of_the_providers_own_is_used_for_its_keys_alone(
    verifier: Any, provider: Any, forge: Any
) -> None:
    own = URL(JWKS_URL, ca_file=certifi.where())
    judge = verifier(provider(jwks=own), JWTProvider(issuers=["https://other.test"], audiences=["llm"]))
    fetches = [trust.keys._load.args[-1] for trust in judge.provider_verifiers]
    assert [isinstance(getattr(fetch, "__self__", None), HTTPClient) for fetch in fetches] == [True, False]
    await judge.aclose()


def test_a_ca_file_that_cannot_be_read_is_found_at_start(verifier: Any, provider: Any, tmp_path: Path) -> None:
    with pytest.raises(SettingsError):
        verifier(provider(jwks=URL(JWKS_URL, ca_file=tmp_path / "none.pem")))


def test_inline_keys_are_looked_at_when_the_verifier_is_made() -> None:
    with pytest.raises(SettingsError, match="not a JWKS"):
        Verifier([JWTProvider(issuers=["x"], audiences=["llm"], jwks={"kees": []})], fetch=no_network)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, ""),
        ({"typ": "application/at+jwt"}, ""),
        ({"typ": "JWT"}, "not an access token"),
        ({"typ": ...}, "not an access token"),
        ({"client_id": ...}, 'missing claim "client_id"'),
        ({"jti": ...}, 'missing claim "jti"'),
        ({"iat": ...}, 'missing claim "iat"'),
        ({"sub": ...}, 'missing claim "sub"'),
        ({"auth_time": "yesterday"}, 'claim "auth_time" has a value'),
        ({"amr": "pwd"}, 'claim "amr" has a value'),
        ({"amr": ["pwd"], "auth_time": 1}, ""),
    ],
    ids=str,
)
async def test_the_profile_of_rfc_9068_can_be_asked_for(
    changes: dict[str, Any], text: str, verifier: Any, provider: Any, forge: Any
) -> None:
    typ = changes.pop("typ", "at+jwt")
    token = forge.token({"typ": typ}, {"client_id": "cli", "jti": "1", **changes})
    judge = verifier(provider(profile="rfc9068"))
    if text:
        with pytest.raises(TokenRefused, match=text):
            await judge.verify(token)
    else:
        assert (await judge.verify(token)).claims["client"] == "cli"


def test_a_header_that_is_remembered_is_each_tokens_own(forge: Any) -> None:
    first, second = (read_token(forge.token(claims={"sub": who}), limit=9999) for who in ("alice", "bob"))
    first.header["alg"] = "none"
    assert (second.algorithm, second.claims["sub"]) == ("RS256", "bob")
    assert read_token(forge.token(), limit=9999).algorithm == "RS256"
