"""Validates the claims of a token whose signature is good, and makes the identity of them.

joserfc's JWTClaimsRegistry checks dates, audience and required values (RFC 7519 section 4.1); with `profile="rfc9068"`
Authlib's registry for RFC 9068 does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from joserfc.errors import ExpiredTokenError, InvalidClaimError, MissingClaimError

from asgi_llmgate.auth import reasons
from asgi_llmgate.auth.providers.jwt_provider import CLAIM_MAP, Json, JWTProvider
from asgi_llmgate.auth.reasons import Check, TokenRefused
from asgi_llmgate.exchange_values import Identity

if TYPE_CHECKING:
    from joserfc.jwt import JWTClaimsRegistry

log = logging.getLogger("llmgate.auth")

_DATES = {"exp": reasons.EXPIRED, "nbf": reasons.NOT_YET, "iat": reasons.FROM_FUTURE}
# Claims whose type the registries check when they are there.
_TYPED = ("sub", "jti")
_TYPED_RFC9068 = ("auth_time", "amr")
_ESSENTIAL: Any = {"essential": True}
_REQUIRED_RFC9068 = ("exp", "aud", "sub", "client_id", "iat", "jti")
"""What RFC 9068 section 2.2 requires beside `iss`."""

_RFC9068_TYPES = ("at+jwt", "application/at+jwt")


class _Registries(NamedTuple):
    """Three and not one: a registry reports the first problem in the token's own order of claims.

    An expired token is worth renewing and one for another audience is not, so dates are validated first.
    """

    dates: JWTClaimsRegistry
    audience: JWTClaimsRegistry
    others: JWTClaimsRegistry


class ClaimsValidator:
    """Validates claims as one provider's settings ask for.  `now`: the time in Unix seconds."""

    def __init__(self, provider: JWTProvider, now: Callable[[], float]) -> None:
        self._provider = provider
        self._now = now
        strict = provider.profile == "rfc9068"
        required = {*provider.required_claims, *(_REQUIRED_RFC9068 if strict else ())}
        if provider.max_lifetime is not None:
            required |= {"exp", "iat"}
        self._required_dates = {name: _ESSENTIAL for name in _DATES if name in required}
        self._others: dict[str, Any] = {name: _ESSENTIAL for name in required if name not in (*_DATES, "aud")}
        self._others |= {name: _one_of(values) for name, values in provider.required_values.items()}
        self._other_names = tuple(dict.fromkeys((*self._others, *_TYPED, *(_TYPED_RFC9068 if strict else ()))))
        self._types = frozenset(name.lower() for name in (_RFC9068_TYPES if strict else provider.token_types))
        self._required_scopes = tuple(provider.required_scopes)
        self._sources = tuple((name, _reader(source)) for name, source in {**CLAIM_MAP, **provider.claim_map}.items())

    @cached_property
    def _registries(self) -> _Registries:
        # With the first token: joserfc and cryptography are 120 modules.
        registry = _registry_class(self._provider.profile == "rfc9068")
        audiences = self._provider.audiences
        return _Registries(
            dates=registry(lambda: int(self._now()), int(self._provider.leeway), **self._required_dates),
            audience=registry(**({} if audiences == "none" else {"aud": _one_of(audiences)})),
            others=registry(**self._others),
        )

    def validate(self, header: Json | None, claims: Json) -> Identity:
        """The identity that the claims describe.

        `header` is the JWT's; None for the response of an introspection, which has no `typ` to check.

        Raises TokenRefused, errors.MissingScope.
        """
        registries = self._registries
        _validate(registries.dates, _DATES, claims)
        self._check_lifetime(claims)
        _validate(registries.audience, ("aud",), claims)
        mapped = self._map(claims)
        if self._provider.client_ids and mapped.get("client") not in self._provider.client_ids:
            raise TokenRefused(Check.AUDIENCE, reasons.WRONG_CLIENT)
        _validate(registries.others, self._other_names, claims)
        # RFC 8705, RFC 9449: such a token is valid only with a proof of possession, which is not checked here.
        if "cnf" in claims:
            raise TokenRefused(Check.TYPE, reasons.BOUND)
        is_access_token = self._provider.access_token
        if (header is not None and header.get("typ", "").lower() not in self._types) or (
            is_access_token is not None and not is_access_token(header or {}, claims)
        ):
            raise TokenRefused(Check.TYPE, reasons.NOT_ACCESS_TOKEN)
        scopes = mapped.get("scopes")
        for scope in self._required_scopes:
            if not isinstance(scopes, list) or scope not in scopes:
                raise reasons.missing_scope(scope, self._required_scopes)
        if _has_distributed_groups(claims):
            log.info("a token of %s has too many groups to list them; rules on groups deny", self._provider.name)
        subject = mapped.get("person")
        return Identity(
            subject=subject if isinstance(subject, str) else "",
            issuer=claims["iss"],
            provider=self._provider.name,
            claims=MappingProxyType({**claims, **mapped}),
        )

    def _check_lifetime(self, claims: Json) -> None:
        longest = self._provider.max_lifetime
        if longest is not None and claims["exp"] > claims["iat"] + int(longest):
            raise TokenRefused(Check.DATES, reasons.LIVES_TOO_LONG)

    def _map(self, claims: Json) -> dict[str, Any]:
        """The values that the claim map finds, by its names: `person`, `client`, `scopes`, ..."""
        # Subject, client and scopes are read from this result only.  A token may have a claim that is called `person`
        # or `client` by chance, such as a mapped profile field; it must not take the place of `sub` or `azp`.
        found = {name: value for name, read in self._sources if (value := read(claims)) is not None}
        if isinstance(scopes := found.get("scopes"), str):
            found["scopes"] = scopes.split()  # RFC 6749 section 3.3
        return found


