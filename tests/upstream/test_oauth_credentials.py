"""Credentials of model servers that an identity provider gives out."""

from __future__ import annotations

import asyncio
import json
import re
import traceback
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from joserfc import jwk, jwt

from asgi_llmgate.errors import (
    AuthenticationFailed,
    CredentialRefused,
    CredentialUnavailable,
    GateError,
    NotAuthorized,
    SettingsError,
)
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.exchange_values import Identity
from asgi_llmgate.net import CallableSource, HTTPClient, OAuthClient, StaticSecret
from asgi_llmgate.protocol.servers.dialects import DIALECTS
from asgi_llmgate.secret_values import Secret
from asgi_llmgate.upstream import Backend, ClientCredentials, TokenExchange, Upstream
from asgi_llmgate.upstream.oauth_credentials import _lifetime
from tests.helpers.token_server import Asked, TokenServer

OUR_SECRET = "our p+ss:word%"
CALLERS_TOKEN = "the-callers-own-token"


def caller(token: str | None = CALLERS_TOKEN, **claims: Any) -> Exchange:
    exchange = Exchange(identity=Identity("alice", "https://idp.test", "idp", {"sub": "alice", **claims}))
    exchange.token = None if token is None else Secret(token)
    return exchange


def us(method: Any = "basic", secret: str = OUR_SECRET) -> OAuthClient:
    return OAuthClient("the gateway:1", StaticSecret(Secret(secret)), method)


