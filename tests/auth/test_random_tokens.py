"""No input raises anything but a refusal, and none is accepted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from asgi_llmgate.auth import Introspection, JWTAuthMiddleware, JWTProvider, TokenRefused, Verifier
from asgi_llmgate.auth.keys.key_set import read_keys
from asgi_llmgate.errors import Refusal
from asgi_llmgate.net import Fetched, OAuthClient
from asgi_llmgate.testing.driver import call

quickly = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
header_names = st.sampled_from(
    ["alg", "kid", "typ", "cty", "crit", "b64", "jwk", "jku", "x5c", "x5u", "x5t", "enc", "zip", "nonce"]
)
headers = st.dictionaries(
    header_names | st.text(max_size=5), values | st.sampled_from(["none", "HS256", "ES256", "rsa", "ec"]), max_size=5
)
claim_names = st.sampled_from(
    [
        "iss",
        "aud",
        "sub",
        "exp",
        "nbf",
        "iat",
        "jti",
        "scope",
        "scp",
        "azp",
        "tid",
        "typ",
        "token_use",
        "nonce",
        "events",
        "hd",
    ]
)
claims = st.dictionaries(claim_names | st.text(max_size=5), values, max_size=6)


@pytest.fixture(scope="module")
def strict(published: Any) -> JWTProvider:
    return JWTProvider(
        issuers=["https://idp.test"],
        audiences=["llm"],
        jwks=published,
        required_values={"hd": ["acme.test"]},
        required_scopes=["llm"],
        client_ids=["web"],
        max_lifetime=3600,
    )


async def no_network(url: str, **options: Any) -> Any:
    raise AssertionError("nothing is fetched")


async def refused(verifier: Verifier, token: str) -> None:
    with pytest.raises(Refusal):
        await verifier.verify(token)


@quickly
@given(text=st.text(max_size=200) | st.text("eyJhbGc.=-_+/", max_size=200))
async def test_any_text(text: str, strict: JWTProvider) -> None:
    await refused(Verifier([strict], fetch=no_network), text)


@quickly
@given(parts=st.lists(st.binary(max_size=60), min_size=3, max_size=3))
async def test_any_bytes_in_the_parts(parts: list[bytes], strict: JWTProvider) -> None:
    import base64

    await refused(
        Verifier([strict], fetch=no_network),
        b".".join(base64.urlsafe_b64encode(p).rstrip(b"=") for p in parts).decode(),
    )


@quickly
@given(header=headers, changes=claims)
@example(header={"crit": 5}, changes={})
@example(header={}, changes={"typ": []})
@example(header={}, changes={"exp": 10**400, "iat": -1.5})
@example(header={}, changes={"azp": {}, "scope": [[]]})
async def test_any_header_and_claims_signed_by_the_right_key(
    header: dict[str, Any], changes: dict[str, Any], strict: JWTProvider, forge: Any, clock: Any
) -> None:
    """Everything is as it must be but the scope, which no example can hit by chance."""
    base = {"hd": "acme.test", "azp": "web", "exp": int(clock()) + 60, **changes}
    head = json.dumps({"alg": "RS256", "kid": "rsa", **header}).encode()
    body = json.dumps(forge.claims(**base)).encode()
    await refused(Verifier([strict], fetch=no_network, now=clock), forge.token(head, body, sign_as="RS256"))


@quickly
@given(value=st.binary(max_size=100) | st.binary(max_size=60).map(lambda tail: b"Bearer " + tail))
async def test_any_authorization_header(value: bytes, strict: JWTProvider) -> None:
    async def never(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("let through")

    reply = await call(
        JWTAuthMiddleware(never, providers=[strict]), "GET", "/", scope={"headers": [(b"authorization", value)]}
    )
    assert reply.status == 401


def introspecting(says: Any, **options: Any) -> Verifier:
    async def fetch(url: str, **sent: Any) -> Fetched:
        return Fetched(200, {}, json.dumps(says).encode())

    how = Introspection("https://idp.test/introspect", OAuthClient("gateway"))
    provider = JWTProvider(
        issuers=["https://idp.test"], audiences=["llm"], jwks={"keys": []}, introspection=how, **options
    )
    return Verifier([provider], fetch=fetch)


@quickly
@given(text=st.text(max_size=200) | st.text("eyJhbGc.=-_+/", max_size=200))
async def test_any_text_that_the_provider_does_not_know(text: str) -> None:
    await refused(introspecting({"active": False}), text)


@quickly
@given(
    says=st.dictionaries(claim_names | st.just("active") | st.text(max_size=5), values, max_size=6), good=st.booleans()
)
@example(says={"exp": 10**400, "iat": -1.5}, good=True)
@example(says={"iss": [], "aud": {}}, good=True)
async def test_any_answer_about_an_opaque_token(says: dict[str, Any], good: bool) -> None:
    """Everything may be as it must but the scope, which no example can hit by chance."""
    base = {"active": True, "aud": "llm", "exp": 2**33, "sub": "alice"} if good else {}
    await refused(introspecting({**base, **says}, required_scopes=["llm"]), "opaque")


@quickly
@given(
    entries=st.lists(
        values
        | st.dictionaries(
            st.sampled_from(["kty", "kid", "use", "alg", "crv", "n", "e", "x", "y", "d", "key_ops", "x5c"]),
            values | st.sampled_from(["RSA", "EC", "OKP", "oct", "P-256", "Ed25519", "sig", "AQAB", "AQ"]),
        ),
        max_size=4,
    )
)
def test_any_key_set(entries: list[Any]) -> None:
    assert read_keys({"keys": entries}, origin="fuzz").usable == ()


@quickly
@given(position=st.integers(0, 10_000), replacement=st.sampled_from("ABCxyz012-_.="))
async def test_one_character_other_than_in_a_good_token(
    position: int, replacement: str, forge: Any, clock: Any, published: Any
) -> None:
    token = GOOD.setdefault("token", forge.token(key="ec"))
    place = position % len(token)
    provider = JWTProvider(issuers=["https://idp.test"], audiences=["llm"], jwks=published)
    verifier = Verifier([provider], fetch=no_network, now=clock)
    changed = token[:place] + replacement + token[place + 1 :]
    if changed == token:
        assert (await verifier.verify(token)).is_authenticated
    else:
        with pytest.raises(TokenRefused):
            await verifier.verify(changed)


GOOD: dict[str, str] = {}
