"""Token introspection (RFC 7662): the provider is asked whether a token is good.

This is the other ProviderVerifier beside JWTVerifier.  It is for opaque tokens, which only their provider can read, and
for providers whose keys are not published.  The claims of the response go through the same checks as those of a JWT.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from asgi_llmgate.auth import reasons
from asgi_llmgate.auth.claims import ClaimsValidator
from asgi_llmgate.auth.introspection_queue import IntrospectionBusy, IntrospectionQueue
from asgi_llmgate.auth.jws import UnverifiedToken
from asgi_llmgate.auth.providers.jwt_provider import JWTProvider
from asgi_llmgate.auth.reasons import Check, TokenRefused
from asgi_llmgate.exchange_values import Identity
from asgi_llmgate.net import PerLoop, SingleFlight
from asgi_llmgate.net.client import Fetch
from asgi_llmgate.net.oauth import OAuthError, OAuthUnavailable, encode_form
from asgi_llmgate.secret_values import Secret

log = logging.getLogger("llmgate.auth")


class IntrospectionVerifier:
    """Verifies a provider's tokens by asking the provider.  `now`: the time in Unix seconds."""

    # No key takes part, so no change of keys ends a result early: it counts until `exp` or for `cache_ttl`.
    generation = 0

    def __init__(self, provider: JWTProvider, fetch: Fetch, *, now: Callable[[], float]) -> None:
        assert provider.introspection is not None
        self.provider = provider
        self.keys = self
        self.only_opaque = provider.introspection.tokens == "opaque"
        self._introspection = provider.introspection
        self._fetch = fetch
        self._claims = ClaimsValidator(provider, now)
        self._flight: SingleFlight[dict[str, Any] | str] = SingleFlight()
        self._queues = PerLoop(IntrospectionQueue, _do_nothing)

    async def verify(self, token: UnverifiedToken, *, client: str = "", known: bool = False) -> Identity:
        """The identity that the token stands for.  See ProviderVerifier.

        Raises TokenRefused, errors.KeysUnavailable, errors.MissingScope.
        """
        digest = sha256(token.text.encode()).digest()
        response = await self._flight.run(digest, lambda: self._introspect(Secret(token.text), client, known))
        if isinstance(response, str):
            raise reasons.introspection_unavailable(detail=response)
        # RFC 7662 section 2.2: a boolean.  A provider that sends the text "true" is not believed.
        if response.get("active") is not True:
            raise TokenRefused(Check.ACTIVE, reasons.INACTIVE, renewable=True)
        # `iss` is optional in the response.  Without it, the token belongs to the provider that was asked.
        issuer = response.get("iss", self.provider.issuers[0])
        if issuer not in self.provider.issuers:
            raise TokenRefused(Check.ISSUER, reasons.WRONG_ISSUER)
        return self._claims.validate(None, {**response, "iss": issuer})

    async def _introspect(self, token: Secret, client: str, known: bool) -> dict[str, Any] | str:
        """The provider's response, or as a text why there is none.

        A failure is returned and not raised: all requests that wait for this token would raise the one object.
        """
        try:
            async with self._queues.get().turn(client, known=known):
                return await self._introspection.client.request(
                    self._introspection.url, encode_form(token=token), self._fetch
                )
        except IntrospectionBusy as error:
            return f"{self.provider.name}: {error}"
        except (OAuthError, OAuthUnavailable) as error:
            log.warning("a token could not be introspected at %s: %s", self.provider.name, error)
            return f"{self.provider.name}: {error}"

    async def aclose(self) -> None:
        """Forget the queue of the running event loop."""
        await self._queues.aclose()


async def _do_nothing(queue: IntrospectionQueue) -> None:
    """A queue has nothing to close: the requests that wait in it belong to the loop that ends."""
