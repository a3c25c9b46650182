"""Each identity provider by the shape of its real tokens, and by its commonest setup mistakes.

The shapes follow the vendors' documentation and recorded tokens; names and ids are made up.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import pytest

from asgi_llmgate.auth import (
    URL,
    Discovery,
    File,
    JWTProvider,
    TokenRefused,
    Verifier,
    auth0,
    cognito,
    entra,
    frontegg,
    github,
    google,
    keycloak,
    kubernetes,
    okta,
    pingone,
    provider,
)
from asgi_llmgate.auth.providers.preset_checks import MICROSOFT_GRAPH_ONLY
from asgi_llmgate.auth.providers.presets import PRESETS
from asgi_llmgate.errors import KeysUnavailable, SettingsError

NOW = 1_800_000_000
TENANT, PERSON, APP = (
    "72f988bf-86f1-41af-91ab-2d7cd011db47",
    "690222be-ff1a-4d56-abd1-7e4f7d38e474",
    "6e74172b-be56-4843-9ff4-e66a39bb12e3",
)
V2 = f"https://login.microsoftonline.com/{TENANT}/v2.0"
V1 = f"https://sts.windows.net/{TENANT}/"
POOL = "eu-central-1_AbCdEfGhI"
COGNITO = f"https://cognito-idp.eu-central-1.amazonaws.com/{POOL}"

Shape = tuple[Callable[..., JWTProvider], dict[str, Any], dict[str, Any], dict[str, Any]]

SHAPES: dict[str, Shape] = {
    "okta": (
        lambda **o: okta("acme.okta.com", audiences=["api://llm"], **o),
        {"typ": ...},
        {
            "ver": 1,
            "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE",
            "iss": "https://acme.okta.com/oauth2/default",
            "aud": "api://llm",
            "sub": "alice@acme.test",
            "cid": "0oa1gwyzoWBQBpRPl0h7",
            "uid": "00u1gwyzoWBQBpRPl0h7",
            "scp": ["openid", "llm.use"],
            "groups": ["Everyone", "data"],
        },
        {"person": "00u1gwyzoWBQBpRPl0h7", "client": "0oa1gwyzoWBQBpRPl0h7", "scopes": ["openid", "llm.use"]},
    ),
    "keycloak": (
        lambda **o: keycloak("https://sso.acme.test/", realm="acme", audiences=["llm"], **o),
        {},
        {
            "iss": "https://sso.acme.test/realms/acme",
            "aud": ["llm", "account"],
            "sub": "f3b5a1f0-6a4e-4a8e-9df9-0f8f0c6a3f2c",
            "typ": "Bearer",
            "azp": "claude-code",
            "sid": "b1f7",
            "nonce": "before 25 Keycloak put it into access tokens",
            "acr": "1",
            "realm_access": {"roles": ["default-roles-acme", "data"]},
            "resource_access": {"account": {"roles": ["manage-account"]}},
            "scope": "email profile",
            "preferred_username": "alice",
            "team": "data-platform",
        },
        {"client": "claude-code", "roles": ["default-roles-acme", "data"], "scopes": ["email", "profile"]},
    ),
    "entra v2": (
        lambda **o: entra(TENANT, audiences=[APP], **o),
        {},
        {
            "iss": V2,
            "aud": APP,
            "tid": TENANT,
            "oid": PERSON,
            "sub": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ",
            "azp": "client",
            "azpacr": "1",
            "scp": "llm.use",
            "roles": ["Developer"],
            "ver": "2.0",
            "uti": "x",
            "rh": "0.",
        },
        {"person": f"{TENANT}/{PERSON}", "client": "client", "scopes": ["llm.use"]},
    ),
    "entra v1": (
        lambda **o: entra(TENANT, audiences=["api://llm"], version=1, **o),
        {"x5t": "nOo3ZDrODXEK1jKWhXslHR_KXEg"},
        {
            "iss": V1,
            "aud": "api://llm",
            "tid": TENANT,
            "oid": PERSON,
            "appid": "client",
            "roles": ["App"],
            "ver": "1.0",
        },
        {"person": f"{TENANT}/{PERSON}", "client": "client"},
    ),
    "auth0": (
        lambda **o: auth0("acme.eu.auth0.com", audiences=["https://llm.acme.test"], **o),
        {},
        {
            "iss": "https://acme.eu.auth0.com/",
            "sub": "auth0|5f7c8ec7c33c6c004bbafe82",
            "aud": ["https://llm.acme.test", "https://acme.eu.auth0.com/userinfo"],
            "azp": "my_client_id",
            "scope": "openid profile llm:use",
            "permissions": ["llm:use"],
        },
        {"client": "my_client_id", "scopes": ["openid", "profile", "llm:use"]},
    ),
    "auth0 RFC 9068": (
        lambda **o: auth0("acme.eu.auth0.com", audiences=["https://llm.acme.test"], profile="rfc9068", **o),
        {"typ": "at+jwt"},
        {
            "iss": "https://acme.eu.auth0.com/",
            "sub": "auth0|5f7c8ec7c33c6c004bbafe82",
            "aud": "https://llm.acme.test",
            "client_id": "my_client_id",
            "jti": "j",
            "scope": "llm:use",
        },
        {"client": "my_client_id"},
    ),
    "google": (
        lambda **o: google(audiences=["llm.apps.googleusercontent.com"], required_values={"hd": ["acme.test"]}, **o),
        {},
        {
            "iss": "accounts.google.com",
            "aud": "llm.apps.googleusercontent.com",
            "azp": "llm.apps.googleusercontent.com",
            "sub": "110169484474386276334",
            "hd": "acme.test",
            "email": "alice@acme.test",
            "nonce": "n",
        },
        {"person": "110169484474386276334"},
    ),
    "cognito": (
        lambda **o: cognito("eu-central-1", POOL, client_ids=["1example23456789"], **o),
        {"typ": ...},
        {
            "iss": COGNITO,
            "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
            "token_use": "access",
            "client_id": "1example23456789",
            "scope": "aws.cognito.signin.user.admin",
            "cognito:groups": ["data"],
            "username": "alice",
        },
        {"client": "1example23456789", "groups": ["data"]},
    ),
    "cognito, new issuer": (
        lambda **o: cognito("eu-central-1", POOL, client_ids=["1example23456789"], **o),
        {"typ": ...},
        {
            "iss": f"https://issuer-cognito-idp.eu-central-1.amazonaws.com/{POOL}",
            "token_use": "access",
            "client_id": "1example23456789",
        },
        {"client": "1example23456789"},
    ),
    "kubernetes": (
        lambda **o: kubernetes(audiences=["llm"], ca_file=None, **o),
        {"typ": ...},
        {
            "iss": "https://kubernetes.default.svc.cluster.local",
            "aud": ["llm"],
            "sub": "system:serviceaccount:data:notebook",
            "nbf": NOW,
            "kubernetes.io": {"namespace": "data", "serviceaccount": {"name": "notebook", "uid": "1"}},
        },
        {"person": "system:serviceaccount:data:notebook"},
    ),
    "github": (
        lambda **o: github(audiences=["llm"], owner_ids=["65"], **o),
        {},
        {
            "iss": "https://token.actions.githubusercontent.com",
            "aud": "llm",
            "sub": "repo:octo-org@65/octo-repo@74:environment:prod",
            "repository": "octo-org/octo-repo",
            "repository_id": "74",
            "repository_owner": "octo-org",
            "repository_owner_id": "65",
            "nbf": NOW - 600,
            "exp": NOW + 300,
        },
        {"person": "74"},
    ),
    "frontegg": (
        lambda **o: frontegg("acme.frontegg.com", audiences=["env-1"], **o),
        {},
        {
            "iss": "https://acme.frontegg.com",
            "aud": "env-1",
            "sub": "u1",
            "tenantId": "t1",
            "roles": ["Admin"],
            "permissions": ["llm.use"],
            "type": "userToken",
        },
        {"scopes": ["llm.use"]},
    ),
    "pingone": (
        lambda **o: pingone("e1", audiences=["llm"], **o),
        {"typ": "at+jwt"},
        {"iss": "https://auth.pingone.com/e1/as", "aud": ["llm"], "sub": "u1", "client_id": "web", "scope": "llm.use"},
        {"client": "web"},
    ),
}


async def no_network(url: str, **options: Any) -> Any:
    raise AssertionError("nothing is fetched")


@pytest.fixture
def judge(forge: Any, published: Any, clock: Any) -> Any:
    """Holds a token of a preset's shape, with changes, against that preset; the keys are given to it."""

    async def verify(name: str, header: Any = MappingProxyType({}), claims: Any = MappingProxyType({})) -> Any:
        make, real_header, real_claims, _ = SHAPES[name]
        described = make()
        accepted = JWTProvider(**{**{f: getattr(described, f) for f in JWTProvider.__slots__}, "jwks": published})
        blank = {claim: ... for claim in ("aud", "sub", "team", "hd") if claim not in real_claims}
        token = forge.token({**real_header, **header}, {**blank, **real_claims, **claims})
        return await Verifier([accepted], fetch=no_network, now=clock).verify(token)

    return verify


