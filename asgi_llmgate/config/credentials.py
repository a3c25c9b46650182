"""From settings to what we show others: the model server's credential, and our proof at the identity provider."""

from __future__ import annotations

from pathlib import Path

import msgspec

from asgi_llmgate.config import schema as shape
from asgi_llmgate.config.callables import load_callable
from asgi_llmgate.errors import SettingsError
from asgi_llmgate.net import CallableSource, CredentialSource, HTTPClient, OAuthClient, parse_secret
from asgi_llmgate.net.secrets import FileSecret, StaticSecret
from asgi_llmgate.upstream import ClientCredentials, TokenExchange

_CLIENT = ("client_id", "client_secret", "client_auth")


def credential(spec: str | shape.ApiKey | None, http: HTTPClient, folder: Path) -> CredentialSource | None:
    """What `api_key` describes.  Raises SettingsError."""
    if spec is None:
        return None
    if isinstance(spec, str):
        return secret(spec, folder, in_header=True)
    if sum(way is not None for way in (spec.callable, spec.client_credentials, spec.token_exchange)) != 1:
        raise SettingsError("one of callable, client_credentials, token_exchange")
    if spec.callable is not None:
        return CallableSource(load_callable(spec.callable))
    way = "client_credentials" if spec.client_credentials is not None else "token_exchange"
    described = spec.client_credentials or spec.token_exchange
    assert described is not None
    options = {name: value for name, value in msgspec.structs.asdict(described).items() if name not in _CLIENT}
    try:
        kind = TokenExchange if isinstance(described, shape.TokenExchange) else ClientCredentials
        return kind(client=oauth_client(described, folder), http=http, **options)
    except SettingsError as error:
        raise SettingsError(error.message, path=f"{way}.{error.path}", hint=error.hint) from None


def oauth_client(described: shape.ClientCredentials | shape.Introspection, folder: Path) -> OAuthClient:
    """Who we are at an identity provider.  Raises SettingsError."""
    named = described.client_secret
    if named is None and described.client_auth != "basic":
        raise SettingsError(f"client_auth: {described.client_auth} needs one", path="client_secret")
    source = None if named is None else secret(named, folder, "client_secret")
    return OAuthClient(described.client_id, source, described.client_auth)


def secret(spec: str, folder: Path, path: str = "", *, in_header: bool = False) -> StaticSecret | FileSecret:
    """The secret that `env:NAME` or `file:PATH` names, the path relative to `folder`.  Raises SettingsError."""
    kind, _, name = spec.partition(":")
    return parse_secret(f"file:{folder / name}" if kind == "file" else spec, path=path, in_header=in_header)