@pytest.fixture
async def http(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[HTTPClient]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    client = HTTPClient()
    yield client
    await client.aclose()


@pytest.fixture
def server() -> TokenServer:
    return TokenServer()


@pytest.fixture
def make(server: TokenServer, serve: Callable[..., str], http: HTTPClient) -> Callable[..., Any]:
    url = serve(server) + "/token"

    def made(kind: Any, client: OAuthClient | None = None, **options: Any) -> Any:
        return kind(**{"token_url": url, "client": client or us(), "http": http, **options})

    return made


async def test_the_gateways_own_token_is_asked_for_once(make: Any, server: TokenServer) -> None:
    source = make(ClientCredentials, scope="models", audience="https://models.test", parameters={"tenant": "acme"})
    given = await asyncio.gather(*(source.get(caller(sub=str(number))) for number in range(20)))
    assert {secret.reveal() for secret in given} == {"issued-1"}
    [asked] = server.asked
    assert asked.form == {
        "grant_type": "client_credentials",
        "scope": "models",
        "audience": "https://models.test",
        "tenant": "acme",
    }
    assert asked.basic == ("the gateway:1", OUR_SECRET)


async def test_the_secret_may_go_into_the_form(make: Any, server: TokenServer) -> None:
    await make(ClientCredentials, us("post")).get(caller())
    assert server.asked[0].authorization == ""
    assert server.asked[0].form["client_secret"] == OUR_SECRET


async def test_a_public_client_has_only_its_name(make: Any, server: TokenServer) -> None:
    await make(ClientCredentials, OAuthClient("public")).get(caller())
    assert server.asked[0].form == {"grant_type": "client_credentials", "client_id": "public"}


async def test_an_assertion_of_somebody_elses_is_passed_on(make: Any, server: TokenServer) -> None:
    await make(ClientCredentials, us("assertion", "kubernetes-token")).get(caller())
    assert server.asked[0].form == {
        "grant_type": "client_credentials",
        "client_id": "the gateway:1",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": "kubernetes-token",
    }


@pytest.mark.parametrize("form", ["jwk", "pem"])
@pytest.mark.parametrize(
    ("kind", "size", "algorithm"),
    [("RSA", 2048, "RS256"), ("EC", "P-256", "ES256"), ("EC", "P-384", "ES384"), ("OKP", "Ed25519", "EdDSA")],
)
@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
async def test_a_private_key_signs_an_assertion_for_each_request(
    make: Any, server: TokenServer, form: str, kind: Any, size: Any, algorithm: str
) -> None:
    key = jwk.JWKRegistry.generate_key(kind, size, {"kid": "gateway-key"}, private=True)
    secret = json.dumps(key.as_dict(private=True)) if form == "jwk" else key.as_pem(private=True).decode()
    await make(ClientCredentials, us("private_key_jwt", secret)).get(caller())
    [asked] = server.asked
    token = jwt.decode(asked.form["client_assertion"], key, algorithms=[algorithm])
    assert token.header.get("kid") == ("gateway-key" if form == "jwk" else None)
    assert (token.claims["iss"], token.claims["sub"]) == ("the gateway:1", "the gateway:1")
    assert token.claims["aud"].endswith("/token")
    assert "client_secret" not in asked.form


PUBLIC = jwk.ECKey.generate_key("P-256", private=False)


@pytest.mark.parametrize(
    "secret",
    [
        "not a key at all",
        "{}",
        '{"kty":"oct","k":"c2VjcmV0LXNlY3JldC1zZWNyZXQ"}',
        json.dumps(PUBLIC.as_dict()),
        PUBLIC.as_pem(False).decode(),
    ],
    ids=["none", "empty", "a password", "a public JWK", "a public PEM"],
)
async def test_a_key_that_is_none_is_told_without_it(make: Any, server: TokenServer, secret: str) -> None:
    with pytest.raises(CredentialUnavailable) as caught:
        await make(ClientCredentials, us("private_key_jwt", secret)).get(caller())
    assert caught.value.detail == "the client's private key is neither a JWK nor PEM"
    assert server.asked == []


async def test_the_callers_token_is_exchanged(make: Any, server: TokenServer) -> None:
    source = make(TokenExchange, audience="models")
    assert (await source.get(caller())).reveal() == "issued-1"
    assert server.asked[0].form == {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "audience": "models",
        "subject_token": CALLERS_TOKEN,
        "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
    }


async def test_entra_is_asked_in_its_own_form(make: Any, server: TokenServer) -> None:
    await make(TokenExchange, us("post"), style="on_behalf_of", scope="api://models/.default").get(caller())
    assert server.asked[0].form == {
        "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "scope": "api://models/.default",
        "assertion": CALLERS_TOKEN,
        "requested_token_use": "on_behalf_of",
        "client_id": "the gateway:1",
        "client_secret": OUR_SECRET,
    }


async def test_one_person_with_the_same_rights_is_asked_for_once(make: Any, server: TokenServer) -> None:
    source = make(TokenExchange)
    first = caller(exp=1, iat=0, jti="a", roles=["dev"], odd=10**400)
    renewed = caller("a-newer-token", jti="b", odd=10**400, roles=["dev"], iat=5, exp=9)
    assert (await source.get(first)).reveal() == (await source.get(renewed)).reveal()
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "other",
    [caller(sub="bob"), caller(scope="less"), caller(roles=["dev", "admin"]), Exchange(identity=Identity("alice"))],
    ids=["another person", "another scope", "another role", "another provider"],
)
async def test_other_rights_are_never_served_from_somebody_elses(
    make: Any, server: TokenServer, other: Exchange
) -> None:
    source = make(TokenExchange)
    other.token = Secret("another-token")
    assert (await source.get(caller(roles=["dev"]))).reveal() == "issued-1"
    assert (await source.get(other)).reveal() == "issued-2"
    assert server.asked[1].form["subject_token"] == "another-token"


def known(subject: str = "alice", issuer: str = "https://idp.test", provider: str = "idp", **claims: Any) -> Identity:
    return Identity(subject, issuer, provider, claims)


OPAQUE = {"active": True, "client_id": "claude", "iss": "https://idp.test", "scope": "llm"}
"""What an introspection says that leaves `sub` out (RFC 7662 section 2.2)."""

NESTED: list[Any] = []
for _ in range(200_000):  # Python 3.13 writes ten thousand
    NESTED = [NESTED]

