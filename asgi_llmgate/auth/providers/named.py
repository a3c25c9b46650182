"""Identity providers by name; each function makes the issuer out of what people know: a domain, a realm, a tenant.

`options` are JWTProvider's; they win over the provider's habits (habits.py).  All raise SettingsError.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asgi_llmgate.auth.keys.sources import URL
from asgi_llmgate.auth.providers.jwt_provider import TENANT, JWTProvider
from asgi_llmgate.auth.providers.presets import provider

_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def okta(domain: str, *, audiences: Sequence[str], server: str = "default", **options: Any) -> JWTProvider:
    """Okta, by a custom authorization server (developer.okta.com/docs/concepts/auth-servers)."""
    return provider("okta", issuers=[f"https://{domain}/oauth2/{server}"], audiences=audiences, **options)


def keycloak(base_url: str, *, realm: str, audiences: Sequence[str], **options: Any) -> JWTProvider:
    """Keycloak, a realm of it."""
    issuer = f"{base_url.rstrip('/')}/realms/{realm}"
    return provider("keycloak", issuers=[issuer], audiences=audiences, **options)


def entra(tenant: str, *, audiences: Sequence[str], version: int = 2, **options: Any) -> JWTProvider:
    """Microsoft Entra ID (learn.microsoft.com/entra/identity-platform/access-tokens).

    `tenant`: its GUID; `common` or `organizations` for several, which `required_values={"tid": [...]}` must then name.
    `version`: of the access tokens, as the API's manifest says in `accessTokenAcceptedVersion` (null is 1).
    """
    tenant = TENANT if tenant in ("common", "organizations") else tenant
    issuer = (
        f"https://login.microsoftonline.com/{tenant}/v2.0" if version == 2 else f"https://sts.windows.net/{tenant}/"
    )
    return provider("entra", issuers=[issuer], audiences=audiences, **options)


def auth0(domain: str, *, audiences: Sequence[str], **options: Any) -> JWTProvider:
    """Auth0; `domain` is the tenant's, or the custom one by which people sign in."""
    return provider("auth0", issuers=[f"https://{domain}/"], audiences=audiences, **options)


def google(*, audiences: Sequence[str], **options: Any) -> JWTProvider:
    """Google's ID tokens; its access tokens are opaque.  `required_values={"hd": ["acme.com"]}` names the Workspace."""
    issuers = ["https://accounts.google.com", "accounts.google.com"]
    return provider("google", issuers=issuers, audiences=audiences, **options)


def cognito(region: str, pool: str, *, client_ids: Sequence[str], **options: Any) -> JWTProvider:
    """Amazon Cognito; both forms of its issuer (API_IssuerConfigurationType)."""
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
    """Service accounts of the cluster we run in; the API server shows its keys to those with a token of their own."""
    keys = URL(jwks_url, token_file=token_file, ca_file=ca_file)
    return provider("kubernetes", issuers=[issuer], audiences=audiences, jwks=keys, **options)


def github(*, audiences: Sequence[str], owner_ids: Sequence[str], **options: Any) -> JWTProvider:
    """GitHub Actions (docs.github.com/actions/reference/security/oidc), of these owners: `repository_owner_id`."""
    values = {"repository_owner_id": list(owner_ids), **options.pop("required_values", {})}
    issuer = "https://token.actions.githubusercontent.com"
    return provider("github", issuers=[issuer], audiences=audiences, required_values=values, **options)


def frontegg(domain: str, *, audiences: Sequence[str], **options: Any) -> JWTProvider:
    """Frontegg; `domain` such as `acme.frontegg.com`."""
    return provider("frontegg", issuers=[f"https://{domain}"], audiences=audiences, **options)


def pingone(
    environment: str, *, audiences: Sequence[str], domain: str = "auth.pingone.com", **options: Any
) -> JWTProvider:
    """PingOne, an environment of it; `domain` differs by region."""
    return provider("pingone", issuers=[f"https://{domain}/{environment}/as"], audiences=audiences, **options)
