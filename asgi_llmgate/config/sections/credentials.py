"""`api_key` and `client_secret`: the gateway's credentials at model servers and identity providers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from asgi_llmgate.config.callables import load_callable
from asgi_llmgate.config.section import Section
from asgi_llmgate.errors import SettingsError
from asgi_llmgate.mistakes import Mistakes
from asgi_llmgate.net import CallableSource, CredentialSource, HTTPClient, OAuthClient, parse_secret
from asgi_llmgate.net.secrets import FileSecret, StaticSecret
from asgi_llmgate.upstream import ClientCredentials, TokenExchange


class OAuthClientSettings(Section, frozen=True, kw_only=True):
    """The gateway as a client of an identity provider; `client_secret` as in `api_key`."""

    client_id: str
    client_secret: str | None = None
    client_auth: Literal["basic", "post", "assertion", "private_key_jwt"] = "basic"


class ClientCredentialsSettings(OAuthClientSettings, frozen=True, kw_only=True):
    """The gateway's own token from an identity provider (RFC 6749 section 4.4)."""

    token_url: str
    scope: str | None = None
    audience: str | None = None
    resource: str | None = None
    parameters: dict[str, str] = {}


class TokenExchangeSettings(ClientCredentialsSettings, frozen=True, kw_only=True):
    """A token in exchange for the caller's: RFC 8693, or Entra's on-behalf-of."""

    style: Literal["rfc8693", "on_behalf_of"] = "rfc8693"


class ApiKeySettings(Section, frozen=True):
    """A credential that is no fixed secret: exactly one of these.

    `callable` is `package.module:name`: a function of the exchange, or a subclass of CredentialSource.
    """

    callable: str | None = None
    client_credentials: ClientCredentialsSettings | None = None
    token_exchange: TokenExchangeSettings | None = None


def make_credential(described: str | ApiKeySettings | None, http: HTTPClient, folder: Path) -> CredentialSource | None:
    """The credential that `api_key` describes; paths are relative to `folder`.  Raises SettingsError."""
    if described is None:
        return None
    if isinstance(described, str):
        return make_secret(described, folder, in_header=True)
    given = [name for name in described.__struct_fields__ if getattr(described, name) is not None]
    if len(given) != 1:
        raise SettingsError("one of callable, client_credentials, token_exchange", rests_on=described.__struct_fields__)
    if described.callable is not None:
        return _make_source(load_callable(described.callable))
    grant = described.client_credentials or described.token_exchange
    assert grant is not None
    names = [name for name in grant.__struct_fields__ if name not in OAuthClientSettings.__struct_fields__]
    options = {name: getattr(grant, name) for name in names}
    source = TokenExchange if isinstance(grant, TokenExchangeSettings) else ClientCredentials
    mistakes = Mistakes()
    client = OAuthClient(grant.client_id)
    with mistakes.under(given[0]):
        client = make_oauth_client(grant, folder)
    with mistakes.under(given[0]):
        made = source(client=client, http=http, **options)
    mistakes.raise_if_any()
    return made


def _make_source(found: Any) -> CredentialSource:
    """A function of the exchange as a source; a subclass of CredentialSource is made without arguments."""
    if isinstance(found, type) and CredentialSource in found.__mro__:  # issubclass refuses a Protocol with data
        try:
            source: CredentialSource = found()
        except TypeError as error:
            raise SettingsError(f"the class cannot be made without arguments: {error}", path="callable") from None
        return source
    return CallableSource(found)


def make_oauth_client(described: OAuthClientSettings, folder: Path) -> OAuthClient:
    """The gateway as a client of an identity provider.  Raises SettingsError."""
    named = described.client_secret
    if named is None and described.client_auth != "basic":
        raise SettingsError(f"client_auth: {described.client_auth} needs one", path="client_secret")
    source = None if named is None else make_secret(named, folder, "client_secret")
    return OAuthClient(described.client_id, source, described.client_auth)


def make_secret(text: str, folder: Path, path: str = "", *, in_header: bool = False) -> StaticSecret | FileSecret:
    """The secret that `env:NAME` or `file:PATH` names, the path relative to `folder`.  Raises SettingsError."""
    kind, _, name = text.partition(":")
    return parse_secret(f"file:{folder / name}" if kind == "file" else text, path=path, in_header=in_header)
