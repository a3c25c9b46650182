"""Verifies the JWTs of one provider: the signature by its keys, then the claims.

joserfc does all cryptography.  This module chooses the one key and the one algorithm that joserfc tries, so that a
token costs at most one signature check.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from joserfc.errors import JoseError

from asgi_llmgate.auth import reasons
from asgi_llmgate.auth.claims import ClaimsValidator
from asgi_llmgate.auth.jws import UnverifiedToken
from asgi_llmgate.auth.keys.cache import FileKeys, FixedKeys, KeyStore, RemoteKeys
from asgi_llmgate.auth.keys.key_set import BadKeySet, jws_registry, read_keys
from asgi_llmgate.auth.keys.sources import URL, Discovery, File, Inline, load_remote
from asgi_llmgate.auth.providers.jwt_provider import TENANT, JWTProvider
from asgi_llmgate.auth.reasons import Check, TokenRefused
from asgi_llmgate.errors import SettingsError
from asgi_llmgate.exchange_values import Identity
from asgi_llmgate.mistakes import error_path
from asgi_llmgate.net.client import Fetch, HTTPClient
from asgi_llmgate.running_state import RunningState

if TYPE_CHECKING:
    from joserfc import jwk, jws

_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


class JWTVerifier:
    """Verifies a provider's tokens by its keys.  `now`: the time in Unix seconds; `clock`: monotonic seconds.

    The keys are kept in `state`, under the first issuer.

    Raises SettingsError when the keys are written in the settings and are no JWKS.
    """

    def __init__(
        self,
        provider: JWTProvider,
        fetch: Fetch,
        *,
        now: Callable[[], float],
        clock: Callable[[], float],
        state: RunningState,
    ) -> None:
        self.provider = provider
        ca_file = provider.jwks.ca_file if isinstance(provider.jwks, URL) else None
        # A CA belongs to a whole client, so a provider with a CA of its own has a client of its own.
        if ca_file:
            with error_path("jwks"):
                fetch = state.keep("client", str(ca_file), None, lambda: HTTPClient(ca_file=str(ca_file))).fetch
        issuers, described = tuple(provider.issuers), (provider.jwks, provider.cooldown, fetch)
        self.keys: KeyStore = state.keep(
            "keys", issuers[0], (issuers, *described), lambda: _key_store(provider, fetch, clock)
        )
        self._claims = ClaimsValidator(provider, now)
        self._algorithms = frozenset(provider.algorithms)

    async def verify(self, token: UnverifiedToken, *, client: str = "", known: bool = False) -> Identity:
        """The identity that the token stands for.  See ProviderVerifier.

        Raises TokenRefused, errors.KeysUnavailable, errors.MissingScope.
        """
        provider = self.provider
        # Before any key is looked for: the list is the provider's, not the token's (RFC 8725 section 3.1).
        if token.algorithm not in self._algorithms:
            raise TokenRefused(Check.ALGORITHM, reasons.BAD_ALGORITHM)
        keys = await self.keys.find(token.kid)
        key = keys.pick(token.kid, token.algorithm, without_kid=provider.tokens_without_kid)
        if not _may_sign_for_tenant(key, token.claims, provider):
            raise TokenRefused(Check.KEY, reasons.UNKNOWN_KEY, hint="the key is another tenant's")
        if provider.unverifiable_reason is not None and (
            reason := provider.unverifiable_reason(token.header, token.claims)
        ):
            raise TokenRefused(Check.SIGNATURE, reason)
        assert token.signed is not None
        if not _is_signature_valid(token.signed, key):
            raise TokenRefused(Check.SIGNATURE, reasons.BAD_SIGNATURE)
        return self._claims.validate(token.header, token.claims)


def issuer_matches(template: str, claims: Mapping[str, object]) -> bool:
    """Whether `iss` is the template with the token's own tenant in it (Microsoft's multi-tenant issuers).

    https://learn.microsoft.com/entra/identity-platform/access-tokens#validate-the-issuer
    """
    tenant = claims.get("tid")
    # Only a GUID: another text could turn the template into a different issuer.
    if not isinstance(tenant, str) or _GUID.fullmatch(tenant) is None:
        return False
    return template.replace(TENANT, tenant) == claims.get("iss")


def _may_sign_for_tenant(key: jwk.Key, claims: Mapping[str, object], provider: JWTProvider) -> bool:
    """Whether the key's `issuer` is the token's.  Only multi-tenant key sets have this member; others pass."""
    if not any(TENANT in issuer for issuer in provider.issuers):
        return True
    key_issuer = key.get("issuer")
    return isinstance(key_issuer, str) and (key_issuer == claims["iss"] or issuer_matches(key_issuer, claims))


def _is_signature_valid(signed: jws.CompactSignature, key: jwk.Key) -> bool:
    from joserfc import jws  # with the first token, see claims.py

    try:
        return jws.validate_compact(signed, key, registry=jws_registry())
    except (JoseError, ValueError, TypeError):
        return False  # a header member of the wrong type, a signature whose numbers are out of range


def _key_store(provider: JWTProvider, fetch: Fetch, clock: Callable[[], float]) -> KeyStore:
    source = provider.jwks
    if isinstance(source, Inline):
        try:
            return FixedKeys(read_keys(source.document, origin=f"the settings of {provider.name}"))
        except BadKeySet as error:
            raise SettingsError(f"not a JWKS: {error}", path="jwks.inline") from None
    if isinstance(source, File):
        return FileKeys(source.path)
    assert isinstance(source, URL | Discovery)
    load = partial(load_remote, source, provider.issuers, fetch)
    return RemoteKeys(load, name=provider.name, clock=clock, cooldown=provider.cooldown)
