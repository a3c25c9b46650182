"""The composed gateway: the order of its layers, what each ending leaves behind, and its life in a host."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from asgi_llmgate import (
    Backend,
    Exchange,
    Gateway,
    HTTPClient,
    JWTAuthMiddleware,
    Limit,
    LimitMiddleware,
    ModelRow,
    ModelTable,
    PolicyMiddleware,
    ResolveMiddleware,
    SettingsError,
    TranslationApp,
    UsageMiddleware,
    UsageRecord,
    mount,
)
from asgi_llmgate.asgi import Draining, Health
from asgi_llmgate.testing.driver import Driver, call
from asgi_llmgate.testing.idp import MockIdP
from asgi_llmgate.testing.model_script import Turn, say
from asgi_llmgate.testing.model_server import ModelServer

IDP = MockIdP()
BODY = {"model": "claude-opus-5", "max_tokens": 50, "messages": [{"role": "user", "content": "hello"}]}
HI = say("Hi.")
LAB = 'jwt.org == "acme" && jwt.team == "data-platform"'


class Kept(list[UsageRecord]):
    """A sink."""

    def emit(self, record: UsageRecord) -> None:
        self.append(record)


@pytest.fixture
async def make(serve: Callable[..., str]) -> Any:
    """`make(rule, turn) -> (gateway, records, model server)`, made from Python objects."""
    gateways: list[Gateway] = []

    def made(rule: str = LAB, turn: Turn = HI, *limits: Limit) -> tuple[Gateway, Kept, ModelServer]:
        server = ModelServer([turn.always()])
        records = Kept()
        gateway = Gateway(
            backends={"openai": Backend(base_url=serve(server) + "/v1")},
            models=[ModelRow("*", ("openai/gpt-4o-mini",))],
            auth=partial(JWTAuthMiddleware, providers=[IDP.provider()]),
            policy=partial(PolicyMiddleware, rules=[rule]),
            limits=partial(LimitMiddleware, limits=limits),
            sinks=[records],
        )
        gateways.append(gateway)
        return gateway, records, server

    yield made
    for gateway in gateways:
        await gateway.shutdown()


def bearer(**claims: Any) -> dict[str, str]:
    return {"authorization": f"Bearer {IDP.mint(**claims)}"}


@pytest.mark.parametrize(
    ("headers", "status", "reason", "told"),
    [
        pytest.param({}, 401, "JwtAuth", "authentication failure: no bearer token found", id="no token"),
        pytest.param(bearer(team="marketing"), 403, "Authorization", "authorization failed", id="the wrong team"),
        pytest.param(bearer(), 200, "", "", id="the right one"),
    ],
)
async def test_the_labs_three_requests(make: Any, headers: Any, status: int, reason: str, told: str) -> None:
    gateway, records, server = make()
    reply = await call(gateway, "POST", "/v1/messages", json=BODY, headers=headers)
    assert reply.status == status
    (record,) = records
    assert (record.status, record.reason, record.error) == (status, reason, told)
    assert record.request_id == reply.headers["request-id"]
    if status != 200:
        assert reply.json()["error"]["message"].startswith(told)
        assert server.requests == []


@pytest.mark.parametrize(
    ("models", "status"), [(["gpt-4o-mini"], 200), (["gpt-4o"], 403), (None, 403)], ids=["entitled", "other", "none"]
)
async def test_the_entitlement_is_about_the_model_that_answers(make: Any, models: Any, status: int) -> None:
    gateway, _, _ = make(f"{LAB} && llm.model in jwt.llms.openai")
    llms = None if models is None else {"openai": models}
    reply = await call(gateway, "POST", "/v1/messages", json=BODY, headers=bearer(llms=llms))
    assert reply.status == status


async def test_who_is_unknown_learns_nothing_of_the_body_or_the_models(make: Any) -> None:
    gateway, _, _ = make()
    for content in (b"{", b'{"model":"no-such-model"}'):
        assert (await call(gateway, "POST", "/v1/messages", content=content)).status == 401
    assert (await call(gateway, "GET", "/v1/models")).status == 401
    assert (await call(gateway, "GET", "/no/such/path")).status == 401


@pytest.mark.parametrize(
    ("team", "status", "model"), [("marketing", 403, ""), ("data-platform", 400, "")], ids=["denied", "allowed"]
)
@pytest.mark.parametrize("rule", [LAB, f"{LAB} && llm.model == 'gpt-4o-mini'"], ids=["claims", "claims and model"])
async def test_the_body_of_who_is_denied_by_claims_is_not_looked_at(
    make: Any, rule: str, team: str, status: int, model: str
) -> None:
    gateway, records, _ = make(rule)
    reply = await call(gateway, "POST", "/v1/messages", content=b'{"model": "m"', headers=bearer(team=team))
    assert reply.status == status
    assert [(record.status, record.client_model) for record in records] == [(status, model)]


async def test_a_slot_is_held_from_before_the_body_to_the_end_whatever_that_is(make: Any) -> None:
    gateway, records, _ = make(LAB, HI, Limit("one", "jwt.team", concurrency=1))

    async def asked() -> int:
        return (await call(gateway, "POST", "/v1/messages", json=BODY, headers=bearer())).status

    for ending in ("cancelled", "gone", "sent"):
        async with Driver(gateway, "POST", "/v1/messages", content=None, headers=bearer()) as client:
            client.upload(b'{"model": ', more=True)
            assert await asked() == 429
            if ending == "gone":
                client.disconnect()
                await client.finish()
            elif ending == "sent":
                client.upload(b"}")
                assert await client.start() == 400
                await client.finish()
        assert await asked() == 200
    assert [record.status for record in records] == [429, 503, 200, 429, 499, 200, 429, 400, 200]


@pytest.mark.parametrize(
    ("method", "path"), [("HEAD", "/"), ("HEAD", "/api/hello"), ("GET", "/healthz"), ("GET", "/readyz")]
)
async def test_front_answers_without_a_caller_and_writes_no_record(make: Any, method: str, path: str) -> None:
    gateway, records, _ = make()
    assert (await call(gateway, method, path)).status == 200
    assert records == []


async def test_a_stranger_cannot_reach_the_app_by_spelling_a_path(make: Any) -> None:
    gateway, _, server = make()
    for path in (
        "/v1/messages/",
        "//v1/messages",
        "/v1//messages",
        "/V1/messages",
        "/v1/messages%2f",
        "/healthz/../v1/messages",
    ):
        assert (await call(gateway, "POST", path, json=BODY)).status == 401
    assert server.requests == []


async def test_a_host_with_a_layer_of_ours_keeps_its_own_exchange(make: Any) -> None:
    gateway, records, _ = make()
    host_records = Kept()
    seen: list[Exchange] = []

    async def host(scope: Any, receive: Any, send: Any) -> None:
        seen.append(Exchange.of(scope))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    app = UsageMiddleware(mount(host, "/llm", gateway), sinks=[host_records])
    assert (await call(app, "POST", "/llm/v1/messages", json=BODY, headers=bearer())).status == 200
    assert (await call(app, "GET", "/page")).status == 204
    assert [record.path for record in records] == ["/llm/v1/messages"]
    assert [record.path for record in host_records] == ["/page"]
    assert seen[0].parent is None


async def test_a_gateway_may_be_shut_down_and_used_again(make: Any) -> None:
    gateway, _, _ = make()
    for _ in range(2):
        async with gateway:
            assert (await call(gateway, "POST", "/v1/messages", json=BODY, headers=bearer())).status == 200


async def test_a_gateway_by_itself_speaks_lifespan(serve: Callable[..., str]) -> None:
    closed: list[str] = []
    gateway = Gateway(models=[], closing=[lambda: closed.append("closed")])
    sent: list[str] = []
    messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await gateway({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert closed == ["closed"]


async def test_ready_is_who_is_not_draining_and_whose_parts_are_not_broken() -> None:
    states = [Health(limping=("database",))]
    draining = Draining(after=0)
    gateway = Gateway(models=[], health=[lambda: states[0], Health], draining=draining)
    reply = await call(gateway, "GET", "/readyz")
    assert (reply.status, reply.body) == (200, b"ok\nlimping: database\n")
    states[0] = Health(broken=("journal",))
    draining.begin()
    reply = await call(gateway, "GET", "/readyz")
    assert (reply.status, reply.body) == (503, b"not ready: draining, journal\n")
    assert (await call(gateway, "GET", "/healthz")).status == 200


def test_settings_without_a_rule_do_not_start() -> None:
    settings = {
        "auth": {"mode": "off"},
        "backends": {"o": {"base_url": "http://127.0.0.1:9/v1"}},
        "models": [{"match": "*", "use": "o/m"}],
    }
    with pytest.raises(SettingsError, match=r"^policy"):
        Gateway.from_settings(settings)
    assert Gateway.from_settings({**settings, "policy": {"default": "allow"}})


async def test_a_shutdown_waits_for_the_records_of_requests_under_way(make: Any) -> None:
    gateway, records, _ = make(turn=HI.stall(after=1))
    body = {**BODY, "stream": True}
    async with Driver(gateway, "POST", "/v1/messages", json=body, headers=bearer()) as client:
        await client.chunk()
        client._communicator.future.cancel()  # what a server does, which then does not wait for it
        assert records == []
        await gateway.shutdown()
        assert [record.outcome for record in records] == ["shutdown"]


async def test_a_shutdown_ends_the_calls_that_are_open(make: Any) -> None:
    gateway, records, _ = make(turn=HI.stall(after=1))
    body = {**BODY, "stream": True}
    async with Driver(gateway, "POST", "/v1/messages", json=body, headers=bearer()) as client:
        await client.chunk()
        await gateway.shutdown()
        assert client.returned
        assert (await client.read()).events()[-1][0] == "error"
    assert [record.outcome for record in records] == ["shutdown"]
    assert (await call(gateway, "GET", "/readyz")).status == 200


async def test_each_close_has_its_turn_whatever_becomes_of_the_others(caplog: pytest.LogCaptureFixture) -> None:
    closed: list[str] = []

    def fails() -> None:
        closed.append("fails")
        raise OSError("a full disk")

    async def fails_late() -> None:
        await asyncio.sleep(0)
        fails()

    async def works() -> None:
        closed.append("works")

    class Layer:
        def __init__(self, app: Any) -> None:
            pass

        async def aclose(self) -> None:
            closed.append("layer")
            raise ValueError

    gateway = Gateway(models=[], usage=Layer, closing=[fails, works, fails_late, lambda: closed.append("last")])
    for _ in range(2):
        await gateway.shutdown()
        assert closed == ["layer", "fails", "works", "fails", "last"]
        closed.clear()
    assert len(caplog.messages) == 6
    assert "Layer.aclose failed; the others are closed all the same" in caplog.messages[0]


async def test_a_cancelled_shutdown_closes_everything_too() -> None:
    closed: list[str] = []

    async def hangs() -> None:
        await asyncio.Event().wait()

    async def works() -> None:
        await asyncio.sleep(0)
        closed.append("works")

    task = asyncio.create_task(Gateway(models=[], closing=[hangs, works, lambda: closed.append("last")]).shutdown())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert closed == ["works", "last"]


async def test_what_a_layer_made_for_itself_is_closed_and_what_was_lent_to_it_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed: list[HTTPClient] = []

    async def aclose(client: HTTPClient) -> None:
        closed.append(client)

    monkeypatch.setattr(HTTPClient, "aclose", aclose)
    lent = HTTPClient()
    auth = partial(JWTAuthMiddleware, providers=[IDP.provider()])
    await Gateway(models=[], auth=auth).shutdown()
    assert len(closed) == 1  # the gateway's, which the layers share
    closed.clear()
    await Gateway(models=[], auth=auth, client=lent).shutdown()
    assert closed == []
    await Gateway(models=[], auth=partial(auth, client=lent)).shutdown()
    assert len(closed) == 1
    assert closed[0] is not lent
    closed.clear()
    app, middleware = TranslationApp({}, models=ModelTable([], {})), auth(lambda scope, receive, send: None)
    await app.aclose()
    await middleware.aclose()
    assert len(closed) == 2  # alone, each has one of its own


async def test_a_gateway_and_its_app_end_calls_by_one_object() -> None:
    models = ModelTable([], {})
    app = TranslationApp({}, models=models)
    with pytest.raises(SettingsError, match=r"^draining: the app has another Draining object"):
        Gateway(app, models=models, draining=Draining())
    Gateway(app, models=models, draining=app.draining)


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"resolve": partial(ResolveMiddleware, models=ModelTable([], {}))}, "resolve.models"),
        ({"policy": partial(PolicyMiddleware, rules=["true"], list_claims=["groups"])}, "policy.list_claims"),
        ({"limits": partial(LimitMiddleware, limits=[], list_claims=["groups"])}, "limits.list_claims"),
        ({"endpoints": partial(TranslationApp, routes={})}, "endpoints.routes"),
        ({"sinks": [Kept()], "usage": partial(UsageMiddleware, sinks=[])}, "usage.sinks"),
        ({"client": HTTPClient(), "auth": partial(JWTAuthMiddleware, providers=[], client=None)}, "auth.client"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_layers_share_is_not_given_to_one_of_them(options: dict[str, Any], path: str) -> None:
    with pytest.raises(SettingsError, match=rf"^{path}: this option belongs to Gateway, not to a layer"):
        Gateway(models=[], **options)


class Noting:
    """A layer, or an app, that notes what it was made with, and that it was called."""

    seen: list[Any]

    def __init__(self, app: Any, *, name: str, client: Any, list_claims: Any, variables: Any) -> None:
        self._app, self._name = app, name
        self.seen.append((name, client, list_claims, variables))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.append(self._name)
        await self._app(scope, receive, send)


async def test_middleware_stands_between_limits_and_endpoints_and_shares_what_the_layers_share() -> None:
    seen = Noting.seen = []
    client, variables = HTTPClient(), {"team": lambda exchange, scope: "core"}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append("app")
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    limits = partial(LimitMiddleware, limits=[Limit("two", "'all'", requests="2/day")])
    gateway = Gateway(
        app,
        models=ModelTable([], {}),
        client=client,
        list_claims=["teams"],
        variables=variables,
        limits=limits,
        middleware=[partial(Noting, name="outer"), partial(Noting, name="inner")],
    )
    assert seen == [(name, client, ("teams",), variables) for name in ("inner", "outer")]
    seen.clear()
    assert [(await call(gateway, "GET", "/x")).status for _ in range(3)] == [204, 204, 429]
    assert seen == ["outer", "inner", "app"] * 2


class Compiled(BaseException):
    """A layer whose parameters `inspect` cannot tell, as those of a class that Cython has compiled."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.args[0](scope, receive, send)


