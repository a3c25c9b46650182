"""Whatever bytes a caller shows, and whatever an identity provider says of them: nobody is let through, and nothing is
raised.

Everything can be as it must but one required scope, which nobody hits by chance.  So header and claims are signed with
the right key, which a fuzzer could never do.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from joserfc import jwk
from joserfc.util import urlsafe_b64encode

from asgi_llmgate.auth import Introspection, JWTAuthMiddleware, JWTProvider
from asgi_llmgate.auth.keys.key_set import jws_registry
from asgi_llmgate.net import Fetched, OAuthClient

KEY = jwk.OKPKey.generate_key("Ed25519", {"kid": "k", "use": "sig"}, private=True)
SCOPE = "a-scope-that-nobody-hits-by-chance"
TIME = 1_800_000_000
CLAIMS = {
    "iss": "https://idp.test",
    "aud": "llm",
    "sub": "a",
    "exp": TIME + 60,
    "iat": TIME,
    "azp": "web",
    "scope": "x",
}

SEEDS = [
    b"Bearer eyJhbGciOiJSUzI1NiJ9.e30.AA",
    b'{"alg":"EdDSA","kid":"k","typ":"JWT"}\n' + json.dumps(CLAIMS).encode(),
    b'{"alg":"EdDSA","kid":"k","crit":["b64"],"b64":false}\n{"iss":"https://idp.test"}',
    b'{"alg":"none"}\n{"iss":"https://idp.test","exp":1e400}',
    json.dumps({**CLAIMS, "active": True}).encode(),
    b'{"active":false}',
]
TOKENS = [
    b'"alg":"HS256"',
    b'"exp":',
    b'"nbf":-1',
    b'"typ":"ID"',
    b'"cnf":{}',
    b"\\ud800",
    b"1e309",
    b"[[",
    b"{",
    b"}",
    b".",
]
AT_ONCE = 1


class _Provider:
    """The introspection endpoint, which says what the fuzzer says."""

    said = b""

    async def fetch(self, url: str, **options: Any) -> Fetched:
        return Fetched(200, {}, self.said)


async def _inner(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("somebody was let through")


_provider = _Provider()
_layer = JWTAuthMiddleware(
    _inner,
    providers=[
        JWTProvider(
            issuers=["https://idp.test"],
            audiences=["llm"],
            jwks={"keys": [KEY.as_dict(private=False)]},
            required_scopes=[SCOPE],
            introspection=Introspection("https://idp.test/introspect", OAuthClient("gateway")),
        )
    ],
    client=_provider,  # type: ignore[arg-type]
    now=lambda: float(TIME),
)


def target(data: bytes) -> None:
    """The first byte says what the rest is: a header's value, a token's two parts, or what the provider says."""
    if len(data) < 2:
        return
    kind, rest = data[0] % 3, data[2:]
    if kind == 0:
        value = rest
    elif kind == 1:
        value = b"Bearer " + _signed(*rest.partition(b"\n")[::2])
    else:
        _provider.said = rest
        value = b"Bearer opaque-%d" % hash(rest)  # no other input's token, whose answer is still remembered
    status = asyncio.run(_status(value))
    assert status in (401, 403, 503), status


def _signed(header: bytes, claims: bytes) -> bytes:
    message = urlsafe_b64encode(header) + b"." + urlsafe_b64encode(claims)
    return message + b"." + urlsafe_b64encode(jws_registry().algorithms["EdDSA"].sign(message, KEY))


async def _status(value: bytes) -> int:
    started: list[int] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            started.append(message["status"])

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"authorization", value)]}
    await _layer(scope, receive, send)
    [status] = started
    return status