@pytest.mark.parametrize("name", SHAPES)
async def test_a_token_of_the_real_shape_is_good(name: str, judge: Any) -> None:
    identity = await judge(name)
    assert identity.provider == name.split(",")[0].split(" ")[0]
    assert {claim: identity.claims.get(claim) for claim in SHAPES[name][3]} == SHAPES[name][3]
    assert identity.subject == identity.claims.get("person", "")


MISTAKES: list[tuple[str, dict[str, Any], dict[str, Any], str, str]] = [
    ("okta", {}, {"iss": "https://login.acme.test/oauth2/default"}, "wrong issuer", "Dynamic"),
    ("okta", {}, {"aud": "api://default"}, "wrong audience", "authorization server"),
    ("okta", {"typ": "application/okta-internal-at+jwt"}, {}, "not an access token", "org authorization server"),
    ("keycloak", {}, {"aud": "account"}, "wrong audience", "audience mapper"),
    ("keycloak", {}, {"typ": "ID", "aud": "llm"}, "not an access token", "send the access_token"),
    ("keycloak", {}, {"iss": "http://sso.acme.test/realms/acme"}, "wrong issuer", "host name"),
    ("entra v2", {"nonce": "abc"}, {}, MICROSOFT_GRAPH_ONLY, ""),
    ("entra v2", {}, {"iss": V1}, "wrong issuer", "accessTokenAcceptedVersion"),
    ("entra v1", {}, {"iss": V2}, "wrong issuer", "accessTokenAcceptedVersion"),
    ("entra v2", {}, {"scp": ..., "roles": ...}, "not an access token", "ID token"),
    ("entra v2", {}, {"aud": "api://llm"}, "wrong audience", "application id"),
    ("entra v2", {"kid": "absent"}, {}, "token uses an unknown key", "appid"),
    ("auth0", {}, {"iss": "https://login.acme.test/"}, "wrong issuer", "custom domain"),
    ("auth0", {}, {"aud": "https://acme.eu.auth0.com/userinfo"}, "wrong audience", "pass the API's identifier"),
    ("auth0", {"alg": "HS256"}, {}, "algorithm not allowed", "RS256"),
    ("google", {}, {"aud": "other"}, "wrong audience", "client id"),
    ("google", {}, {"hd": "evil.test"}, 'claim "hd" has a value that is not accepted', ""),
    ("google", {}, {"hd": ...}, 'missing claim "hd"', ""),
    ("cognito", {}, {"client_id": "other"}, "wrong client", "client_id"),
    ("cognito", {}, {"token_use": "id", "aud": "1example23456789"}, "not an access token", "access token"),
    ("cognito", {}, {"token_use": ...}, "not an access token", "access token"),
    ("kubernetes", {}, {"aud": ["https://kubernetes.default.svc"]}, "wrong audience", "projected"),
    ("github", {}, {"aud": "https://github.com/octo-org"}, "wrong audience", "asks for another audience"),
    ("github", {}, {"repository_owner_id": "66"}, 'claim "repository_owner_id" has a value', "another owner"),
    ("frontegg", {}, {"aud": "other"}, "wrong audience", "environment"),
    ("pingone", {}, {"iss": "https://auth.pingone.eu/e1/as"}, "wrong issuer", "region"),
    ("pingone", {}, {"aud": ["https://api.pingone.com"]}, "wrong audience", "resource"),
]


