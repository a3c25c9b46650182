"""A JWKS document (RFC 7517) as the keys in it that we would ever use.

joserfc imports the keys; one odd key would make it drop the whole document, so they are imported one by one and what
does not import, or is not fit to sign for us, is left out with a line in the log.  A key's `kid` is remembered even
then: "this kid is absent" is what may cause a new fetch, and a key that is there but unusable is not absent.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from joserfc import jwk, jws
from joserfc.util import base64_to_int

from asgi_llmgate.auth import reasons
from asgi_llmgate.auth.reasons import Check, TokenRefused

log = logging.getLogger("llmgate.auth")

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
"""What a provider may sign with unless its settings say less.  HS* and none are never among them."""

MAX_KEYS = 1000
"""Microsoft asks verifiers to be ready for that many; further ones are not read."""

_KEY_TYPES = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521", "EdDSA": "Ed25519", "Ed25519": "Ed25519"}
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_MIN_RSA_BITS = 2048


class _Algorithms(jws.JWSRegistry):
    """joserfc's registry without the warning, once per token, that "EdDSA" has a newer name (RFC 9864)."""

    def get_alg(self, name: str) -> Any:
        return self.algorithms[name]


JWS_REGISTRY = _Algorithms(algorithms=ALGORITHMS, strict_check_header=False)
"""What joserfc is asked with; real tokens have header members of their vendors', so unknown ones pass."""


class BadKeySet(ValueError):
    """The document is no JWKS at all."""


@dataclass(frozen=True, slots=True, repr=False)
class Keys:
    """The usable keys of one document, and the ids of all that it lists."""

    usable: tuple[jwk.Key, ...]
    by_kid: Mapping[str, jwk.Key]
    listed: frozenset[str]

    def pick(self, kid: str | None, algorithm: str, *, without_kid: bool) -> jwk.Key:
        """The one key to try.  Raises TokenRefused.

        `without_kid`: a token that names no key may be tried with the only one of its type.
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
    """The keys of a JWKS document.  `origin` says in the log where it came from.

    Raises BadKeySet when `document` is not an object with a list `keys`.
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
            log.log(_level(entry), "key %d of %s is not used: %s", place, origin, problem or "its kid was there before")
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
    """Why a JWK is not used, or the key."""
    try:
        problem = _unfit(entry)
        return (problem, None) if problem else ("", jwk.import_key(entry, entry["kty"]))
    except Exception as error:  # joserfc and cryptography raise a dozen kinds for a key that is none
        return f"it cannot be read ({type(error).__name__})", None


def _unfit(entry: Any) -> str:
    if not isinstance(entry, dict):
        return "not an object"
    if entry.get("kty") not in ("RSA", "EC", "OKP"):
        return "a shared secret is no key to publish" if entry.get("kty") == "oct" else "unknown kty"
    if not _PRIVATE.isdisjoint(entry):
        return "it holds the PRIVATE key; whoever reads this document can sign tokens"
    if entry.get("use", "sig") != "sig" or "verify" not in entry.get("key_ops", ("verify",)):
        return "not for signatures"
    if not isinstance(entry.get("kid", ""), str):
        return "its kid is not a text"
    if entry.get("alg", "RS256") not in ALGORITHMS:
        return "its alg is none that is accepted"
    if entry["kty"] != "RSA":
        return "" if entry.get("crv") in _CURVES.values() else "unknown curve"
    return _weak_rsa(entry.get("n"))


def _weak_rsa(modulus: Any) -> str:
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
    """Whether an RSA modulus looks like one of Infineon's broken generator, which can be factored (CVE-2017-15361).

    Its primes are powers of 65537 modulo many small primes, and so is their product; the fingerprint of
    https://crocs.fi.muni.cz/public/papers/rsa_ccs17 section 2.3.  A good key has it once in some 2^27.
    """
    return all(modulus % prime in residues for prime, residues in _ROCA_RESIDUES.items())


def _level(entry: Any) -> int:
    """A published secret is somebody's emergency; a key for encryption is every day's business."""
    if isinstance(entry, dict) and not _PRIVATE.isdisjoint(entry):
        return logging.ERROR
    return logging.WARNING if isinstance(entry, dict) and entry.get("use", "sig") == "sig" else logging.DEBUG
