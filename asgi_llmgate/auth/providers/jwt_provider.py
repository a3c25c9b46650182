"""What is known of an identity provider before it sends anything: a frozen description, checked when it is made.

A verifier picks the provider by the token's unverified `iss` and then holds the token against that one alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from asgi_llmgate.auth.keys.key_set import ALGORITHMS
from asgi_llmgate.auth.keys.sources import Discovery, Inline, KeySource, discovery_url, require_https
from asgi_llmgate.auth.reasons import Check
from asgi_llmgate.errors import SettingsError
from asgi_llmgate.net.oauth import OAuthClient
from asgi_llmgate.net.urls import is_protected, shown

Json = Mapping[str, Any]

TOKEN_TYPES = ("", "JWT", "at+jwt", "application/at+jwt")
"""Header `typ` of an access token; "" stands for none, as Okta, Cognito and Kubernetes send it."""

CLAIM_MAP: Mapping[str, str | Callable[[Json], Any]] = MappingProxyType(
    {"scopes": "scope|scp", "client": "azp|appid|cid|client_id", "person": "sub"}
)
"""Names under which every provider's claims can be found alike, and where they come from.  Where there is something to
be found, it stands in the place of a claim of that name."""

TENANT = "{tenantid}"
"""Stands in an issuer of Microsoft's for the tenant that the token's own `tid` names."""

_OTHER_TYPES = ("ID", "Refresh", "Offline", "Logout")
"""Keycloak's payload `typ` of what is no access token."""


def is_access_token(header: Json, claims: Json) -> bool:
    """Whether nothing says that the token is for something else: a sign-in (`nonce`), a security event, a refresh."""
    return "nonce" not in claims and says_access_token(header, claims)


def says_access_token(header: Json, claims: Json) -> bool:
    """The same for a provider whose tokens say what they are (Keycloak's `typ`, Cognito's `token_use`)."""
    return (
        claims.get("typ") not in _OTHER_TYPES
        and claims.get("token_use", "access") == "access"
        and "events" not in claims  # RFC 8417: security event tokens, logout tokens
    )


@dataclass(frozen=True, slots=True)
class Introspection:
    """How a provider is asked about tokens (RFC 7662).

    url     its introspection endpoint
    client  who we are there
    tokens  opaque: those that cannot be read here; all: its JWTs too, for providers that do not publish their keys, or
            where a withdrawn token must stop to count
    """

    url: str = field(repr=False)
    client: OAuthClient
    tokens: Literal["opaque", "all"] = "opaque"

    def __post_init__(self) -> None:
        if not is_protected(self.url):
            raise SettingsError(
                f"tokens are sent over https (http only on this machine), not to {shown(self.url)!r}", path="url"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class JWTProvider:
    """An identity provider whose JWTs are accepted.  Raises SettingsError when the description cannot work.

    issuers             the exact values of `iss`; `{tenantid}` in one stands for the token's own `tid`
    audiences           one of them must be in `aud`; "none" (then `client_ids` must be given) for tokens without one
    jwks                where the keys come from; a plain mapping is taken as the document itself
    name                what records call it; the first issuer when empty
    algorithms          that it may sign with
    leeway              seconds that clocks may differ
    required_claims     that must be there and not be empty
    required_values     claim -> the values of which it must have one
    required_scopes     that the token must carry, else 403
    client_ids          that the token may have been issued to; empty: any
    token_types         accepted header `typ`; "" stands for none
    claim_map           name -> where its value comes from: claim names in order of preference (`a|b`, `a.b.c` for a
                        nested one) or a function of the claims; added to CLAIM_MAP
    max_lifetime        seconds between `iat` and `exp` at the most
    cooldown            seconds between two fetches that unlisted kids cause
    access_token        says of header and claims whether this is an access token; None: any token will do
    never_verifies      says of header and claims why such a token cannot be good, "" when it can: better words than
                        "invalid signature" for what the provider signs in a way of its own
    profile             "rfc9068": hold the token against RFC 9068 as well, by Authlib's claims
    introspection       for tokens that only the provider can read
    tokens_without_kid  whether a token that names no key is tried with the only one of its type
    hints               for the operator, by failed check: what usually causes it with this provider
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
    never_verifies: Callable[[Json, Json], str] | None = None
    profile: Literal["", "rfc9068"] = ""
    tokens_without_kid: bool = True
    introspection: Introspection | None = None
    hints: Mapping[Check, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for name in ("issuers", "audiences", "algorithms", "required_claims", "required_scopes", "client_ids"):
            self._check_list(name)
        if not self.issuers:
            raise SettingsError("a provider needs an issuer", path="issuers")
        if not self.audiences or (self.audiences == "none" and not self.client_ids):
            raise SettingsError(
                "a provider needs audiences, or any token of this issuer would open the door",
                path="audiences",
                hint="where its tokens have no aud: audiences: none, and client_ids",
            )
        if bad := [name for name in self.algorithms if name not in ALGORITHMS] or not self.algorithms:
            raise SettingsError(f"not accepted: {bad}", path="algorithms", hint="any of " + ", ".join(ALGORITHMS))
        if self.leeway < 0 or self.cooldown < 0 or (self.max_lifetime is not None and self.max_lifetime <= 0):
            raise SettingsError("leeway, cooldown and max_lifetime are seconds, not negative")
        if isinstance(self.jwks, Mapping):
            object.__setattr__(self, "jwks", Inline(self.jwks))
        asked_about = self.introspection is not None and self.introspection.tokens == "all"
        if isinstance(self.jwks, Discovery) and self.jwks.url is None and not asked_about:
            self._check_discovery()
        object.__setattr__(self, "name", self.name or self.issuers[0])

    def _check_list(self, name: str) -> None:
        value = getattr(self, name)
        if isinstance(value, str) and not (name == "audiences" and value == "none"):
            raise SettingsError(f"{value!r} is a text, a list of texts is needed", path=name)

    def _check_discovery(self) -> None:
        try:
            require_https(discovery_url(self.issuers[0]))
        except SettingsError:
            raise SettingsError(
                f"the issuer {self.issuers[0]!r} is no https URL, so its keys cannot be discovered",
                path="jwks",
                hint="say where its keys are: jwks: {file: ...}, {url: ...} or {inline: ...}",
            ) from None
