"""The functions of the presets: checks of a provider's settings, and of its tokens, and where its keys are.

A check of settings is called with the options for JWTProvider and raises SettingsError.  A check of a token is called
with its header and claims.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asgi_llmgate.auth.keys.sources import Discovery, KeySource
from asgi_llmgate.auth.providers.jwt_provider import TENANT, Json, is_access_token
from asgi_llmgate.errors import SettingsError

MICROSOFT_GRAPH_ONLY = (
    "the token is for Microsoft Graph, and only Microsoft Graph can verify it (its header has a nonce); "
    "request a token with a scope of your own API"
)


def check_okta(options: Mapping[str, Any]) -> None:
    introspection = options.get("introspection")
    if introspection is not None and introspection.tokens == "all":
        return
    for index, issuer in enumerate(options["issuers"]):
        # https://developer.okta.com/docs/concepts/auth-servers: a custom server has /oauth2/ID in its issuer.
        if "/oauth2/" not in issuer:
            raise SettingsError(
                f"{issuer} is Okta's org authorization server; the keys of its access tokens are not published",
                path=f"issuers[{index}]",
                hint=f"use a custom authorization server, such as {issuer.rstrip('/')}/oauth2/default",
            )


def check_auth0(options: Mapping[str, Any]) -> None:
    for index, issuer in enumerate(options["issuers"]):
        if not issuer.endswith("/"):
            raise SettingsError(f"Auth0's issuer ends with a slash: {issuer}/", path=f"issuers[{index}]")


def check_entra(options: Mapping[str, Any]) -> None:
    if any(TENANT in issuer for issuer in options["issuers"]) and not options.get("required_values", {}).get("tid"):
        raise SettingsError(
            "users of every Microsoft tenant could sign in",
            path="required_values",
            hint="name the tenants: required_values: {tid: [...]}",
        )


def check_github(options: Mapping[str, Any]) -> None:
    owner = ("repository_owner_id", "repository_id", "enterprise_id", "repository_owner", "repository", "enterprise")
    if not any(options.get("required_values", {}).get(name) for name in owner):
        raise SettingsError(
            "all of GitHub has this issuer, so every workflow in the world could call",
            path="required_values",
            hint="name the owner: required_values: {repository_owner_id: [...]}",
        )


def entra_keys(issuer: str) -> KeySource:
    # A v1 issuer is on another host than its discovery document; that of a multi-tenant issuer is at `common`.
    base = issuer.replace("https://sts.windows.net/", "https://login.microsoftonline.com/").rstrip("/")
    return Discovery(base.replace(TENANT, "common") + "/.well-known/openid-configuration")


def is_entra_access_token(header: Json, claims: Json) -> bool:
    # Entra's ID tokens can be recognised only by their lack of permissions; Microsoft.Identity.Web does the same
    # (its error IDW10201).
    return is_access_token(header, claims) and ("scp" in claims or "roles" in claims)


def entra_unverifiable_reason(header: Json, claims: Json) -> str:
    # The signature of such a token is over a header with the hash of the nonce in its place.
    return MICROSOFT_GRAPH_ONLY if "nonce" in header else ""


def entra_person(claims: Json) -> str | None:
    """`TENANT/OBJECT_ID`, because `sub` is different for each client app."""
    tenant, object_id = claims.get("tid"), claims.get("oid")
    return f"{tenant}/{object_id}" if isinstance(tenant, str) and isinstance(object_id, str) else claims.get("sub")


def is_cognito_access_token(header: Json, claims: Json) -> bool:
    return claims.get("token_use") == "access"
