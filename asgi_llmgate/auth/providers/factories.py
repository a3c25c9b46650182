"""Functions that make a JWTProvider: by a preset, or for one product from a domain, a realm, a tenant.

`options` are those of JWTProvider; they override the preset (presets.py).  All functions raise SettingsError.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asgi_llmgate.auth.keys.sources import URL, Discovery
from asgi_llmgate.auth.providers.jwt_provider import TENANT, JWTProvider
from asgi_llmgate.auth.providers.presets import PRESETS, Preset
from asgi_llmgate.errors import SettingsError
from asgi_llmgate.mistakes import Mistakes

_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where Kubernetes mounts a pod's service account."""


def provider(preset: str | None = None, *, issuers: Sequence[str], **options: Any) -> JWTProvider:
    """A provider with a preset; without one, a plain JWTProvider.

    None and () count as not given.  `require_access_token=False` is short for `access_token=None`, and
    `discovery_url=X` for `jwks=Discovery(X)`.
    """
    mistakes = Mistakes()
    if preset is not None and preset not in PRESETS:
        hint = "one of " + ", ".join(sorted(PRESETS))
        mistakes.add_unknown(SettingsError(f"unknown preset: {preset[:64]!r}", path="preset", hint=hint))
    chosen = PRESETS.get(preset or "", Preset())
    given = {name: value for name, value in options.items() if value not in (None, ())}
    if (discovery_url := given.pop("discovery_url", None)) is not None:
        with mistakes.under("discovery_url"):
            given["jwks"] = Discovery(discovery_url)
    # An explicit Discovery() says no more than the default does, so the preset's source takes its place.
    elif chosen.keys is not None and issuers and given.get("jwks", Discovery()) == Discovery():
        given["jwks"] = chosen.keys(issuers[0])
    merged = {"name": preset or "", "audiences": (), **chosen.defaults, **given, "issuers": tuple(issuers)}
    merged["claim_map"] = {**chosen.defaults.get("claim_map", {}), **given.get("claim_map", {})}
    if merged.pop("require_access_token", True) is False:
        merged["access_token"] = None
    with mistakes.under():
        if chosen.check is not None:
            chosen.check(merged)
    with mistakes.under():
        made = JWTProvider(**merged)
    mistakes.raise_if_any()
    return made


def okta(domain: str, *, audiences: Sequence[str], server: str = "default", **options: Any) -> JWTProvider:
    """Okta, by a custom authorization server (developer.okta.com/docs/concepts/auth-servers)."""
    return provider("okta", issuers=[f"https://{domain}/oauth2/{server}"], audiences=audiences, **options)


def keycloak(base_url: str, *, realm: str, audiences: Sequence[str], **options: Any) -> JWTProvider:
    """A realm of a Keycloak server (www.keycloak.org/securing-apps/oidc-layers)."""
    issuer = f"{base_url.rstrip('/')}/realms/{realm}"
    return provider("keycloak", issuers=[issuer], audiences=audiences, **options)


def entra(tenant: str, *, audiences: Sequence[str], version: int = 2, **options: Any) -> JWTProvider:
    """Microsoft Entra ID (learn.microsoft.com/entra/identity-platform/access-tokens).

    `tenant`: its GUID; `common` or `organizations` for several, which `required_values={"tid": [...]}` must list.
    `version`: the version of the access tokens, `accessTokenAcceptedVersion` in the API's manifest (null is 1).
    """
    tenant = TENANT if tenant in ("common", "organizations") else tenant
    issuer = (
        f"https://login.microsoftonline.com/{tenant}/v2.0" if version == 2 else f"https://sts.windows.net/{tenant}/"
    )
    return provider("entra", issuers=[issuer], audiences=audiences, **options)


def auth0(domain: str, *, audiences: Sequence[str], **options: Any) -> JWTProvider:
    """Auth0.  `domain`: the one that people sign in at, the tenant's or a custom one."""
    return provider("auth0", issuers=[f"https://{domain}/"], audiences=audiences, **options)


def google(*, audiences: Sequence[str], **options: Any) -> JWTProvider:
    """Google's ID tokens; its access tokens are opaque.

    `required_values={"hd": ["acme.com"]}` accepts only accounts of that Workspace.
    """
    issuers = ["https://accounts.google.com", "accounts.google.com"]
    return provider("google", issuers=issuers, audiences=audiences, **options)


def cognito(region: str, pool: str, *, client_ids: Sequence[str], **options: Any) -> JWTProvider:
    """Amazon Cognito.  `pool`: the id of the user pool.  Both forms of its issuer are accepted."""
    # docs.aws.amazon.com/cognito-user-identity-pools/latest/APIReference: IssuerConfigurationType
    host = f"{region}.amazonaws.com/{pool}"
    issuers = [f"https://cognito-idp.{host}", f"https://issuer-cognito-idp.{host}"]
    return provider("cognito", issuers=issuers, client_ids=client_ids, **options)


def kubernetes(
    *,
    audiences: Sequence[str],
    issuer: str = "https://kubernetes.default.svc.cluster.local",
    jwks_url: str = "https://kubernetes.default.svc/openid/v1/jwks",
    token_file: str | Path | None = _POD / "token",
    ca_file: str | Path | None = _POD / "ca.crt",
    **options: Any,
) -> JWTProvider:
    """Service accounts of the cluster that the gateway runs in."""
    # The API server gives its keys only to callers with a token, so the gateway sends the token of its own pod.
    keys = URL(jwks_url, token_file=token_file, ca_file=ca_file)
    return provider("kubernetes", issuers=[issuer], audiences=audiences, jwks=keys, **options)


def github(*, audiences: Sequence[str], owner_ids: Sequence[str], **options: Any) -> JWTProvider:
    """GitHub Actions (docs.github.com/actions/reference/security/oidc).

    `owner_ids`: ids of the users and organizations whose workflows may call, in the claim `repository_owner_id`.
    """
    values = {"repository_owner_id": list(owner_ids), **options.pop("required_values", {})}
    issuer = "https://token.actions.githubusercontent.com"
    return provider("github", issuers=[issuer], audiences=audiences, required_values=values, **options)


def frontegg(domain: str, *, audiences: Sequence[str], **options: Any) -> JWTProvider:
    """Frontegg.  `domain`: for example `acme.frontegg.com`."""
    return provider("frontegg", issuers=[f"https://{domain}"], audiences=audiences, **options)


def pingone(
    environment: str, *, audiences: Sequence[str], domain: str = "auth.pingone.com", **options: Any
) -> JWTProvider:
    """An environment of PingOne.  `domain`: that of the region."""
    return provider("pingone", issuers=[f"https://{domain}/{environment}/as"], audiences=audiences, **options)
