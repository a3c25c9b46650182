"""What each identity provider does that others do not, and its commonest setup mistake in words.

A preset is defaults for JWTProvider, which the settings may override, plus a check at start.  The facts were collected
from the vendors' documentation and from recorded tokens; tests/auth/providers/test_named.py has their shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from asgi_llmgate.auth.keys.sources import URL, Discovery, KeySource
from asgi_llmgate.auth.providers.jwt_provider import TENANT, Json, JWTProvider, is_access_token, says_access_token
from asgi_llmgate.auth.reasons import Check
from asgi_llmgate.errors import SettingsError

FOR_GRAPH = (
    "the token is for Microsoft Graph, which alone can verify it (nonce in its header); "
    "ask for a token with a scope of your own API"
)


@dataclass(frozen=True, slots=True)
class Preset:
    """`keys`: where the keys of an issuer are, if not at its standard discovery; `check` raises SettingsError."""

    defaults: Mapping[str, Any] = field(default_factory=dict)
    keys: Callable[[str], KeySource] | None = None
    check: Callable[[Mapping[str, Any]], None] | None = None


def _okta_check(options: Mapping[str, Any]) -> None:
    introspection = options.get("introspection")
    if introspection is not None and introspection.tokens == "all":
        return
    for issuer in options["issuers"]:
        if "/oauth2/" not in issuer:
            raise SettingsError(
                f"{issuer} is Okta's org authorization server; the keys of its access tokens are not published",
                path="issuers",
                hint=f"use a custom authorization server, such as {issuer.rstrip('/')}/oauth2/default",
            )


def _auth0_check(options: Mapping[str, Any]) -> None:
    for issuer in options["issuers"]:
        if not issuer.endswith("/"):
            raise SettingsError(f"Auth0's issuer ends with a slash: {issuer}/", path="issuers")


def _entra_check(options: Mapping[str, Any]) -> None:
    if any(TENANT in issuer for issuer in options["issuers"]) and not options.get("required_values", {}).get("tid"):
        raise SettingsError(
            "anybody's tenant at Microsoft could sign in",
            path="required_values",
            hint="name the tenants: required_values: {tid: [...]}",
        )


def _github_check(options: Mapping[str, Any]) -> None:
    owner = ("repository_owner_id", "repository_id", "enterprise_id", "repository_owner", "repository", "enterprise")
    if not any(options.get("required_values", {}).get(name) for name in owner):
        raise SettingsError(
            "all of GitHub has this issuer, so every workflow in the world could call",
            path="required_values",
            hint="name the owner: required_values: {repository_owner_id: [...]}",
        )


def _entra_keys(issuer: str) -> KeySource:
    """A v1 issuer is on another host than its document; a multi-tenant one has its document at `common`."""
    base = issuer.replace("https://sts.windows.net/", "https://login.microsoftonline.com/").rstrip("/")
    return Discovery(base.replace(TENANT, "common") + "/.well-known/openid-configuration")


def _entra_access_token(header: Json, claims: Json) -> bool:
    """ID tokens differ in nothing but that they allow nothing (Microsoft.Identity.Web does the same, IDW10201)."""
    return is_access_token(header, claims) and ("scp" in claims or "roles" in claims)


def _entra_never_verifies(header: Json, claims: Json) -> str:
    return FOR_GRAPH if "nonce" in header else ""


def _entra_person(claims: Json) -> str | None:
    """`sub` differs per client app; tenant and object id are the person."""
    tenant, person = claims.get("tid"), claims.get("oid")
    return f"{tenant}/{person}" if isinstance(tenant, str) and isinstance(person, str) else claims.get("sub")


def _cognito_access_token(header: Json, claims: Json) -> bool:
    return claims.get("token_use") == "access"


PRESETS: Mapping[str, Preset] = {
    "okta": Preset(
        {
            "claim_map": {"person": "uid|sub"},
            "hints": {
                Check.ISSUER: "Okta: a server whose issuer is set to Dynamic uses the domain by which it was reached",
                Check.AUDIENCE: "Okta: the audience is the authorization server's (the default one's is api://default)",
                Check.TYPE: "Okta: tokens of the org authorization server are for Okta itself",
            },
        },
        check=_okta_check,
    ),
    "keycloak": Preset(
        {
            "access_token": says_access_token,
            "claim_map": {"roles": "roles|realm_access.roles"},
            "hints": {
                Check.ISSUER: "Keycloak: the issuer follows the host name by which it is reached",
                Check.AUDIENCE: 'Keycloak: aud is "account" until the client has an audience mapper',
                Check.TYPE: "Keycloak: ID and refresh tokens open nothing; send the access_token",
                Check.ALGORITHM: "Keycloak: refresh tokens are HS512; send the access_token",
            },
        }
    ),
    "entra": Preset(
        {
            "access_token": _entra_access_token,
            "never_verifies": _entra_never_verifies,
            "claim_map": {"person": _entra_person},
            "cooldown": 300.0,
            "hints": {
                Check.ISSUER: "Entra: v1 and v2 tokens differ in issuer; accessTokenAcceptedVersion of the API decides",
                Check.KEY: "Entra: an app with claims mapping has keys of its own, at jwks_uri?appid=ID",
                Check.AUDIENCE: "Entra: aud is the API's application id (v2) or its api:// URI (v1), not the client's",
                Check.TYPE: "Entra: without scp and roles it is an ID token, or the app has no role assigned",
            },
        },
        keys=_entra_keys,
        check=_entra_check,
    ),
    "auth0": Preset(
        {
            "hints": {
                Check.ISSUER: "Auth0: a custom domain changes the issuer",
                Check.ALGORITHM: "Auth0: tokens of an API set to HS256 cannot be verified by keys; set it to RS256",
                Check.AUDIENCE: "Auth0: pass the API's identifier as audience when asking for the token",
            },
        },
        check=_auth0_check,
    ),
    "google": Preset(
        {
            "access_token": None,
            "hints": {Check.AUDIENCE: "Google: aud is the client id, or the audience that was asked for"},
        },
        keys=lambda issuer: URL("https://www.googleapis.com/oauth2/v3/certs"),
    ),
    "cognito": Preset(
        {
            "audiences": "none",
            "access_token": _cognito_access_token,
            "claim_map": {"groups": "cognito:groups"},
            "hints": {
                Check.AUDIENCE: "Cognito: access tokens have no aud; client_ids is held against client_id",
                Check.TYPE: "Cognito: send the access token, not the ID token",
            },
        },
        keys=lambda issuer: URL(f"{issuer}/.well-known/jwks.json"),
    ),
    "kubernetes": Preset(
        {
            "access_token": None,
            "hints": {
                Check.KEYS: "Kubernetes: /openid/v1/jwks wants a service account's token, and TLS the cluster's CA",
                Check.AUDIENCE: "Kubernetes: name the audience in the pod's projected serviceAccountToken volume",
            },
        }
    ),
    "github": Preset(
        {
            "access_token": None,
            "claim_map": {"person": "repository_id|sub"},
            "hints": {
                Check.AUDIENCE: "GitHub: aud is the owner's URL unless the workflow asks for another audience",
                Check.CLAIMS: "GitHub: the workflow runs in a repository of somebody else",
            },
        },
        check=_github_check,
    ),
    "frontegg": Preset(
        {
            "claim_map": {"scopes": "scope|scp|permissions"},
            "hints": {Check.AUDIENCE: "Frontegg: aud is the client id of the environment, or the application's id"},
        },
        keys=lambda issuer: Discovery(f"{issuer}/oauth/.well-known/openid-configuration"),
    ),
    "pingone": Preset(
        {
            "hints": {
                Check.ISSUER: "PingOne: each region has its domain, and a custom domain changes the issuer",
                Check.AUDIENCE: "PingOne: aud is the audience of the resource, not the application",
            },
        }
    ),
}


def provider(preset: str | None = None, *, issuers: Sequence[str], **options: Any) -> JWTProvider:
    """The provider with a preset's habits; `options` are JWTProvider's, and None or () in them is as if not given.

    `require_access_token=False` is short for `access_token=None`, `discovery_url=X` for `jwks=Discovery(X)`.  Raises
    SettingsError.
    """
    if preset is not None and preset not in PRESETS:
        raise SettingsError(f"no such preset: {preset!r}", path="preset", hint="one of " + ", ".join(sorted(PRESETS)))
    habits = PRESETS[preset] if preset is not None else Preset()
    given = {name: value for name, value in options.items() if value not in (None, ())}
    if (discovery_url := given.pop("discovery_url", None)) is not None:
        given["jwks"] = Discovery(discovery_url)
    elif habits.keys is not None and issuers and given.get("jwks", Discovery()) == Discovery():
        given["jwks"] = habits.keys(issuers[0])
    merged = {"name": preset or "", "audiences": (), **habits.defaults, **given, "issuers": tuple(issuers)}
    merged["claim_map"] = {**habits.defaults.get("claim_map", {}), **given.get("claim_map", {})}
    if merged.pop("require_access_token", True) is False:
        merged["access_token"] = None
    if habits.check is not None:
        habits.check(merged)
    return JWTProvider(**merged)
