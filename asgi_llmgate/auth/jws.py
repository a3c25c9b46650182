"""Parses a compact JWS (RFC 7515 section 7.1), strictly and with limits, before anything in it is verified.

joserfc then verifies the signature of exactly these objects; nothing is parsed a second time.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec
from joserfc.util import urlsafe_b64decode

from asgi_llmgate.auth import reasons
from asgi_llmgate.auth.reasons import Check, TokenRefused

if TYPE_CHECKING:
    from joserfc import jws

MAX_HEADER = 8192
"""Characters of the first segment.  Real headers stay under it, even with an `x5c` certificate chain."""

MAX_DEPTH = 32
"""Levels of objects and arrays, so that later code may walk the claims recursively."""

_ENCRYPTED_HINT = "ask the identity provider for a signed access token (Auth0: pass an audience)"
_OPAQUE_HINT = "an opaque token: configure introspection, or an audience for which the identity provider issues JWTs"
_OPAQUE = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""RFC 6750 section 2.1, b64token."""


@dataclass(frozen=True, slots=True, repr=False)
class UnverifiedToken:
    """A token that has been parsed and not yet verified.

    `text` is the whole token, `signed` is joserfc's form of it.  An opaque token has no `signed`, and its header and
    claims are empty.
    """

    text: str
    header: dict[str, Any]
    claims: dict[str, Any]
    signed: jws.CompactSignature | None

    @property
    def algorithm(self) -> str:
        algorithm: str = self.header["alg"]
        return algorithm

    @property
    def kid(self) -> str | None:
        return self.header.get("kid")


def read_token(token: str, *, limit: int, opaque: bool = False) -> UnverifiedToken:
    """The token's parts.  Raises TokenRefused when it is not a compact JWS whose payload is a JSON object.

    `limit`: the most characters that a token may have.  `opaque`: whether a token that does not have three parts is
    accepted without being parsed.
    """
    if len(token) > limit:
        raise _malformed("longer than auth.max_token_size")
    segments = token.split(".", 5)
    if opaque and len(segments) != 3:
        if _OPAQUE.fullmatch(token) is None:
            raise _malformed("it has characters that a token cannot have")
        return UnverifiedToken(token, {}, {}, None)
    if len(segments) == 5:  # RFC 7516 section 7.1: a compact JWE
        raise TokenRefused(Check.SHAPE, reasons.ENCRYPTED, hint=_ENCRYPTED_HINT)
    if len(segments) == 1:
        raise TokenRefused(Check.SHAPE, reasons.OPAQUE, hint=_OPAQUE_HINT)
    if len(segments) != 3:
        raise _malformed("not three parts")
    if len(segments[0]) > MAX_HEADER:
        raise _malformed("the header is too long")
    try:
        head, body, signature = (segment.encode("ascii") for segment in segments)
        header = dict(_header(head))
        payload = urlsafe_b64decode(body)
        claims = _json_object(payload)
        urlsafe_b64decode(signature)  # only to find out whether it can be decoded
    except (ValueError, RecursionError):
        raise _malformed("not base64url of JSON objects") from None
    from joserfc.jws import CompactSignature  # with the first token, see claims.py

    signed = CompactSignature(header, payload)
    signed.segments = {"header": head, "payload": body, "signature": signature}
    return UnverifiedToken(token, header, claims, signed)


@lru_cache(maxsize=64)
def _header(segment: bytes) -> Mapping[str, Any]:
    """The header, parsed and checked.

    Cached, because it is the same in all tokens that one key signs, and takes a tenth of the time for a token.
    """
    header = _json_object(urlsafe_b64decode(segment))
    _check_header(header)
    return header


def _check_header(header: dict[str, Any]) -> None:
    """Check the members' types.  `crit` (RFC 7515 section 4.1.11) and `b64` (RFC 7797) are not supported.

    Raises TokenRefused.
    """
    if not isinstance(header.get("alg"), str):
        raise _malformed("the header has no alg")
    if "crit" in header or header.get("b64", True) is not True:
        raise _malformed("the header asks for an extension (crit, b64)")
    if not all(isinstance(header.get(name, ""), str) for name in ("kid", "typ", "cty")):
        raise _malformed("kid, typ or cty in the header is not a text")


def _json_object(data: bytes) -> dict[str, Any]:
    """Parse a JSON object in UTF-8.

    Raises ValueError or RecursionError, also for duplicate members, numbers out of range, lone surrogates, and more
    than MAX_DEPTH levels.
    """
    found = _strict.decode(data.decode())
    if not isinstance(found, dict):
        raise ValueError("not an object")
    if b"\\u" in data:
        msgspec.json.decode(data)  # raises for an escaped lone surrogate, which json accepts
    # Counting brackets is cheap and an upper bound of the depth, so the walk is seldom needed.
    if data.count(b"{") + data.count(b"[") > MAX_DEPTH and _is_deeper(found, MAX_DEPTH):
        raise ValueError("too deep")
    return found


def _is_deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, (dict, list)):
        return False
    items = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(item, levels - 1) for item in items)


def _without_duplicates(members: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) != len(members):
        raise ValueError("duplicate member")
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("out of range")
    return number


# joserfc's own parser accepts more than is safe: of duplicate members the last one wins, UTF-16 is JSON, and NaN is a
# number.
_strict = json.JSONDecoder(object_pairs_hook=_without_duplicates, parse_float=_finite, parse_constant=_finite)


def _malformed(hint: str) -> TokenRefused:
    return TokenRefused(Check.SHAPE, reasons.MALFORMED, hint=hint)
