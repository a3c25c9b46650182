"""From a token to an identity, without ASGI: picks the provider by the token's issuer, and caches the results.

Accepted tokens are cached until they expire, the keys of their provider change, or `cache_ttl` is over.  Tokens with a
bad signature, and tokens that their provider does not know, are cached for REJECTED_TTL.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any, Protocol

from asgi_llmgate.asgi import Close, close_all
from asgi_llmgate.auth import reasons
from asgi_llmgate.auth.introspection import IntrospectionVerifier
from asgi_llmgate.auth.jws import UnverifiedToken, read_token
from asgi_llmgate.auth.jwt_verifier import JWTVerifier, issuer_matches
from asgi_llmgate.auth.providers.jwt_provider import TENANT, JWTProvider
from asgi_llmgate.auth.reasons import Check, TokenRefused
from asgi_llmgate.auth.result_cache import KeyGeneration, ResultCache
from asgi_llmgate.errors import KeysUnavailable, SettingsError
from asgi_llmgate.exchange_values import Identity
from asgi_llmgate.mistakes import Mistakes
from asgi_llmgate.net.client import Fetch
from asgi_llmgate.running_state import RunningState

log = logging.getLogger("llmgate.auth")

CACHE_SIZE = 10_000
"""Number of accepted tokens in the cache; of rejected ones it holds a tenth of that."""

CACHE_TTL = 300.0
"""Seconds that an accepted token is cached at most: the default of `cache_ttl`."""

MAX_TOKEN_SIZE = 16384
"""Characters: the default of `max_token_size`."""

REJECTED_TTL = 5.0
"""Seconds for which a rejected token is cached."""


class ProviderVerifier(Protocol):
    """Verifies the tokens of one provider: JWTVerifier by its keys, IntrospectionVerifier by asking the provider."""

    provider: JWTProvider

    @property
    def keys(self) -> KeyGeneration: ...

    async def verify(self, token: UnverifiedToken, *, client: str = "", known: bool = False) -> Identity:
        """The identity that the token stands for.

        `client` is the address that the request came from; `known` says that this token was accepted before.

        Raises TokenRefused, errors.KeysUnavailable, errors.MissingScope.
        """
        ...


class Verifier:
    """Verifies tokens of any of several providers.

    fetch           reads a small document over HTTP: `net.HTTPClient.fetch`
    cache_ttl       seconds that an accepted token is cached at most; 0: not at all
    max_token_size  characters
    state           keeps the providers' keys; without it they live as long as this verifier
    now             the time in Unix seconds
    clock           monotonic seconds

    Raises SettingsError when two providers have the same issuer, or two use introspection.
    """

    def __init__(
        self,
        providers: Sequence[JWTProvider],
        *,
        fetch: Fetch,
        cache_ttl: float = CACHE_TTL,
        max_token_size: int = MAX_TOKEN_SIZE,
        state: RunningState | None = None,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._closing: list[Close] = []
        if state is None:
            state = RunningState()
            self._closing.append(state.aclose)
        self.provider_verifiers: list[ProviderVerifier] = []
        self._by_issuer: dict[str, ProviderVerifier] = {}
        self._by_template: list[tuple[str, ProviderVerifier]] = []
        self._for_opaque: ProviderVerifier | None = None
        mistakes = Mistakes()
        for index, provider in enumerate(providers):
            path = f"auth.providers[{index}]"
            introspection = IntrospectionVerifier(provider, fetch, now=now) if provider.introspection else None
            if introspection is not None:
                self._closing.append(introspection.aclose)
                with mistakes.under(f"{path}.introspection"):
                    self._register_for_opaque(introspection)
            with mistakes.under(path):
                if introspection is None or introspection.only_opaque:
                    self._register(JWTVerifier(provider, fetch, now=now, clock=clock, state=state))
                else:
                    self._register(introspection)
        mistakes.raise_if_any()
        self._cache_ttl = cache_ttl
        self._max_token_size = max_token_size
        self._now = now
        self._accepted: ResultCache[Identity] = ResultCache(CACHE_SIZE)
        self._rejected: ResultCache[TokenRefused] = ResultCache(CACHE_SIZE // 10)

    def _register(self, verifier: ProviderVerifier) -> None:
        """Send the tokens that name one of the provider's issuers to this verifier."""
        self.provider_verifiers.append(verifier)
        for issuer in verifier.provider.issuers:
            if issuer in self._by_issuer:
                raise SettingsError(f"two providers have the issuer {issuer!r}")
            self._by_issuer[issuer] = verifier
            if TENANT in issuer:
                self._by_template.append((issuer, verifier))

    def _register_for_opaque(self, verifier: ProviderVerifier) -> None:
        """Send the tokens that name no issuer to this verifier.  There can be only one."""
        if self._for_opaque is not None:
            raise SettingsError("two providers have an introspection, and an opaque token does not say whose it is")
        self._for_opaque = verifier

    def known(self, token: bytes) -> Identity | None:
        """The identity of a token that was accepted before, without waiting; None when it has to be verified."""
        return self._accepted.get(sha256(token).digest(), self._now())

    async def verify(self, token: str, client: str = "") -> Identity:
        """The identity that the token stands for.  `client`: the address that the request came from.

        Raises TokenRefused (401), errors.MissingScope (403), errors.KeysUnavailable (503).
        """
        digest = sha256(token.encode("utf-8", "surrogatepass")).digest()
        now = self._now()
        if (identity := self._accepted.get(digest, now)) is not None:
            return identity
        if (refusal := self._rejected.get(digest, now)) is not None:
            raise refusal.copy()
        return await self._verify_uncached(token, digest, now, client)

    async def _verify_uncached(self, token: str, digest: bytes, now: float, client: str) -> Identity:
        unverified = self.read(token)
        try:
            verifier = self.verifier_of(unverified)
            identity = await self._verify_with(verifier, unverified, digest, now, client)
        except TokenRefused as error:
            shown = (error.text, unverified.claims.get("iss"), unverified.kid, unverified.claims.get("sub"))
            log.debug("%s: iss=%a kid=%a sub=%a", *shown)
            raise
        expires_at = min(now + self._cache_ttl, identity.claims.get("exp", now + self._cache_ttl))
        self._accepted.put(digest, identity, expires_at, verifier.keys)
        return identity

    async def _verify_with(
        self, verifier: ProviderVerifier, token: UnverifiedToken, digest: bytes, now: float, client: str
    ) -> Identity:
        """What the provider's verifier returns.  Adds the provider's hint for the failed check to what it raises."""
        hints = verifier.provider.hints
        try:
            return await verifier.verify(token, client=client, known=digest in self._accepted)
        except KeysUnavailable as error:
            error.detail = "; ".join(filter(None, (error.detail, hints.get(Check.KEYS))))
            raise
        except TokenRefused as error:
            error.detail = error.detail or hints.get(error.check, "")
            self._accepted.remove(digest)
            # These two checks are the expensive ones: a signature to compute, or a request to the provider.
            if error.check in (Check.SIGNATURE, Check.ACTIVE):
                self._rejected.put(digest, error.copy(), now + REJECTED_TTL, verifier.keys)
            raise

    async def aclose(self) -> None:
        """Close what the verifier has opened for itself; what belongs to the state that was given stays open."""
        await close_all(self._closing)

    def read(self, token: str) -> UnverifiedToken:
        """The token's parts, not verified.  Raises TokenRefused."""
        return read_token(token, limit=self._max_token_size, opaque=self._for_opaque is not None)

    def lacks_keys(self) -> bool:
        """Whether the keys of a provider could not be read when this was tried last."""
        return any(each.keys.failing() for each in self.provider_verifiers if isinstance(each, JWTVerifier))

    def verifier_of(self, token: UnverifiedToken) -> ProviderVerifier:
        """The verifier of the provider that the token names as its issuer.  Raises TokenRefused."""
        if token.signed is None and self._for_opaque is not None:
            return self._for_opaque
        issuer: Any = token.claims.get("iss")
        # A token whose `iss` is the template itself, with its placeholder, is from no tenant.
        if isinstance(issuer, str) and TENANT not in issuer:
            if (found := self._by_issuer.get(issuer)) is not None:
                return found
            for template, verifier in self._by_template:
                if issuer_matches(template, token.claims):
                    return verifier
        raise TokenRefused(Check.ISSUER, reasons.WRONG_ISSUER, hint=self._issuer_hint(issuer))

    def _issuer_hint(self, issuer: Any) -> str:
        """What is probably wrong with the settings when a token's issuer is none of the configured ones."""
        for known in self._by_issuer:
            if isinstance(issuer, str) and issuer.rstrip("/") == known.rstrip("/"):
                return f"the issuer {known!r} in the settings differs from the token's only by a slash at the end"
        return "; ".join(
            filter(None, (verifier.provider.hints.get(Check.ISSUER, "") for verifier in self.provider_verifiers))
        )
