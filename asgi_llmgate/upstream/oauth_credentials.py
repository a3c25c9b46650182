"""Credentials from an identity provider: a token of the gateway's own, or one in exchange for the caller's.

    ClientCredentials   RFC 6749 section 4.4     the gateway's own identity, one token for all callers
    TokenExchange       RFC 8693                 the caller's token is exchanged for one that the server accepts
                        RFC 7523 section 2.1     the same in Entra's form, on-behalf-of

Authlib writes the requests. Tokens are cached until they expire (token_cache.py), exchanged ones per caller. Callers
are the same if their tokens have the same claims, so a token with fewer rights never gets another one's exchange. A
token without a subject has an exchange of its own.
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
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.net import CredentialSource, HTTPClient, OAuthClient
from asgi_llmgate.net.credentials import unavailable
from asgi_llmgate.net.oauth import OAuthError, OAuthUnavailable, reveal
from asgi_llmgate.net.urls import require_https
from asgi_llmgate.secret_values import Secret
from asgi_llmgate.upstream.token_cache import TokenCache

Style = Literal["rfc8693", "on_behalf_of"]

_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
_ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105
_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"

_OWN_ERRORS = frozenset(
    {"invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope", "invalid_target"}
)
"""Errors that the settings cause; any other is about the caller's token (RFC 6749 section 5.2, RFC 8693 2.2.2)."""

_VOLATILE_CLAIMS = frozenset(
    {"exp", "iat", "nbf", "jti", "auth_time", "sid", "session_state", "uti", "rh", "aio", "xms_ftd"}
)
"""Claims that differ between two tokens of one caller with the same rights."""

_TOKEN = re.compile(r"[\x21-\x7e]+")

_NOTHING: Mapping[str, str] = MappingProxyType({})


class _Grant(CredentialSource):
    """What both grants share: the token endpoint, the members of the form, and the cached tokens."""

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
        self._form = {"scope": scope, "audience": audience, "resource": resource, **parameters}
        self._tokens = TokenCache(clock)

    async def _obtain(self, grant: str, **members: str | Secret) -> tuple[Secret, float | None]:
        from authlib.oauth2.rfc6749.parameters import prepare_token_request  # takes long, and few gateways need it

        prepare: Callable[..., str] = prepare_token_request
        form = Secret(prepare(grant, **self._form, **{name: reveal(value) for name, value in members.items()}))
        try:
            response = await self._client.request(self._url, form, self._http.fetch)
        except OAuthUnavailable as error:
            raise unavailable(str(error)) from None
        except OAuthError as error:
            raise self._denied(error) from None
        return _token(response), _lifetime(response)

    def _denied(self, error: OAuthError) -> GateError:
        told = "the gateway has no access to the model server; tell the operator of the gateway"
        return CredentialRefused(
            "the identity provider refuses the gateway's own client", client_message=told, detail=str(error)
        )


class ClientCredentials(_Grant):
    """The gateway's own token, the same for every caller.

    token_url   the token endpoint
    client      the gateway's client id and its authentication there
    http        the HTTP client, which is not closed here
    scope       what the token is for, in the provider's terms (RFC 6749); as are
    audience    (RFC 8693)
    resource    (RFC 8707)
    parameters  further members of the form
    clock       monotonic seconds

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
        if error.code in _OWN_ERRORS or not error.code:
            return super()._denied(error)
        return NotAuthorized(
            "authorization failed: the identity provider gives no token for the model server in exchange for this one",
            client_message="authorization failed: you have no access to this model; ask the operator of the gateway",
            detail=str(error),
        )


def _caller(exchange: Exchange) -> Hashable:
    """The caller with its rights, as a key. Claims may be any JSON, so the key has their digest.

    Without a subject two tokens cannot be compared (RFC 7662 section 2.2 makes `sub` optional): then each token is a
    caller of its own.
    """
    identity = exchange.identity
    if identity.provider and identity.issuer and identity.subject.strip():
        stable = {name: value for name, value in identity.claims.items() if name not in _VOLATILE_CLAIMS}
        with suppress(
            TypeError, ValueError, RecursionError
        ):  # an identity made by the host may hold values that are not JSON
            claims = json.dumps(stable, sort_keys=True).encode()
            return identity.provider, identity.issuer, identity.subject, sha256(claims).digest()
    return "token", sha256(b"" if exchange.token is None else exchange.token.reveal().encode()).digest()


def _no_token() -> AuthenticationFailed:
    error = AuthenticationFailed("authentication failure: this model can be used with a token only")
    error.challenge = "Bearer"
    error.should_retry = False
    return error


def _token(response: Mapping[str, Any]) -> Secret:
    token, kind = response.get("access_token"), response.get("token_type", "Bearer")
    if not isinstance(token, str) or _TOKEN.fullmatch(token) is None:
        raise unavailable("the response of the token endpoint has no access_token")
    if not isinstance(kind, str) or kind.lower() not in ("bearer", "n_a"):
        raise unavailable("the token endpoint sent a token that is not a bearer token")
    return Secret(token)


def _lifetime(response: Mapping[str, Any]) -> float | None:
    """`expires_in` in seconds, None if unknown. Entra's v1 endpoint sends it as a string."""
    try:
        seconds = float(response["expires_in"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return seconds if 0 < seconds < 10**9 else None
