"""Where a token may be, what each mode does without a good one, and what the app behind gets to see."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from asgi_llmgate.auth import JWTAuthMiddleware
from asgi_llmgate.errors import SettingsError
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.exchange_values import ANONYMOUS, Identity
from asgi_llmgate.rule_variables import claims_of
from asgi_llmgate.testing.driver import call, http_scope

NO_TOKEN = "authentication failure: no bearer token found"
BAD_HEADER = "authentication failure: the authorization header is malformed; check the token that your client sends"
CROSS_SITE = "authentication failure: a cookie counts only on a same-origin request"
EXPIRED = "authentication failure: token expired"


class Inner:
    """An app that answers 204 and keeps what it was called with."""

    def __init__(self) -> None:
        self.scopes: list[Any] = []
        self.token = ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        if "llmgate" in scope and (token := Exchange.of(scope).token) is not None:
            self.token = token.reveal()
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})

    @property
    def exchange(self) -> Exchange:
        return Exchange.of(self.scopes[-1])

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.scopes[-1]["headers"])


@pytest.fixture
def inner() -> Inner:
    return Inner()


@pytest.fixture
def layer(inner: Inner, web: Any, clock: Any, provider: Any) -> Any:
    def make(**options: Any) -> JWTAuthMiddleware:
        return JWTAuthMiddleware(inner, **{"providers": [provider()], "client": web, "now": clock, **options})

    return make


async def told(app: Any, *headers: tuple[str, str], method: str = "POST", **options: Any) -> tuple[int, str]:
    reply = await call(app, method, "/v1/messages", headers=headers, **options)
    return reply.status, reply.json()["error"]["message"] if reply.body else ""


async def test_a_good_token_says_who_calls(layer: Any, inner: Inner, forge: Any) -> None:
    token = forge.token()
    assert await told(layer(), ("authorization", f"Bearer {token}")) == (204, "")
    assert inner.exchange.identity.subject == "alice"
    assert inner.token == token
    assert inner.exchange.token is None
    assert token not in repr(inner.exchange)


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER ", "Bearer   "])
async def test_the_scheme_is_read_like_rfc_9110_says(scheme: str, layer: Any, forge: Any) -> None:
    assert (await told(layer(), ("authorization", scheme + forge.token())))[0] == 204


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic YWxpY2U6c2VjcmV0",
        "Token abc",
        "abc.def.ghi",
        "Bearerabc",
        "Bearer: abc",
        "Bearer a b",
        "Bearer a,b",
        "Bearer a\tb",
        "Bearer\tabc",
        " Bearer abc",
        "Bearer a\x00b",
        "Bearer a\x7fb",
        "Bearer a\nb",
        "Bearer ä",
        "Bearer 'abc'",
        'Bearer "abc"',
        "Bearer a%2Eb",
        "Bearer Bearer abc",
        "Bearer <script>",
        "Negotiate, Bearer abc",
    ],
)
async def test_a_header_that_holds_no_bearer_token_is_malformed(value: str, layer: Any, inner: Inner) -> None:
    assert await told(layer(), ("authorization", value)) == (401, BAD_HEADER)
    assert inner.scopes == []


@pytest.mark.parametrize("same", [True, False])
async def test_two_authorization_headers_are_one_too_many(same: bool, layer: Any, forge: Any) -> None:
    first, second = forge.token(), forge.token(claims={"sub": "bob"})
    headers = [("authorization", f"Bearer {token}") for token in (first, first if same else second)]
    assert await told(layer(), *headers) == (401, BAD_HEADER)


async def test_without_a_token_the_challenge_names_no_error(layer: Any) -> None:
    reply = await call(layer(), "POST", "/v1/messages")
    assert reply.json()["error"] == {"type": "authentication_error", "message": NO_TOKEN}
    assert (reply.status, reply.headers["www-authenticate"], reply.headers["x-should-retry"]) == (
        401,
        "Bearer",
        "false",
    )


@pytest.mark.parametrize(
    ("token", "challenge"),
    [
        ("", 'Bearer resource_metadata="https://gate.test/x"'),
        ("a.b.c", 'Bearer error="invalid_token", resource_metadata="https://gate.test/x"'),
    ],
)
async def test_the_challenge_says_where_a_token_can_be_had(token: str, challenge: str, layer: Any) -> None:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    reply = await call(layer(resource_metadata="https://gate.test/x"), "POST", "/", headers=headers)
    assert reply.headers["www-authenticate"] == challenge


async def test_a_lone_x_api_key_is_no_token_and_the_answer_says_why(layer: Any, forge: Any) -> None:
    status, text = await told(layer(), ("x-api-key", forge.token()))
    assert (status, text) == (
        401,
        f"{NO_TOKEN} (an API key is not a token: set ANTHROPIC_AUTH_TOKEN or apiKeyHelper, and no ANTHROPIC_API_KEY)",
    )


async def test_an_unnamed_x_api_key_does_not_matter_beside_a_token(layer: Any, forge: Any) -> None:
    headers = [("authorization", f"Bearer {forge.token()}"), ("x-api-key", "something else")]
    assert (await told(layer(), *headers))[0] == 204


@pytest.mark.parametrize(
    ("sources", "header"),
    [
        (["x-api-key"], "x-api-key"),
        (["authorization", "x-api-key"], "x-api-key"),
        (["header:Cf-Access-Jwt-Assertion"], "cf-access-jwt-assertion"),
    ],
)
async def test_a_named_header_holds_the_bare_token(sources: Any, header: str, layer: Any, forge: Any) -> None:
    app = layer(token_sources=sources)
    assert (await told(app, (header, forge.token())))[0] == 204
    assert await told(app, (header, f"Bearer {forge.token()}")) == (401, BAD_HEADER)


async def test_a_place_that_is_not_named_is_not_read(layer: Any, forge: Any) -> None:
    app = layer(token_sources=["header:x-token"])
    assert await told(app, ("authorization", f"Bearer {forge.token()}")) == (401, NO_TOKEN)
    assert await told(app, ("cookie", f"session={forge.token()}")) == (401, NO_TOKEN)


async def test_the_query_is_never_read(layer: Any, forge: Any) -> None:
    assert await told(layer(), query=f"access_token={forge.token()}") == (401, NO_TOKEN)


async def test_two_places_may_hold_one_token_but_not_two(layer: Any, forge: Any) -> None:
    app, token = layer(token_sources=["authorization", "x-api-key"]), forge.token()
    assert (await told(app, ("authorization", f"Bearer {token}"), ("x-api-key", token)))[0] == 204
    other = ("x-api-key", forge.token(claims={"sub": "bob"}))
    assert await told(app, ("authorization", f"Bearer {token}"), other) == (401, BAD_HEADER)


@pytest.mark.parametrize("cookie", ["session={}", "a=b; session={}; c=d", 'session="{}"', "session={}; session={}"])
async def test_a_cookie_can_be_named(cookie: str, layer: Any, forge: Any) -> None:
    app, token = layer(token_sources=["cookie:session"]), forge.token()
    headers = [("cookie", cookie.format(token, token)), ("content-type", "application/json")]
    assert (await told(app, *headers))[0] == 204


async def test_two_cookies_of_one_name_must_agree(layer: Any, forge: Any) -> None:
    app = layer(token_sources=["cookie:session"])
    both = f"session={forge.token()}; session={forge.token(claims={'sub': 'bob'})}"
    assert await told(app, ("cookie", both), ("content-type", "application/json")) == (401, BAD_HEADER)


JSON = ("content-type", "application/json; charset=utf-8")


@pytest.mark.parametrize(
    ("method", "headers", "good"),
    [
        ("POST", [JSON], True),
        ("POST", [JSON, ("sec-fetch-site", "same-origin")], True),
        ("POST", [JSON, ("sec-fetch-site", "none")], True),
        ("POST", [JSON, ("origin", "https://gate.test")], True),
        ("GET", [], True),
        ("POST", [], False),
        ("POST", [("content-type", "text/plain")], False),
        ("POST", [("content-type", "application/x-www-form-urlencoded")], False),
        ("POST", [("content-type", "text/plain; application/json")], False),
        ("POST", [JSON, ("sec-fetch-site", "cross-site")], False),
        ("POST", [JSON, ("sec-fetch-site", "same-site")], False),
        ("POST", [JSON, ("sec-fetch-site", "cross-site"), ("origin", "https://gate.test")], False),
        ("POST", [JSON, ("origin", "https://evil.test")], False),
        ("POST", [JSON, ("origin", "https://gate.test.evil.test")], False),
        ("POST", [JSON, ("origin", "https://gate.test:8443")], False),
        ("POST", [JSON, ("origin", "null")], False),
        ("POST", [JSON, ("origin", "https://[")], False),
        ("GET", [("sec-fetch-site", "cross-site")], False),
        *(
            ("POST", [JSON, *pair], False)  # which of two counts is another matter for each who reads them
            for good, evil in (
                (("origin", "https://gate.test"), ("origin", "https://evil.test")),
                (("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")),
                (("host", "gate.test"), ("host", "evil.test")),
                (("content-type", "application/json"), ("content-type", "text/plain")),
            )
            for pair in ((good, evil), (evil, good), (good, good))
        ),
    ],
    ids=str,
)
async def test_a_cookie_counts_only_where_no_foreign_page_can_have_sent_it(
    method: str, headers: Any, good: bool, layer: Any, forge: Any
) -> None:
    app = layer(token_sources=["authorization", "cookie:session"])
    status, text = await told(app, ("cookie", f"session={forge.token()}"), *headers, method=method)
    assert status == (204 if good else 403)
    assert good or text.startswith(CROSS_SITE)


async def test_a_cookie_is_not_asked_where_a_header_has_the_token(layer: Any, inner: Inner, forge: Any) -> None:
    app = layer(token_sources=["authorization", "cookie:session"])
    headers = [("authorization", f"Bearer {forge.token()}"), ("cookie", "session=x"), ("sec-fetch-site", "cross-site")]
    assert (await told(app, *headers))[0] == 204


MODES = {
    #               no token  bad token  good token
    "strict": (401, 401, 204),
    "optional": (204, 401, 204),
    "permissive": (204, 204, 204),
    "off": (204, 204, 204),
}


@pytest.mark.parametrize("mode", MODES)
async def test_the_mode_says_who_is_let_through(mode: str, layer: Any, inner: Inner, forge: Any) -> None:
    app = layer(mode=mode)
    bad = ("authorization", f"Bearer {forge.token(signature=b'')}")
    good = ("authorization", f"Bearer {forge.token()}")
    assert tuple([(await told(app, *headers))[0] for headers in ([], [bad], [good])]) == MODES[mode]
    known = inner.exchange.identity.subject
    assert known == ("" if mode == "off" else "alice")


@pytest.mark.parametrize("mode", ["optional", "permissive", "off"])
async def test_who_is_let_through_without_a_token_is_nobody(mode: str, layer: Any, inner: Inner) -> None:
    await told(layer(mode=mode))
    assert inner.exchange.identity is ANONYMOUS
    assert inner.exchange.token is None


async def test_permissive_says_what_it_would_refuse(
    layer: Any, inner: Inner, forge: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await told(layer(mode="permissive"), ("authorization", f"Bearer {forge.token(claims={'exp': 1})}"))
    assert inner.exchange.identity is ANONYMOUS
    assert "would refuse: authentication failure: token expired" in caplog.text


async def test_permissive_does_not_wait_for_an_identity_provider_that_is_down(layer: Any, web: Any, forge: Any) -> None:
    web.pages.clear()
    assert (await told(layer(mode="permissive"), ("authorization", f"Bearer {forge.token()}")))[0] == 204


async def test_keys_that_cannot_be_had_are_a_503_with_a_time(layer: Any, web: Any, forge: Any) -> None:
    web.pages = {"https://idp.test/jwks.json": web.down()}
    reply = await call(layer(), "POST", "/", headers={"authorization": f"Bearer {forge.token()}"})
    message = "authentication unavailable: the gateway cannot check tokens now; try again, or tell its operator"
    assert (reply.status, reply.json()["error"]) == (503, {"type": "api_error", "message": message})
    assert int(reply.headers["retry-after"]) >= 1
    assert "www-authenticate" not in reply.headers


async def test_a_scope_that_is_lacking_is_a_403_that_names_it(layer: Any, provider: Any, forge: Any) -> None:
    app = layer(providers=[provider(required_scopes=["llm.use"])])
    reply = await call(app, "POST", "/", headers={"authorization": f"Bearer {forge.token()}"})
    assert reply.status == 403
    message = 'authorization failed: the token lacks scope "llm.use"; ask the operator of the gateway how to get it'
    assert reply.json()["error"] == {"type": "permission_error", "message": message}
    assert reply.headers["www-authenticate"] == 'Bearer error="insufficient_scope", scope="llm.use"'


@pytest.mark.parametrize(
    ("claims", "header", "both", "retry"),
    [
        ({"exp": 1}, {}, True, None),
        ({"exp": 1}, {}, False, "false"),
        ({}, {"kid": "absent"}, True, None),
        ({}, {"kid": "absent"}, False, "false"),
        ({"aud": "other"}, {}, True, "false"),
        ({"nbf": 2_000_000_000}, {}, True, "false"),
    ],
    ids=str,
)
@pytest.mark.parametrize("sources", [["authorization"], ["authorization", "x-api-key"]], ids=str)
async def test_a_client_with_a_helper_may_fetch_a_fresh_token(
    sources: Any, claims: Any, header: Any, both: bool, retry: str | None, layer: Any, forge: Any
) -> None:
    token = forge.token(header, claims)
    headers = {"authorization": f"Bearer {token}", **({"x-api-key": token} if both else {})}
    reply = await call(layer(token_sources=sources), "POST", "/", headers=headers)
    assert (reply.status, reply.headers.get("x-should-retry")) == (401, retry)
    assert reply.headers.get("retry-after") == ("300" if both and retry else None)


async def test_a_helper_is_not_taken_for_one_when_its_headers_differ(layer: Any, forge: Any) -> None:
    headers = {"authorization": f"Bearer {forge.token(claims={'exp': 1})}", "x-api-key": "other"}
    reply = await call(layer(), "POST", "/", headers=headers)
    assert reply.headers["x-should-retry"] == "false"


async def test_identity_headers_of_ours_are_never_a_clients(layer: Any, inner: Inner, forge: Any) -> None:
    for mode in ("strict", "off"):
        headers = [("authorization", f"Bearer {forge.token()}"), ("x-llmgate-subject", "root"), ("x-request-id", "1")]
        await told(layer(mode=mode), *headers)
        assert b"x-llmgate-subject" not in inner.headers
        assert inner.headers[b"x-request-id"] == b"1"


async def test_credentials_are_taken_out_where_that_is_asked(layer: Any, inner: Inner, forge: Any) -> None:
    sources = ["authorization", "header:x-token", "cookie:session"]
    token = forge.token()
    headers = [
        ("authorization", f"Bearer {token}"),
        ("x-api-key", "k"),
        ("x-token", token),
        ("cookie", "a=b"),
        ("x", "y"),
    ]
    await told(layer(token_sources=sources), *headers)
    assert {b"authorization", b"x-api-key", b"x-token", b"cookie"} <= set(inner.headers)
    await told(layer(token_sources=sources, strip_credentials=True), *headers)
    assert set(inner.headers) == {b"host", b"x"}


async def test_the_hosts_scope_is_not_touched(layer: Any, inner: Inner, forge: Any) -> None:
    scope = http_scope("POST", headers={"authorization": f"Bearer {forge.token()}", "x-llmgate-a": "b"})
    before = {**scope, "headers": list(scope["headers"])}

    async def nothing(*message: Any) -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    await layer(strip_credentials=True)(scope, nothing, nothing)
    assert scope == before
    assert inner.scopes[-1] is not scope


async def test_an_exchange_that_is_there_is_used(layer: Any, inner: Inner, forge: Any) -> None:
    scope, exchange = Exchange.enter(http_scope("POST", headers={"authorization": f"Bearer {forge.token()}"}))

    async def nothing(*message: Any) -> Any: ...

    await layer()(scope, nothing, nothing)
    assert inner.exchange is exchange


async def test_a_refusal_is_settled_with_its_reason(layer: Any, forge: Any) -> None:
    scope, exchange = Exchange.enter(
        http_scope("GET", headers={"authorization": f"Bearer {forge.token(claims={'exp': 1})}"})
    )

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None: ...

    await layer()(scope, receive, send)
    assert (exchange.outcome, exchange.reason, exchange.error) == ("refused", "JwtAuth", EXPIRED)


@pytest.mark.parametrize("good", [True, False])
async def test_a_websocket_is_judged_alike(good: bool, layer: Any, inner: Inner, forge: Any) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    token = forge.token() if good else forge.token(signature=b"")
    scope = {"type": "websocket", "path": "/", "headers": [(b"authorization", f"Bearer {token}".encode())]}
    await layer()(scope, receive, send)
    assert len(inner.scopes) == good
    assert sent == ([] if good else [{"type": "websocket.close", "code": 1008}])


@pytest.mark.parametrize("kind", ["lifespan", "something.else"])
async def test_other_scopes_pass_untouched(kind: str, layer: Any, inner: Inner) -> None:
    scope = {"type": kind}

    async def nothing(*message: Any) -> Any: ...

    await layer()(scope, nothing, nothing)
    assert inner.scopes == [{"type": kind}]
    assert inner.scopes[0] is scope


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"mode": "strikt"}, "auth.mode"),
        ({"providers": []}, "auth.providers"),
        ({"token_sources": []}, "auth.token_sources"),
        ({"token_sources": "authorization"}, "auth.token_sources"),
        ({"token_sources": ["query:token"]}, "auth.token_sources[0]"),
        ({"token_sources": ["authorization", "cookie:"]}, "auth.token_sources[1]"),
    ],
    ids=str,
)
def test_what_cannot_work_is_said_at_start(options: Any, path: str, layer: Any) -> None:
    with pytest.raises(SettingsError) as caught:
        layer(**options)
    assert caught.value.path == path


def test_mode_off_needs_no_provider_and_warns(layer: Any, caplog: pytest.LogCaptureFixture) -> None:
    layer(mode="off", providers=[])
    assert "auth.mode is off" in caplog.text


async def test_it_makes_and_closes_a_client_of_its_own(inner: Inner, provider: Any) -> None:
    await JWTAuthMiddleware(inner, providers=[provider()]).aclose()


async def test_nothing_is_kept_of_an_identity_that_belongs_to_the_host(layer: Any, inner: Inner) -> None:
    claims = {"team": "a"}
    user = Identity("alice", provider="session", claims=claims)

    async def session(scope: Any) -> Identity:
        return user

    app = layer(session=session)
    for team in ("a", "b"):
        claims["team"] = team
        assert (await told(app, method="GET"))[0] == 204
        assert inner.exchange.identity == user
        assert claims_of(inner.exchange.identity, ("team",))["team"] == [team]
    assert not user.cache