@pytest.mark.parametrize(("name", "header", "claims", "text", "hint"), MISTAKES, ids=lambda part: str(part)[:40])
async def test_the_commonest_mistakes_have_words_for_the_operator(
    name: str, header: Any, claims: Any, text: str, hint: str, judge: Any, forge: Any
) -> None:
    sign = {"alg": "RS256"} if header.get("alg") else {}
    if sign:  # an HMAC cannot be made with this key; the algorithm is refused before the signature
        make, *_ = SHAPES[name]
        issuer = make().issuers[0]
        token = forge.token(header, {"iss": issuer}, signature=b"x")
        attempt = Verifier([make(jwks={"keys": []})], fetch=no_network).verify(token)
    else:
        attempt = judge(name, header, claims)
    with pytest.raises(TokenRefused) as caught:
        await attempt
    assert text in caught.value.message
    assert hint in caught.value.detail
    assert hint == "" or hint not in caught.value.message or hint in text


SIGN_IN: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"typ": "logout+jwt"}, {}),
    ({}, {"nonce": "n"}),
    ({}, {"typ": "ID"}),
]
SAY_IT_OTHERWISE = ("google", "kubernetes", "github", "keycloak", "cognito", "cognito, new issuer")


@pytest.mark.parametrize(("header", "claims"), SIGN_IN, ids=str)
@pytest.mark.parametrize("name", [name for name in SHAPES if name not in SAY_IT_OTHERWISE])
async def test_a_token_for_signing_in_opens_nothing(name: str, header: Any, claims: Any, judge: Any) -> None:
    with pytest.raises(TokenRefused, match="not an access token"):
        await judge(name, header, claims)


