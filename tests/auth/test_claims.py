"""The names under which every provider's claims can be found alike."""

from __future__ import annotations

from typing import Any

import pytest

from asgi_llmgate.auth import JWTProvider, TokenRefused
from asgi_llmgate.auth.claims import ClaimsValidator
from asgi_llmgate.errors import MissingScope
from asgi_llmgate.exchange_values import Identity

NOW = 1_800_000_000


def judge(claims: dict[str, Any], **options: Any) -> Identity:
    provider = JWTProvider(**{"issuers": ["x"], "audiences": ["llm"], "jwks": {"keys": []}, **options})
    complete = {"iss": "x", "aud": "llm", "exp": NOW + 60, **claims}
    return ClaimsValidator(provider, lambda: NOW).validate({"alg": "RS256"}, complete)


@pytest.mark.parametrize(
    ("claims", "claim_map", "expected"),
    [
        ({"scope": "a b"}, {}, {"scopes": ["a", "b"]}),
        ({"scp": ["a", "b"]}, {}, {"scopes": ["a", "b"]}),
        ({"scp": "a b"}, {}, {"scopes": ["a", "b"]}),
        ({"scope": ""}, {}, {"scopes": []}),
        ({"azp": "web", "client_id": "other"}, {}, {"client": "web"}),
        ({"appid": "app"}, {}, {"client": "app"}),
        ({"cid": "okta"}, {}, {"client": "okta"}),
        ({"client_id": "cli"}, {}, {"client": "cli"}),
        ({"sub": "alice"}, {}, {"person": "alice"}),
        ({"sub": "alice", "uid": "00u1"}, {"person": "uid|sub"}, {"person": "00u1", "sub": "alice"}),
        ({"realm_access": {"roles": ["admin"]}}, {"roles": "realm_access.roles"}, {"roles": ["admin"]}),
        ({"https://acme.test/team": "data"}, {"team": "https://acme.test/team"}, {"team": "data"}),
        ({"a.b": 1, "a": {"b": 2}}, {"x": "a.b"}, {"x": 1}),
        ({"a": {"b": {"c": 3}}}, {"x": "nothing|a.b.c"}, {"x": 3}),
        ({"a": {"b": 2}}, {"x": lambda claims: claims["a"]["b"] + 1}, {"x": 3}),
        ({"scopes": ["its own"], "scope": "a"}, {}, {"scopes": ["a"]}),
        ({"scopes": ["its own"], "scope": "a"}, {"scopes": "scopes"}, {"scopes": ["its own"]}),
        ({"client": {"name": "its own"}}, {}, {"client": {"name": "its own"}}),
    ],
    ids=lambda value: "by a function" if callable(next(iter(value.values()), None)) else str(value),
)
def test_a_claim_is_found_under_its_common_name(
    claims: dict[str, Any], claim_map: Any, expected: dict[str, Any]
) -> None:
    found = judge(claims, claim_map=claim_map).claims
    assert {name: found.get(name) for name in expected} == expected


@pytest.mark.parametrize("claims", [{}, {"a": 5}, {"a": {"c": 1}}, {"a": ["b"]}, {"a": {"b": None}}], ids=str)
def test_what_is_not_there_has_no_name(claims: dict[str, Any]) -> None:
    assert "x" not in judge(claims, claim_map={"x": "a.b"}).claims


def test_the_tokens_own_claims_stay_as_they_are() -> None:
    claims = {"sub": "alice", "scope": "a b", "groups": ["g"], "llms": {"openai": ["gpt-4o-mini"]}}
    assert claims.items() <= dict(judge(claims).claims).items()


def test_the_marker_that_groups_were_left_out_is_kept() -> None:
    found = judge({"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "x"}}}).claims
    assert found["_claim_names"] == {"groups": "src1"}
    assert "groups" not in found


def test_a_claim_that_only_has_the_name_does_not_speak_for_the_real_one() -> None:
    assert judge({"sub": "alice", "person": "root"}).subject == "alice"
    assert judge({"person": "root"}).subject == ""
    with pytest.raises(TokenRefused, match="wrong client"):
        judge({"azp": "other", "client": "web"}, client_ids=["web"])
    with pytest.raises(TokenRefused, match="wrong client"):
        judge({"client": "web"}, client_ids=["web"])
    with pytest.raises(MissingScope):
        judge({"scopes": ["llm"]}, required_scopes=["llm"])


def test_claims_cannot_be_changed_by_who_gets_them() -> None:
    with pytest.raises(TypeError):
        judge({}).claims["team"] = "admins"  # type: ignore[index]


def test_a_token_without_person_has_no_subject() -> None:
    assert judge({}).subject == ""


@pytest.mark.parametrize(
    ("claims", "good"),
    [
        ({"azp": "web"}, True),
        ({"client_id": "web"}, True),
        ({"azp": "other"}, False),
        ({"azp": ["web"]}, False),
        ({}, False),
    ],
    ids=str,
)
@pytest.mark.parametrize("audiences", ["none", ["llm"]])
def test_a_client_can_stand_in_for_the_audience(claims: dict[str, Any], good: bool, audiences: Any) -> None:
    if good:
        assert judge(claims, audiences=audiences, client_ids=["web"]).is_authenticated
    else:
        with pytest.raises(TokenRefused, match="wrong client"):
            judge(claims, audiences=audiences, client_ids=["web"])


def test_without_audiences_aud_does_not_matter() -> None:
    assert judge({"aud": ["whoever"], "azp": "web"}, audiences="none", client_ids=["web"]).is_authenticated


def test_an_identity_shows_nothing_of_its_claims() -> None:
    assert "alice" not in repr(judge({"sub": "alice"}))
