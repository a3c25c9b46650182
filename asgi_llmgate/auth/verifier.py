"""From a token to an identity: the decision, without ASGI.

A good token is remembered until it expires, its provider's keys change or `cache_ttl` is over; one with a bad
signature, or that its provider does not know, for a few seconds.  They are remembered by their SHA-256: no token stays
in memory for longer than its request.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from asgi_llmgate.asgi import close_all
from asgi_llmgate.auth import reasons
from asgi_llmgate.auth.introspection import Introspected
from asgi_llmgate.auth.jws import Unverified, read_token
from asgi_llmgate.auth.jwt_verifier import JWTVerifier, issuer_matches
from asgi_llmgate.auth.providers.jwt_provider import TENANT, JWTProvider
from asgi_llmgate.auth.reasons import Check, TokenRefused
from asgi_llmgate.errors import KeysUnavailable, SettingsError
from asgi_llmgate.exchange import Identity
from asgi_llmgate.net.client import Fetch

log = logging.getLogger("llmgate.auth")

REMEMBERED = 10_000
"""Good tokens; bad ones a tenth of it."""

BAD_FOR = 5.0
"""Seconds for which a bad signature is remembered."""

T = TypeVar("T")


class Generation(Protocol):
    """What outcomes were found with; they count no longer once its number has risen."""

    @property
    def generation(self) -> int: ...


class Judge(Protocol):
    """What says whether the tokens of a provider are good: JWTVerifier by its keys, Introspected by asking it."""

    provider: JWTProvider

    @property
    def keys(self) -> Generation: ...

    async def verify(self, token: Unverified, *, client: str = "", known: bool = False) -> Identity:
        """Whom the token identifies.  `client`: the address that it came from; `known`: it was good before.

        Raises TokenRefused, errors.KeysUnavailable, errors.MissingScope.
        """
        ...

    async def aclose(self) -> None: ...


class _Known(NamedTuple, Generic[T]):
    """What came out for a token, until when, and of which keys."""

    outcome: T
    until: float
    keys: Generation
    generation: int


class _Recent(Generic[T]):
    """The last so many outcomes by a token's digest; what was asked for longest ago goes first."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._known: OrderedDict[bytes, _Known[T]] = OrderedDict()

    def recall(self, digest: bytes, now: float) -> T | None:
        known = self._known.get(digest)
        if known is None or now >= known.until or known.generation != known.keys.generation:
            return None
        try:  # noqa: SIM105 (suppress costs a tenth of what a known token costs in all)
            self._known.move_to_end(digest)
        except KeyError:
            pass  # another thread's event loop may just have dropped it
        return known.outcome

    def remember(self, digest: bytes, outcome: T, until: float, keys: Generation) -> None:
        self._known[digest] = _Known(outcome, until, keys, keys.generation)
        self._known.move_to_end(digest)
        if len(self._known) > self._size:
            self._known.popitem(last=False)

    def forget(self, digest: bytes) -> None:
        self._known.pop(digest, None)

    def __contains__(self, digest: bytes) -> bool:
        """Whether there was an outcome, also one that counts no more."""
        return digest in self._known

    def __len__(self) -> int:
        return len(self._known)