async def test_a_layer_whose_parameters_python_cannot_tell_gets_only_the_app() -> None:
    gateway = Gateway(models=[], middleware=[Compiled])
    assert (await call(gateway, "GET", "/v1/models")).status == 200


async def test_a_sink_of_the_gateways_is_asked_how_it_is_and_closed_and_none_has_to_have_that() -> None:
    class Sink(Kept):
        closed = 0

        def health(self) -> Health:
            return Health(broken=("disk",))

        async def aclose(self) -> None:
            self.closed += 1

    sink, plain = Sink(), Kept()
    async with Gateway(models=[], sinks=[sink, plain]) as gateway:
        assert (await call(gateway, "GET", "/readyz")).body == b"not ready: disk\n"
        assert (await call(gateway, "GET", "/v1/models")).status == 200
    assert sink.closed == 1
    assert [len(sink), len(plain)] == [1, 1]


def test_an_app_has_its_own_backends() -> None:
    with pytest.raises(SettingsError, match=r"^backends: either an app or backends, not both"):
        Gateway(TranslationApp({}, models=ModelTable([], {})), models=[], backends={"o": Backend(base_url="http://o")})


RESOURCE = "https://apps.acme.test/llm"


@pytest.fixture
async def published() -> Any:
    """A gateway at /llm of a host, from settings with a protected resource."""
    providers = [
        {"issuer": "https://sso.acme.test", "audiences": ["llm"], "required_scopes": ["llm.use"]},
        {"issuer": IDP.issuer, "audiences": [IDP.audience], "jwks": {"inline": IDP.jwks}},
    ]
    gateway = Gateway.from_settings(
        {
            "auth": {"providers": providers, "protected_resource": {"url": RESOURCE + "/", "name": "Acme's models"}},
            "policy": {"default": "allow"},
            "backends": {"o": {"base_url": "http://127.0.0.1:9/v1"}},
            "models": [{"match": "*", "use": "o/m"}],
        }
    )

    async def host(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body"})

    yield lambda **options: mount(host, "/llm", gateway, **options)
    await gateway.shutdown()


async def test_a_401_says_where_to_read_whom_to_ask_and_there_it_is(published: Any) -> None:
    app = published(well_known=True)
    refused = await call(app, "POST", "/llm/v1/messages", json=BODY)
    url = "https://apps.acme.test/.well-known/oauth-protected-resource/llm"
    assert (refused.status, refused.headers["www-authenticate"]) == (401, f'Bearer resource_metadata="{url}"')
    document = await call(app, "GET", url.removeprefix("https://apps.acme.test"))
    assert (document.status, document.headers["content-type"]) == (200, "application/json")
    assert document.json() == {
        "resource": RESOURCE,
        "authorization_servers": ["https://sso.acme.test"],
        "bearer_methods_supported": ["header"],
        "scopes_supported": ["llm.use"],
        "resource_name": "Acme's models",
    }
    assert (await call(app, "GET", "/llm/.well-known/oauth-protected-resource")).json() == document.json()


async def test_the_hosts_root_is_the_hosts_unless_asked_for(published: Any) -> None:
    assert (await call(published(), "GET", "/.well-known/oauth-protected-resource/llm")).status == 404


async def test_a_bad_token_is_told_the_same_address(published: Any) -> None:
    headers = {"authorization": "Bearer a.b.c"}
    reply = await call(published(), "POST", "/llm/v1/messages", json=BODY, headers=headers)
    assert reply.headers["www-authenticate"].startswith('Bearer error="invalid_token", resource_metadata="https://')


async def test_without_the_setting_nothing_is_published(make: Any) -> None:
    gateway, _, _ = make()
    assert (await call(gateway, "GET", "/.well-known/oauth-protected-resource")).status == 401
    assert "resource_metadata" not in (await call(gateway, "GET", "/v1/models")).headers["www-authenticate"]


@pytest.mark.parametrize(("mode", "says"), [("strict", b"ok\nlimping: signing keys\n"), ("off", b"ok\n")])
async def test_readyz_names_keys_that_cannot_be_fetched(mode: str, says: bytes) -> None:
    provider = {"issuer": "https://idp.test", "audiences": ["llm"], "jwks": {"url": "http://127.0.0.1:1/jwks"}}
    gateway = Gateway.from_settings(
        {
            "auth": {"mode": mode, "providers": [provider]},
            "policy": {"rules": ["true"]},
            "backends": {"openai": {"base_url": "http://127.0.0.1:1/v1"}},
            "models": [{"match": "*", "use": "openai/gpt-4o-mini"}],
        }
    )
    async with gateway, asyncio.timeout(20):
        assert (await call(gateway, "GET", "/readyz")).status == 200
        while (reply := await call(gateway, "GET", "/readyz")).body != says:
            await asyncio.sleep(0.01)
        assert reply.status == 200