def test_keys_are_where_each_provider_has_them() -> None:
    standard = [okta("a.okta.com", audiences=["x"]), keycloak("https://a", realm="b", audiences=["x"])]
    standard += [auth0("a.auth0.com", audiences=["x"]), pingone("e", audiences=["x"])]
    assert {each.jwks for each in standard} == {Discovery()}
    login = "https://login.microsoftonline.com"
    assert entra(TENANT, audiences=["x"]).jwks == Discovery(f"{V2}/.well-known/openid-configuration")
    v1 = entra(TENANT, audiences=["x"], version=1)
    assert v1.jwks == Discovery(f"{login}/{TENANT}/.well-known/openid-configuration")
    several = entra("organizations", audiences=["x"], required_values={"tid": [TENANT]})
    assert several.jwks == Discovery(f"{login}/common/v2.0/.well-known/openid-configuration")
    assert google(audiences=["x"]).jwks == URL("https://www.googleapis.com/oauth2/v3/certs")
    assert cognito("eu-central-1", POOL, client_ids=["x"]).jwks == URL(f"{COGNITO}/.well-known/jwks.json")
    fronteggs = frontegg("a.frontegg.com", audiences=["x"])
    assert fronteggs.jwks == Discovery("https://a.frontegg.com/oauth/.well-known/openid-configuration")


def test_a_pod_shows_its_token_to_the_api_server() -> None:
    keys = kubernetes(audiences=["llm"]).jwks
    assert isinstance(keys, URL)
    assert keys.url == "https://kubernetes.default.svc/openid/v1/jwks"
    assert str(keys.token_file) == "/var/run/secrets/kubernetes.io/serviceaccount/token"
    assert str(keys.ca_file) == "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"


