"""`auth`: whose tokens are accepted, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

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
from asgi_llmgate.auth.middleware import Mode
from asgi_llmgate.auth.token_sources import TOKEN_SOURCES
from asgi_llmgate.auth.verifier import CACHE_TTL, MAX_TOKEN_SIZE
from asgi_llmgate.config.section import Section
from asgi_llmgate.config.sections.credentials import OAuthClientSettings, make_oauth_client
from asgi_llmgate.config.units import require_readable, require_url, resolve_path
from asgi_llmgate.errors import SettingsError
from asgi_llmgate.mistakes import Mistakes, error_path
from asgi_llmgate.net import OAuthClient


class KeySettings(Section, frozen=True):
    """Where a provider's public keys come from: one of inline, file, url, discovery; the files belong to `url`."""

    inline: dict[str, Any] | None = None
    file: str | None = None
    url: str | None = None
    token_file: str | None = None
    ca_file: str | None = None
    discovery: bool = False


class IntrospectionSettings(OAuthClientSettings, frozen=True, kw_only=True):
    """The introspection endpoint of a provider (RFC 7662); the secret as in `api_key`."""

    url: str
    tokens: Literal["opaque", "all"] = "opaque"


class ProviderSettings(Section, frozen=True):
    """One identity provider.  `issuer: X` is short for `issuers: [X]`; times are seconds.

    The defaults are those of the preset, or of JWTProvider.
    """

    name: str | None = None
    preset: str | None = None
    issuer: str | None = None
    issuers: tuple[str, ...] = ()
    audiences: tuple[str, ...] | Literal["none"] | None = None
    jwks: KeySettings | None = None
    discovery_url: str | None = None
    algorithms: tuple[str, ...] | None = None
    leeway: float | None = None
    client_ids: tuple[str, ...] = ()
    token_types: tuple[str, ...] | None = None
    tokens_without_kid: bool | None = None
    require_access_token: bool | None = None
    required_claims: tuple[str, ...] | None = None
    required_values: dict[str, tuple[str, ...]] = {}
    required_scopes: tuple[str, ...] = ()
    profile: Literal["", "rfc9068"] = ""
    claim_map: dict[str, str] | None = None
    max_lifetime: float | None = None
    cooldown: float | None = None
    introspection: IntrospectionSettings | None = None


class ProtectedResourceSettings(Section, frozen=True):
    """RFC 9728: the URL of the gateway as its callers write it, and a name to display."""

    url: str
    name: str = ""


class AuthSettings(Section, frozen=True):
    """Who may call.  `cache_ttl`: maximum seconds for which a verification is cached; `max_token_size`: characters."""

    mode: Mode = "strict"
    providers: tuple[ProviderSettings, ...] = ()
    token_sources: tuple[str, ...] = TOKEN_SOURCES
    cache_ttl: float = CACHE_TTL
    max_token_size: int = MAX_TOKEN_SIZE
    protected_resource: ProtectedResourceSettings | None = None


def make_providers(auth: AuthSettings, folder: Path, mistakes: Mistakes) -> list[JWTProvider]:
    """The identity providers; paths are relative to `folder`.

    In the place of one that is wrong there is one that no token can name.
    """
    providers = []
    for index, described in enumerate(auth.providers):
        with mistakes.under(f"auth.providers[{index}]"):
            providers.append(make_provider(described, folder))
        if len(providers) == index:
            nobody = (f"?auth.providers[{index}]",)
            providers.append(JWTProvider(issuers=nobody, audiences=nobody, jwks=Inline({"keys": []})))
    return providers


def make_auth_layer(auth: AuthSettings, providers: Sequence[JWTProvider], session: Session | None) -> Layer:
    """The JWTAuthMiddleware; `session` recognizes callers who are signed in to the host."""
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


def make_metadata(auth: AuthSettings, providers: Sequence[JWTProvider]) -> Mapping[str, Any] | None:
    """The RFC 9728 document; None where it is not configured.  Raises SettingsError."""
    resource = auth.protected_resource
    if resource is None:
        return None
    with error_path("auth.protected_resource.url"):
        require_url(resource.url, "https://apps.acme.test/llm")
    return protected_resource(resource.url.rstrip("/"), providers, name=resource.name)


def make_provider(described: ProviderSettings, folder: Path) -> JWTProvider:
    """One of them.  Raises SettingsError."""
    options = msgspec.structs.asdict(described)
    issuer, issuers = options.pop("issuer"), options.pop("issuers")
    mistakes = Mistakes()
    if issuer and not issuers:
        mistakes.add_name("issuers", "issuer")
        mistakes.add_name("issuers[0]", "issuer")
    options["jwks"] = options["introspection"] = None
    with mistakes.part("jwks"):
        options["jwks"] = _make_key_source(described.jwks, folder)
    with mistakes.part("introspection"):
        options["introspection"] = _make_introspection(described.introspection, folder)
    for name in ("required_values", "required_scopes", "client_ids", "profile"):
        options[name] = options[name] or None  # empty means not set: the preset's value is used
    with mistakes.under():
        made = provider(options.pop("preset"), issuers=[issuer, *issuers] if issuer else issuers, **options)
    mistakes.raise_if_any()
    return made


def _make_introspection(described: IntrospectionSettings | None, folder: Path) -> Introspection | None:
    if described is None:
        return None
    mistakes = Mistakes()
    client = OAuthClient(described.client_id)
    with mistakes.under():
        client = make_oauth_client(described, folder)
    with mistakes.under():
        made = Introspection(described.url, client, described.tokens)
    mistakes.raise_if_any()
    return made


def _make_key_source(jwks: KeySettings | None, folder: Path) -> KeySource | None:
    if jwks is None:
        return None
    if sum(map(bool, (jwks.inline, jwks.file, jwks.url, jwks.discovery))) != 1:
        about = ("inline", "file", "url", "discovery")
        raise SettingsError("say where the keys are: one of inline, file, url, discovery", rests_on=about)
    if jwks.file is not None:
        require_readable(folder / jwks.file, "file")
        return File(folder / jwks.file)
    if jwks.url is not None:
        token_file, ca_file = resolve_path(folder, jwks.token_file), resolve_path(folder, jwks.ca_file)
        with error_path("url"):
            return URL(jwks.url, token_file=token_file, ca_file=ca_file)
    return Discovery() if jwks.inline is None else Inline(jwks.inline)