def _validate(registry: JWTClaimsRegistry, names: Iterable[str], claims: Json) -> None:
    """Run the registry over those claims, in the order of `names`.  Raises TokenRefused."""
    try:
        registry.validate({name: claims[name] for name in names if name in claims})
    except MissingClaimError as error:
        raise _missing(error.claim.split(",")[0]) from None  # Authlib lists all that are missing
    except ExpiredTokenError:
        raise TokenRefused(Check.DATES, reasons.EXPIRED, renewable=True) from None
    except InvalidClaimError as error:
        raise _invalid(error.claim, claims[error.claim]) from None


def _missing(name: str) -> TokenRefused:
    check = Check.DATES if name in _DATES else Check.AUDIENCE if name == "aud" else Check.CLAIMS
    return TokenRefused(check, reasons.missing_claim(name))


def _invalid(name: str, value: Any) -> TokenRefused:
    if name in _DATES and isinstance(value, (int, float)) and not isinstance(value, bool):
        return TokenRefused(Check.DATES, _DATES[name])
    if name in _DATES or name in _TYPED:
        return TokenRefused(Check.SHAPE, reasons.MALFORMED, hint=f"{name} is of the wrong type")
    if name == "aud":
        return TokenRefused(Check.AUDIENCE, reasons.WRONG_AUDIENCE)
    if value in (None, "", [], {}):  # the registries call an essential claim without a value invalid
        return _missing(name)
    return TokenRefused(Check.CLAIMS, reasons.unaccepted_claim(name))


def _one_of(values: Iterable[str]) -> Any:
    return {"essential": True, "values": list(values)}


def _has_distributed_groups(claims: Json) -> bool:
    """Whether the groups are not in the token but at a URL (OpenID Connect Core section 5.6.2).

    Entra does this for a person with more than 200 groups.
    """
    distributed = claims.get("_claim_names")
    return isinstance(distributed, dict) and "groups" in distributed


def _registry_class(strict: bool) -> type[JWTClaimsRegistry]:
    if not strict:
        from joserfc.jwt import JWTClaimsRegistry

        return JWTClaimsRegistry
    from authlib.oauth2.rfc9068.claims import JWTAccessTokenClaims

    registry: type[JWTClaimsRegistry] = JWTAccessTokenClaims.registry_cls
    return registry


def _reader(source: str | Callable[[Json], Any]) -> Callable[[Json], Any]:
    """A function that reads `source` from claims: `a`, `a|b` (the first that is there) or `a.b.c` (nested).

    A claim whose name contains the dots, such as `https://acme.com/roles`, comes before a nested one.
    """
    if not isinstance(source, str):
        return source
    names = source.split("|")

    def read(claims: Json) -> Any:
        for name in names:
            value = claims.get(name)
            if value is None and "." in name:
                value = _nested(claims, name.split("."))
            if value is not None:
                return value
        return None

    return read


def _nested(claims: Any, path: list[str]) -> Any:
    for step in path:
        if not isinstance(claims, Mapping) or step not in claims:
            return None
        claims = claims[step]
    return claims