def test_the_keys_of_another_cluster_have_their_own_url() -> None:
    found = kubernetes(
        audiences=["llm"],
        issuer="https://oidc.acme.test/cluster-1",
        jwks_url="https://api.cluster-1.acme.test/openid/v1/jwks",
        ca_file=None,
    )
    assert found.issuers == ("https://oidc.acme.test/cluster-1",)
    assert isinstance(found.jwks, URL)
    assert found.jwks.url == "https://api.cluster-1.acme.test/openid/v1/jwks"
    assert str(found.jwks.token_file) == "/var/run/secrets/kubernetes.io/serviceaccount/token"


def test_a_region_of_pingone_has_its_own_domain() -> None:
    found = pingone("e1", audiences=["llm"], domain="auth.pingone.eu")
    assert found.issuers == ("https://auth.pingone.eu/e1/as",)
    assert found.jwks == Discovery()


def test_microsoft_is_asked_for_unknown_kids_at_most_every_five_minutes() -> None:
    assert entra(TENANT, audiences=["x"]).cooldown == 300


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: provider("okta", issuers=["https://acme.okta.com"], audiences=["x"]), "org authorization server"),
        (lambda: provider("auth0", issuers=["https://acme.auth0.com"], audiences=["x"]), "ends with a slash"),
        (lambda: entra("common", audiences=["x"]), "every Microsoft tenant"),
        (lambda: github(audiences=["x"], owner_ids=[]), "every workflow in the world"),
        (lambda: provider("github", issuers=["https://token.actions.githubusercontent.com"], audiences=["x"]), "every"),
        (lambda: cognito("eu-central-1", POOL, client_ids=[]), "needs audiences"),
        (lambda: provider("octa", issuers=["x"], audiences=["x"]), "unknown preset"),
        (lambda: keycloak("https://a", realm="b", audiences=[]), "needs audiences"),
        (lambda: provider("keycloak", issuers=[], audiences=["x"]), "needs an issuer"),
    ],
)
def test_a_setup_that_cannot_be_right_is_refused_at_start(make: Any, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        make()


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_can_be_named_in_the_settings(name: str) -> None:
    issuer = {"okta": "https://a.okta.com/oauth2/default", "auth0": "https://a.auth0.com/"}.get(name, "https://a.test")
    described = provider(
        name,
        issuers=[issuer],
        audiences=() if name == "cognito" else ["x"],
        client_ids=["c"],
        required_values={"repository_owner_id": ["1"]} if name == "github" else None,
        jwks=None,
        discovery_url=None,
        leeway=None,
        claim_map=None,
    )
    assert (described.name, described.issuers) == (name, (issuer,))


def test_settings_win_over_a_presets_habits() -> None:
    described = provider(
        "keycloak",
        issuers=["https://a/realms/b"],
        audiences=["x"],
        name="sso",
        claim_map={"team": "department"},
        jwks=File("keys.json"),
        require_access_token=False,
    )
    assert described.name == "sso"
    assert described.claim_map == {"roles": "roles|realm_access.roles", "team": "department"}
    assert described.jwks == File("keys.json")
    assert described.access_token is None


def test_a_discovery_url_wins_over_the_standard_one() -> None:
    url = "https://elsewhere.test/.well-known/openid-configuration"
    assert provider("entra", issuers=[V1], audiences=["x"], discovery_url=url).jwks == Discovery(url)
    assert provider("entra", issuers=[V1], audiences=["x"], jwks=Discovery()).jwks != Discovery()


async def test_what_keeps_keys_away_is_said_too(web: Any, clock: Any, forge: Any) -> None:
    web.pages["https://kubernetes.default.svc/openid/v1/jwks"] = (401, {}, b"")
    described = kubernetes(audiences=["llm"], token_file=None, ca_file=None)
    token = forge.token(claims={"iss": described.issuers[0]})
    with pytest.raises(KeysUnavailable) as caught:
        await Verifier([described], fetch=web.fetch, now=clock).verify(token)
    assert "responded with 401" in caught.value.detail
    assert "needs token_file, a service account's token" in caught.value.detail


async def test_groups_that_entra_left_out_are_unknown_not_none(judge: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    identity = await judge("entra v2", {}, {"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {}}})
    assert identity.claims["_claim_names"] == {"groups": "src1"}
    assert "groups" not in identity.claims
    assert "too many groups" in caplog.text
