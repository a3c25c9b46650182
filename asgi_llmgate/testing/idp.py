"""A mock identity provider: its own keys and tokens, for tests and trials.

    idp = MockIdP()
    app = JWTAuthMiddleware(app, providers=[idp.provider()])
    reply = await call(app, headers={"authorization": f"Bearer {idp.mint(team='data-platform')}"})

It is also a small ASGI app that serves its discovery document and its keys, for what wants to fetch them.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from joserfc import jwk, jwt

from asgi_llmgate._types import Receive, Scope, Send
from asgi_llmgate.auth.keys.key_set import jws_registry
from asgi_llmgate.auth.keys.sources import KeySource
from asgi_llmgate.auth.providers.jwt_provider import JWTProvider

__all__ = ["MockIdP"]

ISSUER = "claude-code-lab"
AUDIENCE = "anthropic-api"
KID = "claude-code-key"
CLAIMS: Mapping[str, Any] = {"org": "acme", "team": "data-platform", "llms": {"openai": ["gpt-4o-mini"]}}
"""The default claims of a token: the reference lab's."""

KEY_FILE, JWKS_FILE = "private-key.json", "jwks.json"

_KEYS: Mapping[str, tuple[Literal["RSA", "EC", "OKP"], int | str]] = {
    "RS": ("RSA", 2048),
    "PS": ("RSA", 2048),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "Ed": ("OKP", "Ed25519"),
}


class MockIdP:
    """Signs tokens; joserfc makes the keys and holds them.

    `issuer` must be the URL under which this app is served for discovery to work.  `now`: Unix seconds.
    """

    def __init__(
        self,
        *,
        issuer: str = ISSUER,
        audience: str | list[str] = AUDIENCE,
        algorithm: str = "RS256",
        kid: str = KID,
        key: jwk.Key | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.issuer = issuer
        self.audience = audience
        self.requests: list[str] = []
        """The paths of the requests, in order."""
        self._now = now
        self._keys = [key or _new_key(kid, algorithm)]

    @classmethod
    def in_folder(cls, folder: str | os.PathLike[str], **options: Any) -> Self:
        """A MockIdP that keeps its key: read from `folder`, or made and written there.

        The private key is readable by its owner alone; the public keys lie beside it, in `jwks.json`, for the settings
        to name.
        """
        place = Path(folder)
        try:
            idp = cls(key=jwk.import_key(json.loads((place / KEY_FILE).read_text())), **options)
        except FileNotFoundError:
            idp = cls(**options)
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write(place / KEY_FILE, json.dumps(idp.key.as_dict(private=True)), 0o600)
        published = json.dumps(idp.jwks, indent=2) + "\n"
        if not (place / JWKS_FILE).exists() or (place / JWKS_FILE).read_text() != published:
            _write(place / JWKS_FILE, published, 0o644)
        return idp

    @property
    def key(self) -> jwk.Key:
        """The private key that signs now."""
        return self._keys[-1]

    @property
    def jwks(self) -> dict[str, Any]:
        """The public keys (RFC 7517)."""
        return {"keys": [dict(key.as_dict(private=False)) for key in self._keys]}

    @property
    def discovery(self) -> dict[str, Any]:
        """The members of the discovery document that a verifier reads."""
        base = self.issuer.removesuffix("/")
        return {
            "issuer": self.issuer,
            "jwks_uri": f"{base}/jwks.json",
            "id_token_signing_alg_values_supported": sorted({str(key.alg) for key in self._keys}),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
        }

    def mint(
        self,
        claims: Mapping[str, Any] | None = None,
        /,
        *,
        ttl: float = 3600.0,
        header: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> str:
        """A signed token that is valid for `ttl` seconds.

        `claims`, `more` of them and `header` are added to the usual ones; a value of None leaves one out.
        """
        key = self.key
        now = int(self._now())
        dates = {"iat": now, "exp": now + int(ttl)}
        payload = {"iss": self.issuer, "aud": self.audience, **CLAIMS, **dates, **(claims or {}), **more}
        head = {"alg": key.alg, "kid": key.kid, "typ": "JWT", **(header or {})}
        return jwt.encode(_given(head), _given(payload), key, registry=jws_registry(), default_type=None)

    def rotate(self, kid: str, *, algorithm: str = "RS256", keep: bool = True) -> None:
        """Sign with a new key from now on; with `keep` the old ones are still published."""
        self._keys = [*(self._keys if keep else ()), _new_key(kid, algorithm)]

    def provider(self, *, jwks: KeySource | None = None, **options: Any) -> JWTProvider:
        """The description by which a gateway accepts these tokens; its keys are those of this moment unless `jwks`."""
        audiences = [self.audience] if isinstance(self.audience, str) else self.audience
        return JWTProvider(**{"issuers": [self.issuer], "audiences": audiences, "jwks": jwks or self.jwks, **options})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        self.requests.append(scope["path"])
        documents = {"/.well-known/openid-configuration": self.discovery, "/jwks.json": self.jwks}
        document = documents.get(scope["path"])
        headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-cache")]
        await send({"type": "http.response.start", "status": 200 if document else 404, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(document or {}).encode()})

    def __repr__(self) -> str:
        return f"MockIdP({self.issuer!r})"


def _new_key(kid: str, algorithm: str) -> jwk.Key:
    kind, size = _KEYS[algorithm] if algorithm in _KEYS else _KEYS[algorithm[:2]]
    return jwk.JWKRegistry.generate_key(kind, size, {"kid": kid, "use": "sig", "alg": algorithm}, private=True)


def _given(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def _write(path: Path, text: str, mode: int) -> None:
    """Write the whole file or nothing, at no time with wider permissions than `mode`."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with open(descriptor, "w") as file:
        file.write(text)
    scratch.replace(path)
