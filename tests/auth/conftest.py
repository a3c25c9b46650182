"""Keys, tokens of every kind, a network that is only a table, and a clock that stands still."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pytest
from joserfc import jwk
from joserfc.util import urlsafe_b64encode

from asgi_llmgate.auth import JWTProvider, Verifier
from asgi_llmgate.auth.keys.key_set import jws_registry
from asgi_llmgate.auth.keys.sources import URL
from asgi_llmgate.errors import Unreachable
from asgi_llmgate.net import Fetched
from asgi_llmgate.secret_values import Secret

ISSUER = "https://idp.test"
JWKS_URL = "https://idp.test/jwks.json"
NOW = 1_800_000_000.0


class Clock:
    def __init__(self) -> None:
        self.time = NOW

    def __call__(self) -> float:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += seconds


def _plain(value: bytes | Secret) -> bytes:
    return value.reveal().encode("latin-1") if isinstance(value, Secret) else value


class Web:
    """URL -> document, (status, headers, body), an exception, or a function that gives one of these: of nothing, and
    where one posts of what was posted."""

    def __init__(self, pages: Mapping[str, Any] = {}) -> None:
        self.pages = dict(pages)
        self.asked: list[str] = []
        self.shown: list[Sequence[tuple[bytes, bytes]]] = []

    async def fetch(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Iterable[tuple[bytes, bytes | Secret]] = (),
        content: bytes | Secret = b"",
        limit: int = 0,
        timeout: float = 0,
    ) -> Fetched:
        self.asked.append(url)
        self.shown.append([(name, _plain(value)) for name, value in headers])
        page = self.pages.get(url, (404, {}, b""))
        if callable(page):
            page = page(_plain(content)) if method == "POST" else page()
        if hasattr(page, "__await__"):
            page = await page
        if isinstance(page, Exception):
            raise page
        if isinstance(page, tuple):
            return Fetched(*page)
        return Fetched(200, {"content-type": "application/json"}, json.dumps(page).encode())

    def down(self) -> Unreachable:
        return Unreachable("the server cannot be reached")


class Forge:
    """Makes tokens that no honest provider makes."""

    def __init__(self, keys: Mapping[str, jwk.Key]) -> None:
        self.keys = keys

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Those of a good token, changed; `...` leaves one out."""
        good = {"iss": ISSUER, "aud": "llm", "sub": "alice", "team": "data", "hd": "acme.test"}
        claims = {**good, "iat": int(NOW), "exp": int(NOW) + 3600, **changes}
        return {name: value for name, value in claims.items() if value is not ...}

    def token(
        self,
        header: Mapping[str, Any] | bytes = {},
        claims: Mapping[str, Any] | bytes = {},
        *,
        key: str = "rsa",
        sign_as: str = "",
        signature: bytes | None = None,
    ) -> str:
        """A token whose signature is good: changed members, or the raw bytes of a part."""
        if not isinstance(header, bytes):
            head = {"alg": self.keys[key].alg or "RS256", "kid": key, "typ": "JWT", **header}
            head = {name: value for name, value in head.items() if value is not ...}
            algorithm = sign_as or head.get("alg")
            header = json.dumps(head).encode()
        else:
            algorithm = sign_as or "RS256"
        payload = claims if isinstance(claims, bytes) else json.dumps(self.claims(**claims)).encode()
        message = urlsafe_b64encode(header) + b"." + urlsafe_b64encode(payload)
        if signature is None:
            signature = jws_registry().algorithms[str(algorithm)].sign(message, self.keys[key])
        return (message + b"." + urlsafe_b64encode(signature)).decode()


