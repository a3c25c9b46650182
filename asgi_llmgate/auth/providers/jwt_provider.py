"""The description of an identity provider: its issuers, its keys, and what its tokens must have.

It is immutable and checked when it is made.  A token is verified by one provider only, the one that its `iss` names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from asgi_llmgate.auth.keys.key_set import ALGORITHMS
from asgi_llmgate.auth.keys.sources import Discovery, Inline, KeySource, discovery_url
from asgi_llmgate.auth.reasons import Check
from asgi_llmgate.errors import SettingsError
from asgi_llmgate.mistakes import Mistakes
from asgi_llmgate.net.oauth import OAuthClient
from asgi_llmgate.net.urls import require_https

Json = Mapping[str, Any]

TOKEN_TYPES = ("", "JWT", "at+jwt", "application/at+jwt")
"""Accepted values of the header's `typ`; "" is for a token without one, as Okta, Cognito and Kubernetes send it."""

CLAIM_MAP: Mapping[str, str | Callable[[Json], Any]] = MappingProxyType(
    {"scopes": "scope|scp", "client": "azp|appid|cid|client_id", "person": "sub"}
)
"""Names that rules can use with every provider, and the claims that they are read from.

A value that is found this way replaces a claim of that name.
"""

TENANT = "{tenantid}"
"""The placeholder in Microsoft's multi-tenant issuers; it stands for the token's `tid`."""

_OTHER_TYPES = ("ID", "Refresh", "Offline", "Logout")
"""The values of Keycloak's claim `typ` that are not access tokens."""


def is_access_token(header: Json, claims: Json) -> bool:
    """Whether no claim says that the token has another purpose: a sign-in, a refresh, a security event."""
    # An ID token contains the `nonce` of the sign-in (OpenID Connect Core section 2); an access token has none.
    return "nonce" not in claims and is_access_token_by_type_claims(header, claims)


def is_access_token_by_type_claims(header: Json, claims: Json) -> bool:
    """The same without regard to `nonce`, which Keycloak before version 25 also puts into access tokens."""
    return (
        claims.get("typ") not in _OTHER_TYPES
        and claims.get("token_use", "access") == "access"  # Cognito's
        and "events" not in claims  # RFC 8417: security event tokens, logout tokens
    )


@dataclass(frozen=True, slots=True)
class Introspection:
    """How a provider is asked about tokens (RFC 7662).  Raises SettingsError unless the URL is protected.

    url     the introspection endpoint
    client  the gateway's client id and secret there
    tokens  opaque: only tokens that are not JWTs
            all: JWTs as well, for providers that do not publish their keys, or because revoked tokens must be refused
    """

    url: str = field(repr=False)
    client: OAuthClient
    tokens: Literal["opaque", "all"] = "opaque"

    def __post_init__(self) -> None:
        require_https(self.url, "url")