STRANGERS: dict[str, tuple[Identity, Identity]] = {
    "no subject": (known("", **OPAQUE), known("", **OPAQUE)),
    "no subject, no claims": (known(""), known("")),
    "a blank subject": (known(" ", sub=" "), known(" ", sub=" ")),
    "a subject of line breaks": (known("\n", sub="\n"), known("\n", sub="\n")),
    "an empty subject": (known("", sub=""), known("", sub="")),
    "a subject that is null": (known("", sub=None), known("", sub=None)),
    "a subject that is a number": (known("", sub=7), known("", sub=7)),
    "a subject that is a list": (known("", sub=["alice"]), known("", sub=["alice"])),
    "a subject in front of white space": (known("alice"), known("alice ")),
    "a subject in another case": (known("alice"), known("Alice")),
    "the same subject at another issuer": (known(), known(issuer="https://other.test")),
    "an issuer with a slash more": (known(), known(issuer="https://idp.test/")),
    "the same subject at another provider": (known(), known(provider="other")),
    "parts that join alike": (known("c", "b", "a"), known("bc", "", "a")),
    "a provider that ends as an issuer begins": (known("s", "b", "ab"), known("s", "bb", "a")),
    "no issuer": (known(issuer=""), known(issuer="")),
    "no provider": (known(provider=""), known(provider="")),
    "nobody": (Identity(), Identity()),
    "a host's session": (known("", "", "session", sub="alice"), known("", "", "session", sub="alice")),
    "claims that are no JSON": (known(when=1j), known(when=1j)),
    "claims nested deeper than JSON is written": (known(x=NESTED), known(x=NESTED)),
    "claims under names that are no texts": (known(a={1: "x", "b": 2}), known(a={1: "x", "b": 2})),
    "one scope less": (known(scope="a b"), known(scope="a")),
    "true and one": (known(admin=True), known(admin=1)),
    "another client": (known(azp="claude"), known(azp="curl")),
    "somebody acting for her": (known(), known(act={"sub": "bob"})),
    "a digest for a name": (known("", **OPAQUE), known("token", "token", "token")),
}


@pytest.mark.parametrize("pair", STRANGERS.values(), ids=STRANGERS)
async def test_two_tokens_that_may_be_two_peoples_never_share_an_exchange(
    make: Any, server: TokenServer, pair: tuple[Identity, Identity]
) -> None:
    source = make(TokenExchange)
    calls = [Exchange(identity=identity, token=Secret(f"token-{n}")) for n, identity in enumerate(pair)]
    assert [(await source.get(call)).reveal() for call in calls] == ["issued-1", "issued-2"]
    assert [asked.form["subject_token"] for asked in server.asked] == ["token-0", "token-1"]
    assert [(await source.get(call)).reveal() for call in calls] == ["issued-1", "issued-2"], "each again its own"
    assert len(server.asked) == 2


async def test_a_token_without_a_subject_keeps_its_exchange(make: Any, server: TokenServer) -> None:
    source = make(TokenExchange)
    for _ in range(3):
        assert (await source.get(Exchange(identity=known("", **OPAQUE), token=Secret("a")))).reveal() == "issued-1"
    assert len(server.asked) == 1


async def test_without_a_token_there_is_nothing_to_exchange(make: Any, server: TokenServer) -> None:
    with pytest.raises(AuthenticationFailed, match="this model can be used with a token only"):
        await make(TokenExchange).get(caller(None))
    assert server.asked == []


REFUSALS = [
    (ClientCredentials, 401, {"error": "invalid_client"}, CredentialRefused, "401 invalid_client"),
    (ClientCredentials, 400, {"error": "invalid_grant"}, CredentialRefused, "400 invalid_grant"),
    (TokenExchange, 401, {"error": "invalid_client"}, CredentialRefused, "401 invalid_client"),
    (TokenExchange, 400, {"error": "invalid_target"}, CredentialRefused, "400 invalid_target"),
    (TokenExchange, 400, {}, CredentialRefused, "400"),
    (TokenExchange, 400, b"<html>", CredentialRefused, "400"),
    (TokenExchange, 400, {"error": "bad\ncode"}, CredentialRefused, "400"),
    (TokenExchange, 403, {"error": "access_denied"}, NotAuthorized, "403 access_denied"),
    (TokenExchange, 400, {"error": "invalid_request"}, NotAuthorized, "400 invalid_request"),
    (
        TokenExchange,
        400,
        {"error": "invalid_grant", "error_description": "AADSTS50076: use multi-factor\nauthentication"},
        NotAuthorized,
        r"400 invalid_grant: AADSTS50076: use multi-factor\nauthentication",
    ),
    (TokenExchange, 500, {"error": "server_error"}, CredentialUnavailable, "responded with 500"),
    (TokenExchange, 429, b"", CredentialUnavailable, "responded with 429, not a JSON object"),
    (TokenExchange, 302, b"", CredentialUnavailable, "responded with 302, not a JSON object"),
    (TokenExchange, 200, b"[1]", CredentialUnavailable, "responded with 200, not a JSON object"),
    (TokenExchange, 200, {}, CredentialUnavailable, "no access_token"),
    (TokenExchange, 200, {"access_token": ""}, CredentialUnavailable, "no access_token"),
    (TokenExchange, 200, {"access_token": 5}, CredentialUnavailable, "no access_token"),
    (TokenExchange, 200, {"access_token": "a\r\nx: y"}, CredentialUnavailable, "no access_token"),
    (TokenExchange, 200, {"access_token": "a", "token_type": "DPoP"}, CredentialUnavailable, "not a bearer token"),
]