@pytest.fixture(scope="session")
def keys() -> dict[str, jwk.Key]:
    """By kid; "stolen" is the attacker's and never published."""

    def make(kid: str, kind: Any, size: Any, **more: Any) -> jwk.Key:
        return jwk.JWKRegistry.generate_key(kind, size, {"kid": kid, **more})

    return {
        "rsa": make("rsa", "RSA", 2048, use="sig", alg="RS256"),
        "any": make("any", "RSA", 2048, use="sig"),
        "ec": make("ec", "EC", "P-256", use="sig", alg="ES256"),
        "ec384": make("ec384", "EC", "P-384", use="sig", alg="ES384"),
        "ec521": make("ec521", "EC", "P-521", use="sig", alg="ES512"),
        "ed": make("ed", "OKP", "Ed25519", use="sig"),
        "enc": make("enc", "RSA", 2048, use="enc", alg="RSA-OAEP"),
        "stolen": make("stolen", "RSA", 2048, alg="RS256"),
        "stolen-ec": make("stolen-ec", "EC", "P-256", alg="ES256"),
    }


@pytest.fixture(scope="session")
def forge(keys: dict[str, jwk.Key]) -> Forge:
    return Forge(keys)


@pytest.fixture(scope="session")
def published(keys: dict[str, jwk.Key]) -> dict[str, Any]:
    """A JWKS as hostile as real ones can be: good keys between bad ones."""
    odd: list[Any] = [
        {"kty": "RSA", "kid": "weak", "n": _number(2**1023 + 1), "e": "AQAB"},
        {"kty": "oct", "kid": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQ"},
        {"kty": "RSA", "kid": "roca", "n": _number(_roca_modulus()), "e": "AQAB"},
        keys["stolen"].as_dict(private=True, kid="leaked"),
        {"kty": "EC", "kid": "off-curve", "crv": "P-256", "x": "AQ", "y": "AQ"},
        {"kty": "AKP", "kid": "quantum", "alg": "ML-DSA-44", "pub": "AQ"},
        {"kty": "EC", "kid": "bitcoin", "crv": "secp256k1", "x": "AQ", "y": "AQ"},
        {**keys["stolen"].as_dict(), "kid": 7},
        {**keys["stolen"].as_dict(), "kid": "oaep", "alg": "RSA-OAEP"},
        {**keys["stolen"].as_dict(), "kid": "odd-use", "use": None},
        {**keys["stolen"].as_dict(), "kid": "odd-ops", "key_ops": 5},
        {**keys["stolen"].as_dict(), "kid": "e1", "e": "AQ"},
        "not a key",
        None,
    ]
    good = [key.as_dict() for kid, key in keys.items() if not kid.startswith("stolen")]
    again = {**keys["stolen"].as_dict(), "kid": "rsa"}
    return {"keys": [*odd, *good, again]}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def web(published: dict[str, Any]) -> Web:
    return Web({JWKS_URL: published})


@pytest.fixture
def provider() -> Callable[..., JWTProvider]:
    def make(**options: Any) -> JWTProvider:
        return JWTProvider(**{"issuers": [ISSUER], "audiences": ["llm"], "jwks": URL(JWKS_URL), **options})

    return make


@pytest.fixture
def verifier(web: Web, clock: Clock, provider: Callable[..., JWTProvider]) -> Callable[..., Verifier]:
    def make(*providers: JWTProvider, **options: Any) -> Verifier:
        return Verifier(providers or [provider()], fetch=web.fetch, now=clock, clock=clock, **options)

    return make


@pytest.fixture
def signatures(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The keys that a signature was checked with, in order."""
    from joserfc import jws

    checked: list[str] = []
    check = jws.validate_compact

    def counted(signed: Any, key: Any, **options: Any) -> bool:
        checked.append(key.kid)
        return check(signed, key, **options)

    monkeypatch.setattr("joserfc.jws.validate_compact", counted)
    return checked


def _number(value: int) -> str:
    return urlsafe_b64encode(value.to_bytes((value.bit_length() + 7) // 8, "big")).decode()


def _roca_modulus() -> int:
    """2048 bits that are a power of 65537 modulo the product of many small primes, as CVE-2017-15361's are."""
    product = 1
    for prime in (2, 3, 5, 7, 11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157):
        product *= prime
    residue = pow(65537, 12345, product)
    return residue + product * (2**2047 // product + 1)
