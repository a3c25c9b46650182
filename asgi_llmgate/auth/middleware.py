"""The ASGI layer: who calls?

It judges every http and websocket request alike and never looks at the path; what needs no caller is answered before it
(asgi/front.py).  The verified claims go into the exchange, the token too, as a Secret, for those who exchange it; at
the latest when the request is over it is dropped again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

from asgi_llmgate._types import ASGIApp, Receive, Scope, Send
from asgi_llmgate.asgi import close_all, refuse
from asgi_llmgate.auth import reasons
from asgi_llmgate.auth.providers.jwt_provider import JWTProvider
from asgi_llmgate.auth.reasons import Check, TokenRefused
from asgi_llmgate.auth.token_sources import Credential, TokenSources, has_api_key, require_same_origin, without_ours
from asgi_llmgate.auth.verifier import Verifier
from asgi_llmgate.errors import NOT_SOON, Refusal, SettingsError
from asgi_llmgate.exchange import Exchange, Identity, Secret
from asgi_llmgate.net.client import HTTPClient

log = logging.getLogger("llmgate.auth")

Mode = Literal["strict", "optional", "permissive", "off"]

Session = Callable[[Scope], Awaitable[Identity | None]]
"""Who is signed in to the host, by what its own session says about a request; None where nobody is."""


class JWTAuthMiddleware:
    """Lets a request through to `app` when its bearer token is good, and says who it is in the exchange.

    providers          whose tokens are accepted
    mode               strict: a good token or 401; optional: no token is anonymous, a bad one 401; permissive: refuses
                       nobody and knows only those with a good token; off: looks at nothing
    token_sources      where a token may be: authorization, x-api-key, cookie:NAME, header:NAME
    cache_ttl          seconds that a good token is remembered at the most
    max_token_size     characters
    strip_credentials  take the credential headers out before `app`
    resource_metadata  URL of the RFC 9728 document, for the challenge of a 401
    session            asked when there is no token: whoever is signed in to the host calls as that person, on requests
                       that no other site's page can have sent
    client             for keys; without one it makes its own, which `aclose` closes
    now                Unix seconds

    Raises errors.SettingsError.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        providers: Sequence[JWTProvider],
        mode: Mode = "strict",
        token_sources: Sequence[str] = ("authorization",),
        cache_ttl: float = 300.0,
        max_token_size: int = 16384,
        strip_credentials: bool = False,
        resource_metadata: str | None = None,
        session: Session | None = None,
        client: HTTPClient | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        if mode not in ("strict", "optional", "permissive", "off"):
            raise SettingsError(f"no such mode: {mode!r}", path="auth.mode")
        if mode == "off":
            log.warning("auth.mode is off: everybody may call, nobody is known")
        elif not providers and session is None:
            raise SettingsError("no provider, so no token could ever be good", path="auth.providers")
        self.app = app
        self._mode = mode
        self._sources = TokenSources(token_sources)
        self._session = session
        self._borrowed = client is not None
        self._client = client or HTTPClient()
        self.verifier = Verifier(
            providers, fetch=self._client.fetch, cache_ttl=cache_ttl, max_token_size=max_token_size, now=now
        )
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
            await self.app(self._inner(scope), receive, send)
        finally:
            exchange.token = None

    async def _identify(self, scope: Scope, exchange: Exchange) -> None:
        credential = None
        try:
            credential = self._sources.find(scope)
            if credential is None:
                if self._session is not None and (identity := await self._session(scope)) is not None:
                    require_same_origin(scope)
                    exchange.identity = identity
                    return
                if self._mode == "strict":
                    text = reasons.ONLY_API_KEY if has_api_key(scope["headers"]) else reasons.NO_TOKEN
                    raise TokenRefused(Check.CREDENTIAL, text)
                return
            exchange.identity = await self.verifier.verify(credential.token, exchange.client)
            exchange.token = Secret(credential.token)
        except TokenRefused as error:
            raise self._addressed(error, credential) from None

    def _addressed(self, error: TokenRefused, credential: Credential | None) -> TokenRefused:
        """The refusal in the form that this client can make most of.

        Claude Code runs its apiKeyHelper again on a 401 without `x-should-retry: false`, but retries for minutes with a
        token that is fixed, or when the helper's next one is no better.  A helper is recognised by the token being in
        both headers.
        """
        if credential is not None and credential.by_helper:
            error.should_retry, error.retry_after = (None, None) if error.renewable else (False, NOT_SOON)
        if error.challenge is not None and self._metadata:
            error.challenge += self._metadata if "=" in error.challenge else self._metadata[1:]
        return error

    def _inner(self, scope: Scope) -> Scope:
        headers = scope["headers"]
        kept = self._sources.without_credentials(headers) if self._strip else without_ours(headers)
        return scope if kept is headers else {**scope, "headers": kept}

    async def aclose(self) -> None:
        """Close the connections that were opened here; a borrowed client stays as it is."""
        await close_all([self.verifier.aclose, *([] if self._borrowed else [self._client.aclose])])