@pytest.mark.parametrize(
    ("kind", "status", "content", "error", "detail"), REFUSALS, ids=[f"{row[1]}-{row[2]}"[:50] for row in REFUSALS]
)
async def test_a_refusal_is_told_as_whose_fault_it_is(
    make: Any, server: TokenServer, kind: Any, status: int, content: Any, error: type[GateError], detail: str
) -> None:
    server.answer = lambda asked: (status, content)
    with pytest.raises(error) as caught:
        await make(kind).get(caller())
    assert type(caught.value) is error
    assert caught.value.detail.endswith(detail) or detail in caught.value.detail


members = st.sampled_from(["access_token", "token_type", "expires_in", "error", "error_description", "scope"])
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just("Bearer")
answers = st.dictionaries(members, scalars | st.lists(scalars, max_size=2) | st.dictionaries(members, scalars))


@settings(max_examples=100, deadline=None)
@given(status=st.sampled_from([200, 400, 401, 403, 404, 500]), content=answers)
@example(status=200, content={"access_token": "good", "expires_in": 10**400})
@example(status=200, content={"access_token": "good", "expires_in": "3600"})
@example(status=400, content={"error": "\ud800", "error_description": "\ud800"})
async def test_any_answer_is_a_token_or_told_in_our_words(status: int, content: dict[str, Any]) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, content=json.dumps(content).encode())

    http = HTTPClient(transport=httpx.MockTransport(handler))
    source = TokenExchange(token_url="https://idp.test/token", client=us(), http=http)
    try:
        assert (await source.get(caller())).reveal() == content["access_token"]
    except GateError:
        assert status != 200 or content.get("access_token") != "good"


@pytest.mark.parametrize(
    "piece", [slice(0, 8), slice(0, 20), slice(-12, None), slice(10, 30), slice(0, -1)], ids=lambda piece: str(piece)
)
async def test_no_piece_of_a_token_is_repeated(make: Any, server: TokenServer, piece: slice) -> None:
    token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJlLW9mLWFsaWNl"
    said = {"error": "invalid_grant", "error_description": f"the token '{token[piece]}...' is no good"}
    server.answer = lambda asked: (400, said)
    with pytest.raises(GateError) as caught:
        await make(TokenExchange).get(Exchange(identity=known(), token=Secret(token)))
    assert "[redacted]" in caught.value.detail
    assert "is no good" in caught.value.detail
    for run in token[piece].split("."):
        assert len(run) < 8 or run not in caught.value.detail


@pytest.mark.parametrize("kind", [ClientCredentials, TokenExchange])
@pytest.mark.parametrize("method", ["basic", "post"])
async def test_what_was_sent_is_not_repeated_by_a_provider_that_repeats_it(
    make: Any, server: TokenServer, kind: Any, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    def repeat(asked: Asked) -> tuple[int, Any]:
        token, header = asked.form.get("subject_token"), asked.authorization
        return 400, {"error": "invalid_grant", "error_description": f"{OUR_SECRET} {token} {header} {asked}"}

    server.answer = repeat
    source = make(kind, us(method))
    with pytest.raises(GateError) as caught:
        await source.get(caller())
    seen = "".join([*traceback.format_exception(caught.value), repr(vars(caught.value)), caplog.text, repr(source)])
    assert "invalid_grant" in seen
    sent = server.asked[0].authorization.removeprefix("Basic ") or OUR_SECRET
    for secret in (OUR_SECRET, CALLERS_TOKEN, sent):
        assert secret not in seen


async def test_a_provider_that_is_away_is_a_503_that_names_no_address_to_the_caller(http: HTTPClient) -> None:
    source = ClientCredentials(token_url="http://127.0.0.1:1/token", client=us(), http=http)
    with pytest.raises(CredentialUnavailable) as caught:
        await source.get(caller())
    assert caught.value.message == "the credential for the model server cannot be obtained now"
    assert caught.value.detail == "http://127.0.0.1:1/token: the server refused the connection"


class Model:
    """A model server that accepts some keys, as an ASGI app."""

    def __init__(self, *good: str, key_header: str = "authorization") -> None:
        self.good = set(good)
        self.key_header = key_header.encode()
        self.shown: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.shown.append(dict(scope["headers"]).get(self.key_header, b"").decode())
        status = 200 if self.shown[-1] in self.good else 401
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})


