"""Reading a compact JWS (RFC 7515 section 7.1) before anything in it is believed.

joserfc would read it too, but forgives what an attacker may use: of duplicate members the last one wins, UTF-16 is
JSON, NaN is a number, `crit` may be a number (which raises TypeError).  So the segments are read here, strictly and
within bounds, and joserfc is handed exactly the objects that the decision is made on; there is no second reading.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec
from joserfc import jws
from joserfc.util import urlsafe_b64decode

from asgi_llmgate.auth import reasons
from asgi_llmgate.auth.reasons import Check, TokenRefused

MAX_HEADER = 8192
"""Characters of the first segment; real ones with an `x5c` chain in them stay under it."""

MAX_DEPTH = 32
"""Objects and arrays within one another; whoever walks the claims later need not be afraid of them."""

_OPAQUE = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""RFC 6750 section 2.1, b64token."""


@dataclass(frozen=True, slots=True, repr=False)
class Unverified:
    """A token that has been read and not yet judged.

    `text` is the token, `signed` joserfc's form of it; one that is no JWT has neither `signed` nor anything to read.
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


def read_token(token: str, *, limit: int, opaque: bool = False) -> Unverified:
    """The token's parts.  Raises TokenRefused when it is no compact JWS of a JSON object.

    `limit`: characters that a token may have; `opaque`: one that is not of three parts is taken unread.
    """
    if len(token) > limit:
        raise _malformed("longer than auth.max_token_size")
    segments = token.split(".", 5)
    if opaque and len(segments) != 3:
        if _OPAQUE.fullmatch(token) is None:
            raise _malformed("it has characters that no token has")
        return Unverified(token, {}, {}, None)
    if len(segments) == 5:
        raise TokenRefused(Check.SHAPE, reasons.ENCRYPTED)
    if len(segments) == 1:
        raise TokenRefused(Check.SHAPE, reasons.OPAQUE)
    if len(segments) != 3:
        raise _malformed("not three parts")
    if len(segments[0]) > MAX_HEADER:
        raise _malformed("the header is too long")
    try:
        head, body, signature = (segment.encode("ascii") for segment in segments)
        header = dict(_header(head))
        payload = urlsafe_b64decode(body)
        claims = _json_object(payload)
        urlsafe_b64decode(signature)
    except (ValueError, RecursionError):
        raise _malformed("not base64url of JSON objects") from None
    signed = jws.CompactSignature(header, payload)
    signed.segments = {"header": head, "payload": body, "signature": signature}
    return Unverified(token, header, claims, signed)


@lru_cache(maxsize=64)
def _header(segment: bytes) -> Mapping[str, Any]:
    """The header, read and checked.  It is the same in all tokens that one key signs, and a tenth of what one costs."""
    header = _json_object(urlsafe_b64decode(segment))
    _check_header(header)
    return header


def _check_header(header: dict[str, Any]) -> None:
    """Members that must be texts are; `crit` (RFC 7515 4.1.11) and `b64` (RFC 7797) ask for what we do not do."""
    if not isinstance(header.get("alg"), str):
        raise _malformed("the header has no alg")
    if "crit" in header or header.get("b64", True) is not True:
        raise _malformed("the header asks for an extension (crit, b64)")
    if not all(isinstance(header.get(name, ""), str) for name in ("kid", "typ", "cty")):
        raise _malformed("a header member is not a text")


def _json_object(data: bytes) -> dict[str, Any]:
    """A JSON object in UTF-8 without duplicate members, numbers out of range, lone surrogates or endless nesting."""
    found = _strict.decode(data.decode())
    if not isinstance(found, dict):
        raise ValueError("not an object")
    if b"\\u" in data:
        msgspec.json.decode(data)  # refuses the escaped half of a surrogate pair, which json lets pass
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


_strict = json.JSONDecoder(object_pairs_hook=_without_duplicates, parse_float=_finite, parse_constant=_finite)


def _malformed(hint: str) -> TokenRefused:
    return TokenRefused(Check.SHAPE, reasons.MALFORMED, hint=hint)
