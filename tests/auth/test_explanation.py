from __future__ import annotations

from typing import Any

import pytest

from asgi_llmgate.auth import keycloak
from asgi_llmgate.auth.explanation import explain


async def lines(token: str, provider: Any, web: Any, clock: Any) -> dict[str, str]:
    """check -> state, and "told" -> the whole text."""
    said = await explain(token, [provider], fetch=web.fetch, now=clock)
    states = {line[8:21].strip(): line[:8].strip() for line in said if not line.startswith(" ")}
    return {**states, "told": "\n".join(said)}


async def test_a_good_token_passes_every_check(forge: Any, provider: Any, web: Any, clock: Any) -> None:
    said = await lines(forge.token(), provider(), web, clock)
    told = said.pop("told")
    assert set(said.values()) == {"ok"}
    assert len(said) == 11
    assert "2027-01-15T09:00:00+00:00" in told
    assert "kid 'rsa'" in told


@pytest.mark.parametrize(
    ("header", "claims", "failed", "words"),
    [
        ({"alg": 5}, {}, "shape", "malformed"),
        ({}, {"iss": "https://idp.test/"}, "issuer", "slash"),
        ({"alg": "none"}, {}, "algorithm", "accepted: RS256"),
        ({"kid": "absent"}, {}, "key", "kid 'absent'"),
        ({}, {"exp": 1}, "dates", "exp 1970-01-01"),
        ({}, {"exp": 10**30}, "scope", "required: ['llm']"),
        ({}, {"aud": ["account"]}, "audience", "aud ['account'], accepted: ['llm']"),
        ({"typ": "logout+jwt"}, {}, "token type", "typ 'logout+jwt'"),
        ({}, {"aud": "\x1b[31m" + "x" * 500}, "audience", r"\x1b[31mxxx"),
    ],
    ids=lambda part: str(part)[:30],
)
async def test_the_check_that_failed_is_shown_with_what_was_compared(
    header: Any, claims: Any, failed: str, words: str, forge: Any, provider: Any, web: Any, clock: Any
) -> None:
    token = forge.token(header, claims, sign_as="RS256")
    said = await lines(token, provider(required_scopes=["llm"]), web, clock)
    told = said.pop("told")
    assert [check for check, state in said.items() if state == "FAILED"] == [failed]
    assert words in told
    assert "\x1b" not in told
    assert not [part for part in token.split(".") if part in told]
    after = list(said.values())[list(said).index(failed) + 1 :]
    assert set(after) <= {"-"}


async def test_a_wrong_signature_is_told_apart_from_an_unknown_key(
    forge: Any, provider: Any, web: Any, clock: Any
) -> None:
    said = await lines(forge.token(signature=b"x"), provider(), web, clock)
    assert (said["key"], said["signature"], said["dates"]) == ("ok", "FAILED", "-")


async def test_keys_that_cannot_be_had_are_said_with_their_source(
    forge: Any, provider: Any, web: Any, clock: Any
) -> None:
    web.pages.clear()
    said = await lines(forge.token(), provider(), web, clock)
    assert said["signing keys"] == "FAILED"
    assert "https://idp.test/jwks.json responded with 404" in said["told"]


async def test_the_providers_habit_is_told(forge: Any, web: Any, clock: Any, published: Any) -> None:
    sso = keycloak("https://sso.acme.test", realm="acme", audiences=["llm"], jwks=published)
    token = forge.token(claims={"iss": "https://sso.acme.test/realms/acme", "aud": "account"})
    assert 'aud is "account" until the client has an audience mapper' in (await lines(token, sso, web, clock))["told"]


async def test_a_client_is_shown_where_it_stands_for_the_audience(
    forge: Any, provider: Any, web: Any, clock: Any
) -> None:
    token = forge.token(claims={"azp": "other"})
    said = await lines(token, provider(audiences="none", client_ids=["web"]), web, clock)
    assert said["audience"] == "FAILED"
    assert "client ids: ['web']" in said["told"]


async def test_an_opaque_token_is_not_shown(provider: Any, web: Any, clock: Any) -> None:
    said = await lines("ya29SECRET", provider(), web, clock)
    assert "opaque" in said["told"]
    assert "SECRET" not in said["told"]
