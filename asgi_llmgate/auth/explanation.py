"""Why a token is accepted or not, for the person who set the gateway up.

It shows what refusals keep from callers and logs: the claims that were compared.  It is for a terminal.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from asgi_llmgate.auth.introspection import Introspected
from asgi_llmgate.auth.jws import Unverified
from asgi_llmgate.auth.providers.jwt_provider import JWTProvider
from asgi_llmgate.auth.reasons import Check, TokenRefused
from asgi_llmgate.auth.verifier import Judge, Verifier
from asgi_llmgate.errors import KeysUnavailable, Refusal
from asgi_llmgate.net.client import Fetch
from asgi_llmgate.net.urls import shown

_LOCAL = (Check.ALGORITHM, Check.KEYS, Check.KEY, Check.SIGNATURE)
_CHECKS: list[Check] = [check for check in Check if check not in (Check.CREDENTIAL, Check.ACTIVE)]
_INTROSPECTED: list[Check] = [check for check in Check if check not in (Check.CREDENTIAL, *_LOCAL)]


async def explain(
    token: str,
    providers: Sequence[JWTProvider],
    *,
    fetch: Fetch,
    max_token_size: int = 16384,
    now: Callable[[], float] = time.time,
) -> list[str]:
    """One line per check: passed, failed with the reason, or not reached; the token itself is in none of them.

    Fetches keys as a request would.
    """
    verifier = Verifier(providers, fetch=fetch, max_token_size=max_token_size, now=now)
    unverified: Unverified | None = None
    trust: Judge | None = None
    failure: Refusal | None = None
    try:
        unverified = verifier.read(token)
        trust = verifier.trust_of(unverified)
        await verifier.verify(token)
    except Refusal as error:
        failure = error
    finally:
        await verifier.aclose()
    introspected = isinstance(trust, Introspected)
    checks = _INTROSPECTED if introspected else _CHECKS
    failed_at = checks.index(_check_of(failure, introspected)) if failure is not None else len(checks)
    lines = []
    for place, check in enumerate(checks):
        state = "ok" if place < failed_at else "FAILED" if place == failed_at else "-"
        about = _about(check, unverified, trust, providers) if place <= failed_at else ""
        lines.append(f"{state:<7} {check:<13} {about}".rstrip())
        if place == failed_at and failure is not None:
            lines += [f"{'':<21} {text}" for text in (failure.message, failure.detail) if text]
    return lines


def _check_of(failure: Refusal, introspected: bool) -> Check:
    if isinstance(failure, TokenRefused):
        return failure.check
    if isinstance(failure, KeysUnavailable):
        return Check.ACTIVE if introspected else Check.KEYS
    return Check.SCOPE


def _about(check: Check, token: Unverified | None, trust: Judge | None, providers: Sequence[JWTProvider]) -> str:
    if token is None:
        return ""
    claims = token.claims
    if token.signed is None:
        return _about_opaque(check, trust)
    if check is Check.SHAPE:
        return f"claims: {', '.join(map(_shown, sorted(claims)))}"
    if check is Check.ISSUER:
        known = [issuer for provider in providers for issuer in provider.issuers]
        return f"{_shown(claims.get('iss'))}: " + (f"provider {trust.provider.name}" if trust else f"known: {known}")
    assert trust is not None
    return _about_provider(check, token, trust.provider)


def _about_opaque(check: Check, trust: Judge | None) -> str:
    assert trust is not None
    if check is Check.SHAPE:
        return "opaque: only its provider can read it"
    if check is Check.ISSUER:
        return f"provider {trust.provider.name}, the one with introspection"
    if check is Check.ACTIVE and trust.provider.introspection is not None:
        return shown(trust.provider.introspection.url)
    return ""


def _about_provider(check: Check, token: Unverified, provider: JWTProvider) -> str:
    claims = token.claims
    match check:
        case Check.ALGORITHM:
            return f"{_shown(token.algorithm)}, accepted: {', '.join(provider.algorithms)}"
        case Check.KEYS:
            return f"{provider.jwks!r}"
        case Check.KEY:
            return f"kid {_shown(token.kid)}"
        case Check.DATES:
            return ", ".join(f"{name} {_date(claims[name])}" for name in ("iat", "nbf", "exp") if name in claims)
        case Check.AUDIENCE if provider.audiences == "none":
            return f"client ids: {list(provider.client_ids)}"
        case Check.AUDIENCE:
            return f"aud {_shown(claims.get('aud'))}, accepted: {list(provider.audiences)}"
        case Check.TYPE:
            return f"typ {_shown(token.header.get('typ'))}"
        case Check.SCOPE:
            return f"required: {list(provider.required_scopes)}"
        case _:
            return ""


def _date(value: Any) -> str:
    try:
        return datetime.fromtimestamp(value, UTC).isoformat(timespec="seconds")
    except (TypeError, ValueError, OverflowError, OSError):
        return _shown(value)


def _shown(value: Any) -> str:
    """Safe on a terminal: escaped, and not endless."""
    text = ascii(value)
    return text if len(text) <= 200 else text[:200] + "..."
