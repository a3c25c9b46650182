"""OAuth 2.0 Protected Resource Metadata (RFC 9728): tells a client which identity providers it can get a token from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from asgi_llmgate.auth.providers.jwt_provider import TENANT, JWTProvider


def protected_resource(resource: str, providers: Iterable[JWTProvider], *, name: str = "") -> dict[str, Any]:
    """The document for a gateway with the base URL `resource` (RFC 9728 section 2).

    Issuers are listed if they are https URLs without a placeholder, as the RFC demands.
    """
    providers = list(providers)
    scopes = sorted({scope for provider in providers for scope in provider.required_scopes})
    document: dict[str, Any] = {
        "resource": resource,
        "authorization_servers": [issuer for provider in providers for issuer in _listed(provider.issuers)],
        "bearer_methods_supported": ["header"],
    }
    if scopes:
        document["scopes_supported"] = scopes
    if name:
        document["resource_name"] = name
    return document


def metadata_url(resource: str) -> str:
    """The document's URL: the well-known path stands between the host and the resource's own path (section 3.1)."""
    # Imported here because most deployments do not need Authlib's OAuth modules.
    from authlib.oauth2.rfc8414 import get_well_known_url

    locate: Callable[..., str] = get_well_known_url
    return locate(resource.rstrip("/"), external=True, suffix="oauth-protected-resource")


def _listed(issuers: Sequence[str]) -> list[str]:
    return [issuer for issuer in issuers if issuer.startswith("https://") and TENANT not in issuer]
