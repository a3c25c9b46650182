"""Tokens that only their provider can read: it is asked about each (RFC 7662).

This is the other verifier beside trust.py, behind the same interface; claims are then held against the same demands.
What a provider says counts until the token expires, and for `cache_ttl` at the most, because a token that was withdrawn
in the meantime is what introspection is for.  Who may ask next is in questions.py.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from asgi_llmgate.auth import reasons
from asgi_llmgate.auth.claims import ClaimsCheck
from asgi_llmgate.auth.introspection_queue import Questions, TooMany
from asgi_llmgate.auth.jws import Unverified
from asgi_llmgate.auth.providers.jwt_provider import JWTProvider
from asgi_llmgate.auth.reasons import Check, TokenRefused
from asgi_llmgate.exchange import Identity, Secret
from asgi_llmgate.net import PerLoop, SingleFlight
from asgi_llmgate.net.client import Fetch
from asgi_llmgate.net.oauth import OAuthError, OAuthUnavailable, form_of

log = logging.getLogger("llmgate.auth")


class Introspected:
    """A JWTProvider that is asked about its tokens.  `now`: Unix seconds."""

    generation = 0
    """What a provider said once is not taken back by keys that change."""

    def __init__(self, provider: JWTProvider, fetch: Fetch, *, now: Callable[[], float]) -> None:
        assert provider.introspection is not None
        self.provider = provider
        self.keys = self
        self.only_opaque = provider.introspection.tokens == "opaque"
        self._how = provider.introspection
        self._fetch = fetch
        self._claims = ClaimsCheck(provider, now)
        self._flight: SingleFlight[dict[str, Any] | str] = SingleFlight()
        self._questions = PerLoop(Questions, _nothing_to_close)

    async def verify(self, token: Unverified, *, client: str = "", known: bool = False) -> Identity:
        """Whom the token identifies.  Raises TokenRefused, errors.KeysUnavailable, errors.MissingScope."""
        digest = sha256(token.text.encode()).digest()
        said = await self._flight.run(digest, lambda: self._ask(Secret(token.text), client, known))
        if isinstance(said, str):
            raise reasons.introspection_unavailable(detail=said)
        if said.get("active") is not True:
            raise TokenRefused(Check.ACTIVE, reasons.INACTIVE, renewable=True)
        issuer = said.get("iss", self.provider.issuers[0])
        if issuer not in self.provider.issuers:
            raise TokenRefused(Check.ISSUER, reasons.WRONG_ISSUER)
        return self._claims.judge(None, {**said, "iss": issuer})

    async def _ask(self, token: Secret, client: str, known: bool) -> dict[str, Any] | str:
        """What the provider says, or why it says nothing.  Does not raise: it is one object for all who wait."""
        try:
            async with self._questions.get().turn(client, known=known):
                return await self._how.client.ask(self._how.url, form_of(token=token), self._fetch)
        except TooMany as error:
            return f"{self.provider.name}: {error}"
        except (OAuthError, OAuthUnavailable) as error:
            log.warning("a token could not be introspected at %s: %s", self.provider.name, error)
            return f"{self.provider.name}: {error}"

    async def aclose(self) -> None:
        """Forget the queue of this event loop."""
        await self._questions.aclose()


async def _nothing_to_close(questions: Questions) -> None:
    """Whoever waits in it waits in the loop that ends."""
