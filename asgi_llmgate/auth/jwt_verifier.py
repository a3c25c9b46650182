"""One provider at work: its keys, and what it demands of a token that names it as issuer.

Everything cryptographic is joserfc's.  What is decided here is which one key and which algorithm it is asked about, so
that a token costs at most one signature.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial

from joserfc import jwk, jws
from joserfc.errors import JoseError

from asgi_llmgate.auth import reasons
from asgi_llmgate.auth.claims import ClaimsCheck
from asgi_llmgate.auth.jws import Unverified
from asgi_llmgate.auth.keys.cache import FileKeys, FixedKeys, KeyStore, Load, RemoteKeys
from asgi_llmgate.auth.keys.key_set import JWS_REGISTRY, BadKeySet, read_keys
from asgi_llmgate.auth.keys.sources import URL, Discovery, File, Inline, discovery_url, load_discovered, load_url
from asgi_llmgate.auth.providers.jwt_provider import TENANT, JWTProvider
from asgi_llmgate.auth.reasons import Check, TokenRefused
from asgi_llmgate.errors import SettingsError
from asgi_llmgate.exchange import Identity
from asgi_llmgate.net.client import Fetch, HTTPClient

_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


class JWTVerifier:
    """A JWTProvider with its keys.  `now`: Unix seconds; `clock`: seconds that never go back."""

    def __init__(
        self, provider: JWTProvider, fetch: Fetch, *, now: Callable[[], float], clock: Callable[[], float]
    ) -> None:
        self.provider = provider
        ca_file = provider.jwks.ca_file if isinstance(provider.jwks, URL) else None
        self._client = HTTPClient(ca_file=str(ca_file)) if ca_file else None
        self.keys = _open(provider, self._client.fetch if self._client else fetch, clock)
        self._claims = ClaimsCheck(provider, now)
        self._algorithms = frozenset(provider.algorithms)

    async def verify(self, token: Unverified, *, client: str = "", known: bool = False) -> Identity:
        """Whom the token identifies.  Raises TokenRefused, errors.KeysUnavailable, errors.MissingScope."""
        provider = self.provider
        if token.algorithm not in self._algorithms:
            raise TokenRefused(Check.ALGORITHM, reasons.BAD_ALGORITHM)
        keys = await self.keys.find(token.kid)
        key = keys.pick(token.kid, token.algorithm, without_kid=provider.tokens_without_kid)
        if not _signs_for(key, token.claims, provider):
            raise TokenRefused(Check.KEY, reasons.UNKNOWN_KEY, hint="the key is another tenant's")
        if provider.never_verifies is not None and (words := provider.never_verifies(token.header, token.claims)):
            raise TokenRefused(Check.SIGNATURE, words)
        assert token.signed is not None
        if not _signature_is_good(token.signed, key):
            raise TokenRefused(Check.SIGNATURE, reasons.BAD_SIGNATURE)
        return self._claims.judge(token.header, token.claims)

    async def aclose(self) -> None:
        """Close the client that a CA file of the provider's own makes necessary."""
        if self._client is not None:
            await self._client.aclose()


def issuer_matches(template: str, claims: Mapping[str, object]) -> bool:
    """Whether `iss` is the template with the token's own tenant in it (Microsoft's multi-tenant issuers)."""
    tenant = claims.get("tid")
    if not isinstance(tenant, str) or _GUID.fullmatch(tenant) is None:
        return False
    return template.replace(TENANT, tenant) == claims.get("iss")


def _signs_for(key: jwk.Key, claims: Mapping[str, object], provider: JWTProvider) -> bool:
    """Behind a multi-tenant issuer each key says for which issuer it signs, and that must be the token's."""
    if not any(TENANT in issuer for issuer in provider.issuers):
        return True
    signs_for = key.get("issuer")
    return isinstance(signs_for, str) and (signs_for == claims["iss"] or issuer_matches(signs_for, claims))


def _signature_is_good(signed: jws.CompactSignature, key: jwk.Key) -> bool:
    try:
        return jws.validate_compact(signed, key, registry=JWS_REGISTRY)
    except (JoseError, ValueError, TypeError):
        return False  # a header member of the wrong kind, a signature of impossible numbers


def _open(provider: JWTProvider, fetch: Fetch, clock: Callable[[], float]) -> KeyStore:
    source = provider.jwks
    if isinstance(source, Inline):
        try:
            return FixedKeys(read_keys(source.document, origin=f"the settings of {provider.name}"))
        except BadKeySet as error:
            raise SettingsError(f"not a JWKS: {error}", path="jwks") from None
    if isinstance(source, File):
        return FileKeys(source.path)
    load: Load
    if isinstance(source, URL):
        load = partial(load_url, source, fetch)
    else:
        assert isinstance(source, Discovery)
        load = partial(load_discovered, source.url or discovery_url(provider.issuers[0]), provider.issuers, fetch)
    return RemoteKeys(load, name=provider.name, clock=clock, cooldown=provider.cooldown)