@dataclass(frozen=True, slots=True, kw_only=True)
class JWTProvider:
    """An identity provider whose tokens are accepted.  Raises SettingsError when the description cannot work.

    issuers              the accepted values of `iss`; `{tenantid}` in one stands for the token's own `tid`
    audiences            one of them must be in `aud`; "none" for tokens without `aud`, which requires `client_ids`
    jwks                 where the keys come from; a mapping is the JWKS document itself
    name                 its name in records; default: the first issuer
    algorithms           accepted signature algorithms
    leeway               seconds that clocks may differ
    required_claims      claims that must be there and not be empty
    required_values      claim -> accepted values
    required_scopes      scopes that the token must have; else 403
    client_ids           clients that the token may have been issued to; empty: any
    token_types          accepted values of the header's `typ`; "" for a token without one
    claim_map            name -> where its value comes from: claim names in order of preference (`a|b`; `a.b.c` for a
                         nested claim), or a function of the claims; added to CLAIM_MAP
    max_lifetime         the most seconds between `iat` and `exp`
    cooldown             seconds between two fetches of keys because of kids that are not listed
    access_token         a function of header and claims: whether this is an access token; None: not checked
    unverifiable_reason  a function of header and claims: why the gateway cannot verify such a token, "" if it can.  It
                         is the reason that the caller reads in place of "invalid signature"
    profile              "rfc9068": check the claims that RFC 9068 requires, too
    introspection        how the provider is asked about tokens
    tokens_without_kid   whether a token without a kid is verified with the only key that fits its algorithm
    hints                failed check -> what usually causes it with this provider; for the log
    """

    issuers: Sequence[str]
    audiences: Sequence[str] | Literal["none"]
    jwks: KeySource | Json = field(default_factory=Discovery)
    name: str = ""
    algorithms: Sequence[str] = ALGORITHMS
    leeway: float = 30.0
    required_claims: Sequence[str] = ("exp",)
    required_values: Mapping[str, Sequence[str]] = field(default_factory=dict)
    required_scopes: Sequence[str] = ()
    client_ids: Sequence[str] = ()
    token_types: Sequence[str] = TOKEN_TYPES
    claim_map: Mapping[str, str | Callable[[Json], Any]] = field(default_factory=dict)
    max_lifetime: float | None = None
    cooldown: float = 30.0
    access_token: Callable[[Json, Json], bool] | None = is_access_token
    unverifiable_reason: Callable[[Json, Json], str] | None = None
    profile: Literal["", "rfc9068"] = ""
    tokens_without_kid: bool = True
    introspection: Introspection | None = None
    hints: Mapping[Check, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        mistakes = Mistakes()
        for name in ("issuers", "audiences", "algorithms", "required_claims", "required_scopes", "client_ids"):
            with mistakes.under(name):
                self._check_list(name)
        mistakes.raise_if_any()
        if not self.issuers:
            mistakes.add(SettingsError("a provider needs an issuer", path="issuers", rests_on=("issuer",)))
        if not self.audiences or (self.audiences == "none" and not self.client_ids):
            hint = "if its tokens have no aud, set audiences: none, and client_ids"
            message = "a provider needs audiences: without them, any token of this issuer would be accepted"
            about = ("preset", "client_ids")
            mistakes.add(SettingsError(message, path="audiences", hint=hint, rests_on=about))
        hint = "any of " + ", ".join(ALGORITHMS)
        if not self.algorithms:
            mistakes.add(SettingsError("at least one is needed", path="algorithms", hint=hint))
        for index, name in enumerate(self.algorithms):
            if name not in ALGORITHMS:
                mistakes.add(SettingsError(f"not accepted: {name[:64]!r}", path=f"algorithms[{index}]", hint=hint))
        for name, seconds in (("leeway", self.leeway), ("cooldown", self.cooldown)):
            if seconds < 0:
                mistakes.add(SettingsError("must not be negative: these are seconds", path=name))
        if self.max_lifetime is not None and self.max_lifetime <= 0:
            mistakes.add(SettingsError("must be above 0: these are seconds", path="max_lifetime"))
        if isinstance(self.jwks, Mapping):
            object.__setattr__(self, "jwks", Inline(self.jwks))
        needs_no_keys = self.introspection is not None and self.introspection.tokens == "all"
        if self.issuers and isinstance(self.jwks, Discovery) and self.jwks.url is None and not needs_no_keys:
            with mistakes.under():
                self._check_discovery()
        mistakes.raise_if_any()
        # object.__setattr__ is how a frozen dataclass sets a field of its own.
        object.__setattr__(self, "name", self.name or self.issuers[0])

    def _check_list(self, name: str) -> None:
        value = getattr(self, name)
        if isinstance(value, str) and not (name == "audiences" and value == "none"):
            raise SettingsError("must be a list, not a text")

    def _check_discovery(self) -> None:
        try:
            require_https(discovery_url(self.issuers[0]))
        except SettingsError:
            raise SettingsError(
                f"the issuer {self.issuers[0]!r} is not an https URL, so its keys cannot be discovered",
                path="jwks",
                hint="set where its keys are: jwks: {file: ...}, {url: ...} or {inline: ...}",
                rests_on=("preset", "issuer", "issuers[0]", "discovery_url", "introspection"),
            ) from None
