"""Model servers that want a token of an identity provider: our own, or one in exchange for the caller's.

    ClientCredentials   RFC 6749 section 4.4     the gateway's own identity, one token for all
    TokenExchange       RFC 8693                 the caller's token is traded for one that the server accepts
                        RFC 7523 section 2.1     ... and Entra's form of the same, on-behalf-of

Authlib writes the requests.  Tokens are kept until they expire (token_cache.py): exchanged ones per caller, and callers
are the same when their tokens say the same, so that a token with fewer rights is never served another one's exchange.
A token that does not say whose it is has an exchange of its own.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from hashlib import sha256
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from asgi_llmgate.errors import AuthenticationFailed, CredentialRefused, GateError, NotAuthorized
from asgi_llmgate.exchange import Exchange, Secret
from asgi_llmgate.net import CredentialSource, HTTPClient, OAuthClient
from asgi_llmgate.net.credentials import unavailable
from asgi_llmgate.net.oauth import OAuthError, OAuthUnavailable, require_https, reveal
from asgi_llmgate.upstream.token_cache import TokenCache

Style = Literal["rfc8693", "on_behalf_of"]

_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
_ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105
_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"

_DEFAULT_HEADERS = frozenset(
    {"invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope", "invalid_target"}
)
"""Errors that the settings have caused; any other is about the caller's token (RFC 6749 5.2, RFC 8693 2.2.2)."""

_CHANGING = frozenset({"exp", "iat", "nbf", "jti", "auth_time", "sid", "session_state", "uti", "rh", "aio", "xms_ftd"})
"""Claims that differ between two tokens of one person with the same rights."""

_TOKEN = re.compile(r"[\x21-\x7e]+")

_NOTHING: Mapping[str, str] = MappingProxyType({})


class _Grant(CredentialSource):
    """What both grants share: the token endpoint, what is asked for, and the tokens held."""

    key_header: ClassVar[str] = "authorization"

    def __init__(
        self,
        *,
        token_url: str,
        client: OAuthClient,
        http: HTTPClient,
        scope: str | None = None,
        audience: str | None = None,
        resource: str | None = None,
        parameters: Mapping[str, str] = _NOTHING,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        require_https(token_url, "token_url")
        self._url = token_url
        self._client = client
        self._http = http
        self._asked = {"scope": scope, "audience": audience, "resource": resource, **parameters}
        self._tokens = TokenCache(clock)

    async def _obtain(self, grant: str, **members: str | Secret) -> tuple[Secret, float | None]:
        from authlib.oauth2.rfc6749.parameters import prepare_token_request  # not every start needs Authlib's OAuth

        prepare: Callable[..., str] = prepare_token_request
        form = Secret(prepare(grant, **self._asked, **{name: reveal(value) for name, value in members.items()}))
        try:
            answer = await self._client.request(self._url, form, self._http.fetch)
        except OAuthUnavailable as error:
            raise unavailable(str(error)) from None
        except OAuthError as error:
            raise self._denied(error) from None
        return _token(answer), _lifetime(answer)

    def _denied(self, error: OAuthError) -> GateError:
        return CredentialRefused("the identity provider refuses the gateway's own client", detail=str(error))


class ClientCredentials(_Grant):
    """The gateway's own token, the same for every caller.

    token_url   the token endpoint
    client      who we are there
    http        what carries the request; it is borrowed
    scope       what the token is to be for, in the provider's terms; so are
    audience    this
    resource    and this (RFC 8707)
    parameters  further members of the form
    clock       seconds that never go back

    Raises SettingsError.
    """

    async def get(self, exchange: Exchange) -> Secret:
        return await self._tokens.get(None, lambda: self._obtain("client_credentials"))

    def refused(self, exchange: Exchange) -> bool:
        return self._tokens.forget(None)


class TokenExchange(_Grant):
    """A token in exchange for the caller's.

    style       rfc8693, or on_behalf_of for Entra

    The other options are those of ClientCredentials.
    """

    needs_token: ClassVar[bool] = True

    def __init__(self, *, style: Style = "rfc8693", **options: Any) -> None:
        super().__init__(**options)
        self._style = style

    async def get(self, exchange: Exchange) -> Secret:
        token = exchange.token
        if token is None:
            raise _no_token()
        return await self._tokens.get(_caller(exchange), lambda: self._exchanged(token))

    def refused(self, exchange: Exchange) -> bool:
        return self._tokens.forget(_caller(exchange))

    async def _exchanged(self, token: Secret) -> tuple[Secret, float | None]:
        if self._style == "on_behalf_of":
            return await self._obtain(_JWT_BEARER, assertion=token, requested_token_use=self._style)
        return await self._obtain(_EXCHANGE, subject_token=token, subject_token_type=_ACCESS_TOKEN)

    def _denied(self, error: OAuthError) -> GateError:
        if error.code in _DEFAULT_HEADERS or not error.code:
            return super()._denied(error)
        return NotAuthorized(
            "authorization failed: the identity provider gives no token for the model server in exchange for this one",
            detail=str(error),
        )


def _caller(exchange: Exchange) -> Hashable:
    """Who calls, with what rights.  Claims may be anything in JSON, so their digest is what stands for them.

    Without a subject nobody knows whether two tokens are one person's (RFC 7662 section 2.2 makes `sub` optional):
    then each token is a caller of its own.
    """
    identity = exchange.identity
    if identity.provider and identity.issuer and identity.subject.strip():
        lasting = {name: value for name, value in identity.claims.items() if name not in _CHANGING}
        with suppress(TypeError, ValueError, RecursionError):  # a host's own identity may hold what is no JSON
            said = json.dumps(lasting, sort_keys=True).encode()
            return identity.provider, identity.issuer, identity.subject, sha256(said).digest()
    return "token", sha256(b"" if exchange.token is None else exchange.token.reveal().encode()).digest()


def _no_token() -> AuthenticationFailed:
    error = AuthenticationFailed("authentication failure: this model is for callers with a token")
    error.challenge = "Bearer"
    error.should_retry = False
    return error


def _token(answer: Mapping[str, Any]) -> Secret:
    token, kind = answer.get("access_token"), answer.get("token_type", "Bearer")
    if not isinstance(token, str) or _TOKEN.fullmatch(token) is None:
        raise unavailable("the token endpoint's answer has no access_token")
    if not isinstance(kind, str) or kind.lower() not in ("bearer", "n_a"):
        raise unavailable("the token endpoint gave a token that is no bearer token")
    return Secret(token)


def _lifetime(answer: Mapping[str, Any]) -> float | None:
    """Seconds; Entra's v1 endpoint sends them as a text."""
    try:
        seconds = float(answer["expires_in"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return seconds if 0 < seconds < 10**9 else None
