"""OAuth 2.0 Protected Resource Metadata (RFC 9728): where a client that was refused learns whom to ask for a token."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from asgi_llmgate.auth.providers.jwt_provider import TENANT, JWTProvider


def protected_resource(resource: str, providers: Iterable[JWTProvider], *, name: str = "") -> dict[str, Any]:
    """The document for a gateway whose base URL is `resource`; issuers that are no https URL are not listed."""
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
    """Where that document is: the well-known path goes between the host and the resource's own path (section 3.1)."""
    from authlib.oauth2.rfc8414 import get_well_known_url  # not every start needs Authlib's OAuth side

    locate: Callable[..., str] = get_well_known_url
    return locate(resource.rstrip("/"), external=True, suffix="oauth-protected-resource")


def _listed(issuers: Sequence[str]) -> list[str]:
    return [issuer for issuer in issuers if issuer.startswith("https://") and TENANT not in issuer]