class Verifier:
    """Judges tokens of several providers.

    fetch           reads a small document over HTTP: `net.HTTPClient.fetch`
    cache_ttl       seconds that a good token is remembered at the most; 0: not at all
    max_token_size  characters
    now, clock      Unix seconds; seconds that never go back
    """

    def __init__(
        self,
        providers: Sequence[JWTProvider],
        *,
        fetch: Fetch,
        cache_ttl: float = 300.0,
        max_token_size: int = 16384,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.trusts: list[Judge] = []
        self._by_issuer: dict[str, Judge] = {}
        self._by_template: list[tuple[str, Judge]] = []
        self._opaque: Judge | None = None
        for provider in providers:
            introspected = Introspected(provider, fetch, now=now) if provider.introspection is not None else None
            if introspected is not None:
                self._take_opaque(introspected)
            if introspected is None or introspected.only_opaque:
                self._take(JWTVerifier(provider, fetch, now=now, clock=clock))
            else:
                self._take(introspected)
        self._cache_ttl = cache_ttl
        self._max_token_size = max_token_size
        self._now = now
        self._good: _Recent[Identity] = _Recent(REMEMBERED)
        self._bad: _Recent[TokenRefused] = _Recent(REMEMBERED // 10)

    def _take(self, judge: Judge) -> None:
        """The tokens that name this provider as their issuer are its to judge."""
        self.trusts.append(judge)
        for issuer in judge.provider.issuers:
            if issuer in self._by_issuer:
                raise SettingsError(f"two providers have the issuer {issuer!r}", path="auth.providers")
            self._by_issuer[issuer] = judge
            if TENANT in issuer:
                self._by_template.append((issuer, judge))

    def _take_opaque(self, judge: Judge) -> None:
        """So are those that name nobody, because nobody else can read them either."""
        if self._opaque is not None:
            raise SettingsError(
                "two providers have an introspection, and an opaque token does not say whose it is",
                path="auth.providers",
            )
        self._opaque = judge

    async def verify(self, token: str, client: str = "") -> Identity:
        """Whom the token identifies.  `client`: the address that it came from.

        Raises TokenRefused (401), errors.MissingScope (403), errors.KeysUnavailable (503).
        """
        digest = sha256(token.encode("utf-8", "surrogatepass")).digest()
        now = self._now()
        if (identity := self._good.recall(digest, now)) is not None:
            return identity
        if (refusal := self._bad.recall(digest, now)) is not None:
            raise refusal.again()
        return await self._judge(token, digest, now, client)

    async def _judge(self, token: str, digest: bytes, now: float, client: str) -> Identity:
        unverified = self.read(token)
        try:
            trust = self.trust_of(unverified)
            identity = await self._ask(trust, unverified, digest, now, client)
        except TokenRefused as error:
            told = (error.text, unverified.claims.get("iss"), unverified.kid, unverified.claims.get("sub"))
            log.debug("%s: iss=%a kid=%a sub=%a", *told)
            raise
        until = min(now + self._cache_ttl, identity.claims.get("exp", now + self._cache_ttl))
        self._good.remember(digest, identity, until, trust.keys)
        return identity

    async def _ask(self, trust: Judge, token: Unverified, digest: bytes, now: float, client: str) -> Identity:
        """The provider's answer; a refusal of its gets the hint that it has for such."""
        hints = trust.provider.hints
        try:
            return await trust.verify(token, client=client, known=digest in self._good)
        except KeysUnavailable as error:
            error.detail = "; ".join(filter(None, (error.detail, hints.get(Check.KEYS))))
            raise
        except TokenRefused as error:
            error.detail = error.detail or hints.get(error.check, "")
            self._good.forget(digest)
            if error.check in (Check.SIGNATURE, Check.ACTIVE):
                self._bad.remember(digest, error.again(), now + BAD_FOR, trust.keys)
            raise

    async def aclose(self) -> None:
        """Close what providers opened for themselves."""
        await close_all(trust.aclose for trust in self.trusts)

    def read(self, token: str) -> Unverified:
        """The token's parts, not verified.  Raises TokenRefused."""
        return read_token(token, limit=self._max_token_size, opaque=self._opaque is not None)

    def trust_of(self, token: Unverified) -> Judge:
        """The provider that the token names as its issuer.  Raises TokenRefused."""
        if token.signed is None and self._opaque is not None:
            return self._opaque
        issuer: Any = token.claims.get("iss")
        if isinstance(issuer, str) and TENANT not in issuer:
            if (found := self._by_issuer.get(issuer)) is not None:
                return found
            for template, trust in self._by_template:
                if issuer_matches(template, token.claims):
                    return trust
        raise TokenRefused(Check.ISSUER, reasons.WRONG_ISSUER, hint=self._hint_about(issuer))

    def _hint_about(self, issuer: Any) -> str:
        """What is probably wrong with the settings when a token's issuer is none of the configured ones."""
        for known in self._by_issuer:
            if isinstance(issuer, str) and issuer.rstrip("/") == known.rstrip("/"):
                return f"the issuer {known!r} in the settings differs from the token's only by a slash at the end"
        return "; ".join(filter(None, (trust.provider.hints.get(Check.ISSUER, "") for trust in self.trusts)))
