"""Reads a JWKS document (RFC 7517), and keeps the keys that may verify signatures.

Keys that cannot be read or are not fit for signatures are left out, with a line in the log.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
from joserfc.util import base64_to_int

from asgi_llmgate.auth import reasons
from asgi_llmgate.auth.reasons import Check, TokenRefused

if TYPE_CHECKING:
    from joserfc import jwk, jws

log = logging.getLogger("llmgate.auth")

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
"""The algorithms that are accepted, unless a provider's settings allow fewer."""
# Never HS*, whose secret would be the public key (RFC 8725 section 2.1), and never "none".

MAX_KEYS = 1000
"""Keys that are read of one document; Microsoft asks verifiers to be ready for that many."""

_KEY_TYPES = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521", "EdDSA": "Ed25519", "Ed25519": "Ed25519"}
# Members of private keys and shared secrets, RFC 7518 section 6.
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_MIN_RSA_BITS = 2048


@cache
def jws_registry() -> jws.JWSRegistry:
    """The registry for joserfc's calls.

    Unknown header members pass, because providers add members of their own.
    """
    from joserfc.jws import JWSRegistry  # with the first token, see claims.py

    class Algorithms(JWSRegistry):
        def get_alg(self, name: str) -> Any:
            # The base method warns that "EdDSA" has a newer name (RFC 9864), each time.
            return self.algorithms[name]

    return Algorithms(algorithms=ALGORITHMS, strict_check_header=False)


class BadKeySet(ValueError):
    """The document is not a JWKS.  The text says why."""


@dataclass(frozen=True, slots=True, repr=False)
class Keys:
    """The keys of one document.

    `listed` are the kids of all keys in it, usable or not: a kid that is not listed may cause a new fetch, and an
    unusable key would not become usable by it.
    """

    usable: tuple[jwk.Key, ...]
    by_kid: Mapping[str, jwk.Key]
    listed: frozenset[str]

    def pick(self, kid: str | None, algorithm: str, *, without_kid: bool) -> jwk.Key:
        """The one key to verify the signature with.

        `kid` and `algorithm` are the token's.  `without_kid`: a token without a kid may be verified with the only key
        that fits its algorithm.

        Raises TokenRefused.
        """
        if kid is not None:
            key = self.by_kid.get(kid)
            if key is None:
                raise TokenRefused(Check.KEY, reasons.UNKNOWN_KEY, renewable=True)
            if not _fits(key, algorithm):
                raise TokenRefused(Check.ALGORITHM, reasons.BAD_ALGORITHM)
            return key
        fitting = [key for key in self.usable if _fits(key, algorithm)] if without_kid else []
        if len(fitting) != 1:
            raise TokenRefused(Check.KEY, reasons.UNKNOWN_KEY, hint="the token's header has no kid")
        return fitting[0]


NO_KEYS = Keys((), {}, frozenset())


def read_keys(document: bytes | Mapping[str, Any], *, origin: str) -> Keys:
    """The keys of a JWKS document.  `origin` names its source, for the log.

    Raises BadKeySet when the document is not a JSON object with a list `keys`.
    """
    if isinstance(document, bytes):
        try:
            document = msgspec.json.decode(document, type=dict[str, Any])
        except (ValueError, RecursionError):
            raise BadKeySet("not a JSON object") from None
    entries = document.get("keys")
    if not isinstance(entries, list):
        raise BadKeySet('no list "keys"')
    if len(entries) > MAX_KEYS:
        log.warning("the key set of %s has %d keys, only %d are read", origin, len(entries), MAX_KEYS)
    usable: list[jwk.Key] = []
    by_kid: dict[str, jwk.Key] = {}
    listed = set()
    for place, entry in enumerate(entries[:MAX_KEYS]):
        kid = entry.get("kid") if isinstance(entry, dict) else None
        if isinstance(kid, str):
            listed.add(kid)
        problem, key = _import(entry)
        if key is None or (isinstance(kid, str) and kid in by_kid):
            problem = problem or "an earlier key has the same kid"
            log.log(_level(entry), "key %d of %s is not used: %s", place, origin, problem)
            continue
        usable.append(key)
        if isinstance(kid, str):
            by_kid[kid] = key
    return Keys(tuple(usable), by_kid, frozenset(listed))


def _fits(key: jwk.Key, algorithm: str) -> bool:
    if key.key_type != _KEY_TYPES[algorithm[:2]] or key.alg not in (None, algorithm):
        return False
    return key.key_type == "RSA" or key["crv"] == _CURVES[algorithm]


def _import(entry: Any) -> tuple[str, jwk.Key | None]:
    """The key, or why it is not used.

    Keys are imported one by one: joserfc's KeySet would reject the whole document for one odd key.
    """
    from joserfc import jwk

    try:
        problem = _find_problem(entry)
        return (problem, None) if problem else ("", jwk.import_key(entry, entry["kty"]))
    except Exception as error:  # joserfc and cryptography raise many types for a broken key
        return f"it cannot be read ({type(error).__name__})", None


def _find_problem(entry: Any) -> str:
    """Why the key must not be used; "" when it may."""
    if not isinstance(entry, dict):
        return "not an object"
    if entry.get("kty") not in ("RSA", "EC", "OKP"):
        return "it is a shared secret, which must not be published" if entry.get("kty") == "oct" else "unknown kty"
    if not _PRIVATE.isdisjoint(entry):
        return "it contains the PRIVATE key; anyone who reads this document can sign tokens"
    if entry.get("use", "sig") != "sig" or "verify" not in entry.get("key_ops", ("verify",)):
        return "not for signatures"
    if not isinstance(entry.get("kid", ""), str):
        return "its kid is not a text"
    if entry.get("alg", "RS256") not in ALGORITHMS:
        return "its alg is not accepted"
    if entry["kty"] != "RSA":
        return "" if entry.get("crv") in _CURVES.values() else "unknown curve"
    return _find_rsa_weakness(entry.get("n"))


def _find_rsa_weakness(modulus: Any) -> str:
    try:
        n = base64_to_int(modulus)
    except (TypeError, ValueError):
        return "its modulus cannot be read"
    if n.bit_length() < _MIN_RSA_BITS:
        return f"RSA under {_MIN_RSA_BITS} bits"
    return "it has the ROCA weakness (CVE-2017-15361)" if has_roca_fingerprint(n) else ""


def _powers_of_65537(prime: int) -> frozenset[int]:
    powers = [1]
    while (power := powers[-1] * 65537 % prime) != 1:
        powers.append(power)
    return frozenset(powers)


_ROCA_PRIMES = (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)
_ROCA_RESIDUES = {prime: _powers_of_65537(prime) for prime in _ROCA_PRIMES}


def has_roca_fingerprint(modulus: int) -> bool:
    """Whether an RSA modulus was probably made by Infineon's broken generator, and can be factored (CVE-2017-15361).

    The fingerprint is that of https://crocs.fi.muni.cz/public/papers/rsa_ccs17 section 2.3; one in about 2^27 good keys
    has it, too.
    """
    # That generator's primes are powers of 65537 modulo many small primes, and so is the product of two of them.
    return all(modulus % prime in residues for prime, residues in _ROCA_RESIDUES.items())


def _level(entry: Any) -> int:
    """The log level for a key that is not used."""
    # A published private key is an emergency; a key for encryption is normal.
    if isinstance(entry, dict) and not _PRIVATE.isdisjoint(entry):
        return logging.ERROR
    return logging.WARNING if isinstance(entry, dict) and entry.get("use", "sig") == "sig" else logging.DEBUG
