"""Explains check by check why a token is accepted or not, for the operator's terminal.

Unlike refusals and logs, it shows the claims that were compared.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from asgi_llmgate.auth.introspection import IntrospectionVerifier
from asgi_llmgate.auth.jws import UnverifiedToken
from asgi_llmgate.auth.providers.jwt_provider import JWTProvider
from asgi_llmgate.auth.reasons import Check, TokenRefused
from asgi_llmgate.auth.verifier import ProviderVerifier, Verifier
from asgi_llmgate.errors import KeysUnavailable, Refusal
from asgi_llmgate.net.client import Fetch
from asgi_llmgate.net.urls import redact_url

# The checks of a JWT that an introspected token does not go through.
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
    """One line per check: passed, failed with the reason, or not reached.  No line contains the token itself.

    Keys are fetched, and tokens introspected, as for a request.
    """
    verifier = Verifier(providers, fetch=fetch, max_token_size=max_token_size, now=now)
    unverified: UnverifiedToken | None = None
    chosen: ProviderVerifier | None = None
    failure: Refusal | None = None
    try:
        unverified = verifier.read(token)
        chosen = verifier.verifier_of(unverified)
        await verifier.verify(token)
    except Refusal as error:
        failure = error
    finally:
        await verifier.aclose()
    introspected = isinstance(chosen, IntrospectionVerifier)
    checks = _INTROSPECTED if introspected else _CHECKS
    failed_at = checks.index(_check_of(failure, introspected)) if failure is not None else len(checks)
    lines = []
    for place, check in enumerate(checks):
        state = "ok" if place < failed_at else "FAILED" if place == failed_at else "-"
        details = _describe(check, unverified, chosen, providers) if place <= failed_at else ""
        lines.append(f"{state:<7} {check:<13} {details}".rstrip())
        if place == failed_at and failure is not None:
            lines += [f"{'':<21} {text}" for text in (failure.message, failure.detail) if text]
    return lines


def _check_of(failure: Refusal, introspected: bool) -> Check:
    if isinstance(failure, TokenRefused):
        return failure.check
    if isinstance(failure, KeysUnavailable):
        return Check.ACTIVE if introspected else Check.KEYS
    return Check.SCOPE


def _describe(
    check: Check, token: UnverifiedToken | None, verifier: ProviderVerifier | None, providers: Sequence[JWTProvider]
) -> str:
    """What the check compares, for its line."""
    if token is None:
        return ""
    claims = token.claims
    if token.signed is None:
        return _describe_opaque(check, verifier)
    if check is Check.SHAPE:
        return f"claims: {', '.join(map(_shorten, sorted(claims)))}"
    if check is Check.ISSUER:
        known = [issuer for provider in providers for issuer in provider.issuers]
        found = f"provider {verifier.provider.name}" if verifier else f"known: {known}"
        return f"{_shorten(claims.get('iss'))}: {found}"
    assert verifier is not None
    return _describe_jwt(check, token, verifier.provider)


def _describe_opaque(check: Check, verifier: ProviderVerifier | None) -> str:
    assert verifier is not None
    if check is Check.SHAPE:
        return "opaque: only its provider can read it"
    if check is Check.ISSUER:
        return f"provider {verifier.provider.name}, the one with introspection"
    if check is Check.ACTIVE and verifier.provider.introspection is not None:
        return redact_url(verifier.provider.introspection.url)
    return ""


def _describe_jwt(check: Check, token: UnverifiedToken, provider: JWTProvider) -> str:
    claims = token.claims
    match check:
        case Check.ALGORITHM:
            return f"{_shorten(token.algorithm)}, accepted: {', '.join(provider.algorithms)}"
        case Check.KEYS:
            return f"{provider.jwks!r}"
        case Check.KEY:
            return f"kid {_shorten(token.kid)}"
        case Check.DATES:
            return ", ".join(f"{name} {_format_date(claims[name])}" for name in ("iat", "nbf", "exp") if name in claims)
        case Check.AUDIENCE if provider.audiences == "none":
            return f"client ids: {list(provider.client_ids)}"
        case Check.AUDIENCE:
            return f"aud {_shorten(claims.get('aud'))}, accepted: {list(provider.audiences)}"
        case Check.TYPE:
            return f"typ {_shorten(token.header.get('typ'))}"
        case Check.SCOPE:
            return f"required: {list(provider.required_scopes)}"
        case _:
            return ""


def _format_date(value: Any) -> str:
    try:
        return datetime.fromtimestamp(value, UTC).isoformat(timespec="seconds")
    except (TypeError, ValueError, OverflowError, OSError):
        return _shorten(value)


def _shorten(value: Any) -> str:
    """The value in ASCII, so that it cannot control the terminal, and at most 203 characters of it."""
    text = ascii(value)
    return text if len(text) <= 200 else text[:200] + "..."
