"""ASGI middleware that verifies the caller's token and puts the identity into the exchange.

It treats all http and websocket requests alike and does not look at the path.  Requests that need no caller, such as
health checks, get their response in asgi/front.py, before this middleware.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Literal

from asgi_llmgate._types import ASGIApp, Receive, Scope, Send
from asgi_llmgate.asgi import Health, close_all, refuse
from asgi_llmgate.auth import reasons
from asgi_llmgate.auth.providers.jwt_provider import JWTProvider
from asgi_llmgate.auth.reasons import Check, TokenRefused
from asgi_llmgate.auth.token_sources import (
    TOKEN_SOURCES,
    TokenSources,
    has_api_key,
    is_from_helper,
    require_same_origin,
    without_gateway_headers,
)
from asgi_llmgate.auth.verifier import CACHE_TTL, MAX_TOKEN_SIZE, Verifier
from asgi_llmgate.errors import NOT_SOON, Refusal, SettingsError
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.exchange_values import Identity
from asgi_llmgate.mistakes import Mistakes
from asgi_llmgate.net.client import HTTPClient
from asgi_llmgate.running_state import RunningState
from asgi_llmgate.secret_values import Secret

log = logging.getLogger("llmgate.auth")

Mode = Literal["strict", "optional", "permissive", "off"]

Session = Callable[[Scope], Awaitable[Identity | None]]
"""The identity that the host's own session has for a request; None where no user is signed in."""


class JWTAuthMiddleware:
    """Passes a request on to `app` if its bearer token is valid, and sets `exchange.identity` and `exchange.token`.

    providers          the identity providers whose tokens are accepted
    mode               strict: a request without a valid token is a 401
                       optional: a request without a token is anonymous, one with an invalid token is a 401
                       permissive: no request is refused; those without a valid token are anonymous
                       off: no token is read, every request is anonymous
    token_sources      where a token may be: authorization, x-api-key, cookie:NAME, header:NAME
    cache_ttl          seconds that a verified token is cached at most
    max_token_size     characters
    strip_credentials  remove the headers that may hold a token before `app` sees the request
    resource_metadata  URL of the RFC 9728 document, for the challenge of a 401
    session            called when there is no token; its identity is used, for same-origin requests only
    client             fetches keys; borrowed.  Without one the middleware makes its own, which `aclose` closes
    state              keeps the providers' keys; without it the middleware keeps them
    now                the time in Unix seconds

    Raises errors.SettingsError.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        providers: Sequence[JWTProvider],
        mode: Mode = "strict",
        token_sources: Sequence[str] = TOKEN_SOURCES,
        cache_ttl: float = CACHE_TTL,
        max_token_size: int = MAX_TOKEN_SIZE,
        strip_credentials: bool = False,
        resource_metadata: str | None = None,
        session: Session | None = None,
        client: HTTPClient | None = None,
        state: RunningState | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        mistakes = Mistakes()
        if mode not in ("strict", "optional", "permissive", "off"):
            mistakes.add(SettingsError(f"no such mode: {mode!r}", path="auth.mode"))
        if mode == "off":
            effect = "no token is checked, and every caller is anonymous"
            log.warning("auth.mode is off: %s", effect, extra={"setting": "auth.mode", "problem": effect})
        elif not providers and session is None:
            message = "no identity provider is configured, so no token can be verified"
            mistakes.add(SettingsError(message, path="auth.providers", rests_on=("$.auth.mode",)))
        self.app = app
        self._mode = mode
        with mistakes.under():
            self._sources = TokenSources(token_sources)
        self._session = session
        self._own_state = RunningState()
        state = self._own_state if state is None else state
        client = self._own_state.keep("client", "", None, HTTPClient) if client is None else client
        with mistakes.under():
            self.verifier = Verifier(
                providers,
                fetch=client.fetch,
                cache_ttl=cache_ttl,
                max_token_size=max_token_size,
                state=state,
                now=now,
            )
        mistakes.raise_if_any()
        self._strip = strip_credentials
        self._metadata = f', resource_metadata="{resource_metadata}"' if resource_metadata else ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        scope, exchange = Exchange.enter(scope)
        if self._mode != "off":
            try:
                await self._identify(scope, exchange)
            except Refusal as error:
                if self._mode != "permissive":
                    await refuse(scope, receive, send, error)
                    return
                log.info("would refuse: %s", error.message)
        try:
            await self.app(self._inner_scope(scope), receive, send)
        finally:
            exchange.token = None  # the exchange may outlive the request, in a record that is still to be written

    async def _identify(self, scope: Scope, exchange: Exchange) -> None:
        """Find and verify the token, and set the identity.  Raises Refusal."""
        found = None
        try:
            found = self._sources.find(scope)
            if found is None:
                if self._session is not None and (identity := await self._session(scope)) is not None:
                    require_same_origin(scope)
                    # A copy has a cache of its own: the host may use its object again, with other claims.
                    exchange.identity = replace(identity)
                    return
                if self._mode == "strict":
                    text = reasons.ONLY_API_KEY if has_api_key(scope["headers"]) else reasons.NO_TOKEN
                    raise TokenRefused(Check.CREDENTIAL, text)
                return
            token = found.decode("ascii")
            identity = self.verifier.known(found)
            exchange.identity = identity or await self.verifier.verify(token, exchange.client)
            exchange.token = Secret(token)
        except TokenRefused as error:
            helper = found is not None and is_from_helper(scope["headers"])
            raise self._adapt_to_client(error, from_helper=helper) from None

    def _adapt_to_client(self, error: TokenRefused, *, from_helper: bool) -> TokenRefused:
        """The refusal, with the headers that this client needs: `x-should-retry`, `retry-after`, the challenge."""
        # On a 401 without `x-should-retry: false`, Claude Code runs its apiKeyHelper again, which is what an expired
        # token needs.  With a fixed token, or a helper whose next token is no better, it would retry for minutes.
        if from_helper:
            error.should_retry, error.retry_after = (None, None) if error.renewable else (False, NOT_SOON)
        if error.challenge is not None and self._metadata:
            # "Bearer" alone takes its first parameter without a comma.
            error.challenge += self._metadata if "=" in error.challenge else self._metadata[1:]
        return error

    def _inner_scope(self, scope: Scope) -> Scope:
        """The scope for `app`; the same object when no header has to go."""
        headers = scope["headers"]
        kept = self._sources.without_credentials(headers) if self._strip else without_gateway_headers(headers)
        return scope if kept is headers else {**scope, "headers": kept}

    def health(self) -> Health:
        """For `/readyz`.  Limping, because all processes ask the same identity provider, and would leave at once."""
        failing = self._mode != "off" and self.verifier.lacks_keys()
        return Health(limping=("signing keys",) if failing else ())

    async def aclose(self) -> None:
        """Close the connections that the middleware opened.  A borrowed client is not closed."""
        await close_all([self.verifier.aclose, self._own_state.aclose])
