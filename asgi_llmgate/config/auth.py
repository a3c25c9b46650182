"""`auth`: whose tokens are accepted, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from asgi_llmgate._types import Layer
from asgi_llmgate.auth import (
    URL,
    Discovery,
    File,
    Inline,
    Introspection,
    JWTAuthMiddleware,
    JWTProvider,
    Session,
    metadata_url,
    protected_resource,
    provider,
)
from asgi_llmgate.auth.keys.sources import KeySource
from asgi_llmgate.config import schema as shape
from asgi_llmgate.config.checks import inside, require_readable, require_url
from asgi_llmgate.config.credentials import oauth_client
from asgi_llmgate.config.errors import error_path
from asgi_llmgate.errors import SettingsError


def token_providers(settings: shape.Settings, folder: Path) -> list[JWTProvider]:
    """Those whose tokens are accepted, `auth.providers`.  Raises SettingsError."""
    providers = []
    for index, described in enumerate(settings.auth.providers):
        with error_path(f"auth.providers[{index}]"):
            providers.append(_provider(described, folder))
    return providers


def auth_layer(auth: shape.Auth, providers: Sequence[JWTProvider], session: Session | None) -> Layer:
    return partial(
        JWTAuthMiddleware,
        providers=providers,
        mode=auth.mode,
        token_sources=auth.token_sources,
        cache_ttl=auth.cache_ttl,
        max_token_size=auth.max_token_size,
        strip_credentials=True,
        resource_metadata=metadata_url(auth.protected_resource.url) if auth.protected_resource else None,
        session=session,
    )


def metadata(auth: shape.Auth, providers: Sequence[JWTProvider]) -> Mapping[str, Any] | None:
    resource = auth.protected_resource
    if resource is None:
        return None
    with error_path("auth.protected_resource.url"):
        require_url(resource.url, "https://apps.acme.test/llm")
    return protected_resource(resource.url.rstrip("/"), providers, name=resource.name)


def _provider(described: shape.Provider, folder: Path) -> JWTProvider:
    options = msgspec.structs.asdict(described)
    issuer, issuers = options.pop("issuer"), options.pop("issuers")
    options["jwks"] = _keys(described.jwks, folder)
    if (asked := described.introspection) is not None:
        with error_path("introspection"):
            options["introspection"] = Introspection(asked.url, oauth_client(asked, folder), asked.tokens)
    for name in ("required_values", "required_scopes", "client_ids", "profile"):
        options[name] = options[name] or None  # left out, a preset's own counts
    return provider(options.pop("preset"), issuers=[issuer, *issuers] if issuer else issuers, **options)


def _keys(jwks: shape.Jwks | None, folder: Path) -> KeySource | None:
    if jwks is None:
        return None
    if sum(map(bool, (jwks.inline, jwks.file, jwks.url, jwks.discovery))) != 1:
        raise SettingsError("say where the keys are: one of inline, file, url, discovery", path="jwks")
    if jwks.file is not None:
        require_readable(folder / jwks.file, "jwks.file")
        return File(folder / jwks.file)
    if jwks.url is not None:
        return URL(jwks.url, token_file=inside(folder, jwks.token_file), ca_file=inside(folder, jwks.ca_file))
    return Discovery() if jwks.inline is None else Inline(jwks.inline)
