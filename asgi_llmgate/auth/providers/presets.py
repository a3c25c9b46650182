"""The presets: what each known identity provider does differently, and its most frequent setup mistakes as hints.

The facts were collected from the providers' documentation and from recorded tokens;
tests/auth/providers/test_factories.py contains the shapes of these tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from asgi_llmgate.auth.keys.sources import URL, Discovery, KeySource
from asgi_llmgate.auth.providers.jwt_provider import is_access_token_by_type_claims
from asgi_llmgate.auth.providers.preset_checks import (
    check_auth0,
    check_entra,
    check_github,
    check_okta,
    entra_keys,
    entra_person,
    entra_unverifiable_reason,
    is_cognito_access_token,
    is_entra_access_token,
)
from asgi_llmgate.auth.reasons import Check


@dataclass(frozen=True, slots=True)
class Preset:
    """What a preset adds to the settings of a provider.

    defaults  options of JWTProvider, which the settings override
    keys      gives the source of an issuer's keys; None: the standard discovery
    check     checks the options, and raises SettingsError
    """

    defaults: Mapping[str, Any] = field(default_factory=dict)
    keys: Callable[[str], KeySource] | None = None
    check: Callable[[Mapping[str, Any]], None] | None = None


PRESETS: Mapping[str, Preset] = {
    "okta": Preset(
        {
            "claim_map": {"person": "uid|sub"},
            "hints": {
                Check.ISSUER: "Okta: an issuer that is set to Dynamic follows the domain of the token request",
                Check.AUDIENCE: "Okta: the audience is the authorization server's (the default one's is api://default)",
                Check.TYPE: "Okta: tokens of the org authorization server are for Okta itself",
            },
        },
        check=check_okta,
    ),
    "keycloak": Preset(
        {
            "access_token": is_access_token_by_type_claims,
            "claim_map": {"roles": "roles|realm_access.roles"},
            "hints": {
                Check.ISSUER: "Keycloak: the issuer follows the host name of the token request",
                Check.AUDIENCE: 'Keycloak: aud is "account" until the client has an audience mapper',
                Check.TYPE: "Keycloak: this is an ID or refresh token; send the access_token",
                Check.ALGORITHM: "Keycloak: refresh tokens are HS512; send the access_token",
            },
        }
    ),
    "entra": Preset(
        {
            "access_token": is_entra_access_token,
            "unverifiable_reason": entra_unverifiable_reason,
            "claim_map": {"person": entra_person},
            "cooldown": 300.0,
            "hints": {
                Check.ISSUER: "Entra: the issuer depends on the token's version, accessTokenAcceptedVersion of the API",
                Check.KEY: "Entra: an app with claims mapping has keys of its own, at jwks_uri?appid=ID",
                Check.AUDIENCE: "Entra: aud is the API's application id (v2) or its api:// URI (v1), not the client's",
                Check.TYPE: "Entra: without scp and roles it is an ID token, or the app has no role assigned",
            },
        },
        keys=entra_keys,
        check=check_entra,
    ),
    "auth0": Preset(
        {
            "hints": {
                Check.ISSUER: "Auth0: a custom domain changes the issuer",
                Check.ALGORITHM: "Auth0: tokens of an API set to HS256 cannot be verified by keys; set it to RS256",
                Check.AUDIENCE: "Auth0: pass the API's identifier as audience when asking for the token",
            },
        },
        check=check_auth0,
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
            "access_token": is_cognito_access_token,
            "claim_map": {"groups": "cognito:groups"},
            "hints": {
                Check.AUDIENCE: "Cognito: access tokens have no aud; client_ids is compared with client_id",
                Check.TYPE: "Cognito: send the access token, not the ID token",
            },
        },
        keys=lambda issuer: URL(f"{issuer}/.well-known/jwks.json"),
    ),
    "kubernetes": Preset(
        {
            "access_token": None,
            "hints": {
                Check.KEYS: "Kubernetes: /openid/v1/jwks needs token_file, a service account's token, and ca_file",
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
                Check.CLAIMS: "GitHub: the workflow runs in a repository of another owner",
            },
        },
        check=check_github,
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