async def asked(upstream: Upstream) -> None:
    """One call on its way; raises what it raises."""
    async with await upstream.forward("POST", "/chat/completions", "", [], b"{}", caller()):
        pass


async def test_a_token_that_the_model_server_refuses_is_renewed_and_tried_once_more(
    make: Any, serve: Any, http: HTTPClient, server: TokenServer
) -> None:
    now = [0.0]
    source = make(ClientCredentials, clock=lambda: now[0])
    model = Model("Bearer issued-2")
    upstream = Upstream(Backend(base_url=serve(model), api_key=source), http)
    with pytest.raises(CredentialRefused):
        await asked(upstream)
    now[0] = 60.0
    await asked(upstream)
    assert model.shown == ["Bearer issued-1", "Bearer issued-1", "Bearer issued-2"]
    model.good.clear()
    for _ in range(5):
        with pytest.raises(CredentialRefused):
            await asked(upstream)
    assert len(server.asked) == 2


async def test_a_token_goes_where_tokens_go_whatever_the_servers_keys_do(
    make: Any, serve: Any, http: HTTPClient
) -> None:
    assert DIALECTS["azure"].key_header != "authorization"
    backend = Backend(
        base_url=serve(Model("Bearer issued-1")), dialect=DIALECTS["azure"], api_key=make(ClientCredentials)
    )
    await asked(Upstream(backend, http))


async def given_later(exchange: Exchange) -> Secret:
    return Secret(f"key-of-{exchange.identity.subject}")


def broken(exchange: Exchange) -> str:
    raise RuntimeError("vault: Bearer abcdefghijkl is expired")


@pytest.mark.parametrize(
    "function", [lambda exchange: f"key-of-{exchange.identity.subject}", given_later], ids=["at once", "later"]
)
async def test_a_function_may_give_the_key(function: Any) -> None:
    assert (await CallableSource(function).get(caller())).reveal() == "key-of-alice"


@pytest.mark.parametrize(
    ("function", "detail"),
    [
        (broken, "RuntimeError: vault: [redacted] is expired"),
        (lambda exchange: None, "the function gave NoneType and not a text"),
        (lambda exchange: "", "the function gave Secret and not a text"),
    ],
    ids=["raises", "nothing", "empty"],
)
async def test_a_function_that_gives_none_is_a_503(function: Any, detail: str) -> None:
    with pytest.raises(CredentialUnavailable) as caught:
        await CallableSource(function).get(caller())
    assert caught.value.detail == detail


async def test_a_function_may_refuse_in_words_of_its_own() -> None:
    def function(exchange: Exchange) -> str:
        raise NotAuthorized("your team has no key")

    with pytest.raises(NotAuthorized, match="your team has no key"):
        await CallableSource(function).get(caller())


def test_secrets_are_not_sent_in_the_clear(http: HTTPClient) -> None:
    with pytest.raises(SettingsError, match=re.escape("token_url: an https URL is needed")):
        ClientCredentials(token_url="http://idp.test/token", client=us(), http=http)


@pytest.mark.parametrize(
    ("expires_in", "seconds"),
    [(1, 1.0), (0.5, 0.5), ("3600", 3600.0), (10**9 - 1, 10**9 - 1), (0, None), (-1, None), (10**9, None), ("x", None)],
)
def test_a_lifetime_is_a_number_of_seconds_that_can_be_true(expires_in: Any, seconds: float | None) -> None:
    assert _lifetime({"expires_in": expires_in}) == seconds
