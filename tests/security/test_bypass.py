"""What was decided on is what is sent: nobody reaches a model that the rules deny, however the request is written.

The rules let the caller have gpt-4o-mini and nothing else.  The model server is real, and what counts is what it got.
A route type that carries calls gets a row in WAYS, and is then tried with everything here.
"""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any, NamedTuple

import pytest

from asgi_llmgate import Gateway
from asgi_llmgate.testing.driver import Reply, call, http_scope
from asgi_llmgate.testing.idp import MockIdP
from asgi_llmgate.testing.model_server import ModelServer
from asgi_llmgate.testing.serving import serving

IDP = MockIdP()
ALLOWED, DENIED = "gpt-4o-mini", "gpt-4o"
ENTITLED = 'jwt.org == "acme" && llm.model in jwt.llms.openai && llm.backend != "forbidden"'


@dataclass(frozen=True)
class Way:
    """A route type: where calls of it go, a body that asks for a model, and what is its own.

    `sends` False: nothing may reach a model server at all (count_tokens).  `methods` are those that it takes.  `hidden`
    are names whose targets are not its own: it does not know them, where another way's rules deny them.  `named` False:
    a call may name no model, which is then a model that the rules do not allow.
    """

    path: str
    body: Callable[[str], dict[str, Any]]
    routes: Mapping[str, Any] = field(default_factory=dict)
    dialect: str = "openai"
    sends: bool = True
    methods: frozenset[str] = frozenset({"POST"})
    hidden: frozenset[str] = frozenset()
    named: bool = True


def messages(model: str) -> dict[str, Any]:
    return {"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": "hello"}]}


ANY = frozenset({"PUT", "PATCH", "DELETE", "post", "QUERY", "GET", "HEAD", "OPTIONS", ""})
CHAT = "/v1/chat/completions"

WAYS = {
    "messages": Way("/v1/messages", messages),
    "count_tokens": Way("/v1/messages/count_tokens", messages, sends=False),
    "native": Way("/v1/messages", messages, dialect="anthropic"),
    "completions": Way(CHAT, messages, {CHAT: "completions"}),
    "passthrough": Way(
        CHAT, messages, {CHAT: {"passthrough": "house"}}, methods=ANY, hidden=frozenset({"elsewhere"}), named=False
    ),
}

MODELS = [
    {"match": "small", "use": f"house/{ALLOWED}", "list": ["small-too"]},
    {"match": "small-too", "use": f"house/{ALLOWED}"},
    {"match": "alias", "use": f"house/{DENIED}", "list": ["second-name"]},
    {"match": "second-name", "use": f"house/{DENIED}"},
    {"match": "gpt-*", "use": "house"},
    {"match": "elsewhere", "use": f"forbidden/{ALLOWED}"},
    *(
        {"match": f"order-{number}", "use": list(order)}
        for number, order in enumerate(
            permutations([f"house/{DENIED}", f"forbidden/{ALLOWED}", f"house/{ALLOWED}", f"forbidden/{DENIED}"])
        )
    ),
]


class Spy:
    """Keeps the bytes of what an app is asked, and all the models that they name: also one that is named twice."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.models: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message.get("more_body"):
                break
        self.models += [
            str(value) for name, value in json.loads(body or b"{}", object_pairs_hook=list) if name == "model"
        ]
        parts = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Any:
            return parts.pop() if parts else await receive()

        return await self.app(scope, replay, send)


class Upstream(NamedTuple):
    spy: Spy
    url: str


@pytest.fixture(scope="module")
def upstreams() -> Iterator[Mapping[str, tuple[Upstream, Upstream]]]:
    """For each dialect the house's model server and the forbidden one.

    Anthropic's wire is spoken by a gateway of our own in front of a model server.
    """
    with ExitStack() as running:

        def serve(dialect: str) -> Upstream:
            app: Any = ModelServer()
            if dialect == "anthropic":
                app = Gateway.from_settings(
                    {
                        "auth": {"mode": "off"},
                        "policy": {"default": "allow"},
                        "backends": {"m": {"base_url": running.enter_context(serving(app)) + "/v1"}},
                        "models": [{"match": "*", "use": "m"}],
                    }
                )
            spy = Spy(app)
            return Upstream(spy, running.enter_context(serving(spy)) + "/v1")

        yield {dialect: (serve(dialect), serve(dialect)) for dialect in ("openai", "anthropic")}


class Gate:
    """The gateway for one way, and the servers behind it, which have got nothing yet."""

    def __init__(self, way: Way, house: Upstream, forbidden: Upstream) -> None:
        self.way = way
        self.house, self.forbidden = house.spy, forbidden.spy
        self.house.models.clear()
        self.forbidden.models.clear()
        provider = {"issuer": IDP.issuer, "audiences": [IDP.audience], "jwks": {"inline": IDP.jwks}}
        self.gateway = Gateway.from_settings(
            {
                "auth": {"providers": [provider]},
                "policy": {"rules": [ENTITLED]},
                "backends": {
                    "house": {"base_url": house.url, "dialect": way.dialect},
                    "forbidden": {"base_url": forbidden.url, "dialect": way.dialect},
                },
                "models": MODELS,
                "routes": dict(way.routes),
            }
        )
        self.authorization = f"Bearer {IDP.mint()}"

    async def ask(self, content: bytes | str, method: str = "POST", path: str = "", **options: Any) -> Reply:
        headers = [("authorization", self.authorization), *options.pop("headers", ())]
        body = content if isinstance(content, bytes) else content.encode()
        return await call(self.gateway, method, path or self.way.path, content=body, headers=headers, **options)

    def body(self, model: str, **more: Any) -> str:
        return json.dumps({**self.way.body(model), **more})

    def sent(self) -> list[str]:
        """The models that were reached; none may be another than the allowed one."""
        assert self.forbidden.models == []
        assert set(self.house.models) <= {ALLOWED}
        return self.house.models

    def times(self, count: int) -> list[str]:
        """What `sent` gives after so many calls that are allowed."""
        return [ALLOWED] * (count if self.way.sends else 0)


@pytest.fixture(params=WAYS, ids=str)
async def gate(
    request: pytest.FixtureRequest, upstreams: Mapping[str, tuple[Upstream, Upstream]]
) -> AsyncIterator[Gate]:
    way = WAYS[request.param]
    gate = Gate(way, *upstreams[way.dialect])
    yield gate
    await gate.gateway.shutdown()


async def test_the_allowed_model_answers_under_each_of_its_names(gate: Gate) -> None:
    for name in ("small", "small-too", ALLOWED):
        assert (await gate.ask(gate.body(name))).status == 200
    assert gate.sent() == gate.times(3)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("name", ["alias", "second-name", DENIED, "gpt-5", "elsewhere"])
async def test_no_name_reaches_a_denied_model(gate: Gate, name: str, stream: bool) -> None:
    reply = await gate.ask(gate.body(name, stream=stream))
    hidden = name in gate.way.hidden
    message = reply.json()["error"]["message"]
    assert reply.status == (404 if hidden else 403)
    assert message == f"model: {name}" if hidden else message.endswith(f"operator of the gateway (model: {name})")
    assert gate.sent() == []


@pytest.mark.parametrize(
    "name",
    [
        *("ALIAS", "alias ", " alias", "alias\0", "small\0alias", "al\u0131as", "\uff53mall", "small\nalias"),
        *("", "*", "forbidden", f"house/{ALLOWED}", f"house/{DENIED}", "small/../alias"),
    ],
)
async def test_a_name_is_compared_exactly(gate: Gate, name: str) -> None:
    assert (await gate.ask(gate.body(name))).status in ((403,) if name == "" and not gate.way.named else (400, 404))
    assert gate.sent() == []


async def test_no_order_of_targets_reaches_a_denied_one(gate: Gate) -> None:
    for row in MODELS:
        if row["match"].startswith("order-"):
            for stream in (False, True):
                assert (await gate.ask(gate.body(row["match"], stream=stream))).status == 200
    assert gate.sent() == gate.times(48)


def twice(gate: Gate, first: str, second: str) -> str:
    """A body that names two models, one after the other, under names that JSON reads as the same or nearly so."""
    rest = json.dumps({name: value for name, value in gate.way.body("").items() if name != "model"})[1:]
    return f"{{{first}, {second}, {rest}"


IN_ANOTHER_CASE = [
    '"Model": "alias"',
    '"MODEL": "alias"',
    '"\\u004dodel": "alias"',
    '"\u017ftream": true',
    '"Stream": true',
    '"Tools": [{"name": "x"}]',
    '"tool\u017f": []',
    '"tools": [{"name": "a", "Name": "b"}]',
    '"tools": [{"name": "a", "name": "b"}]',
    '"tools": [{"type": "function", "function": {"name": "a", "NAME": "b"}}]',
    '"max_To\u212aens": 9999',
    '"MAX_TOKENS": 9999',
    '"metadata": {"user_id": "a", "User_id": "b"}',
    '"metadata": {"user_id": "a", "user_id": "b"}',
    '"thinking": {"type": "disabled", "Type": "enabled"}',
    '"tool_choice": {"type": "auto", "TYPE": "any"}',
    '"stream_options": {"include_usage": true, "Include_Usage": false}',
    '"x": {"y": [{"z": 1, "z": 2}]}',
    '"x": {"y": [{"z": 1, "Z": 2}]}',
    '"model\\u0000": "alias"',
    '"models": ["alias"]',
    '"fallbacks": [{"model": "alias"}]',
    '"extra_body": {"model": "alias"}',
    '"Extra_Body": {"model": "alias"}',
]


@pytest.mark.parametrize("more", IN_ANOTHER_CASE)
async def test_a_name_that_a_server_may_take_for_another_one_reaches_none_that_gets_the_clients_bytes(
    gate: Gate, more: str
) -> None:
    reply = await gate.ask(twice(gate, SMALL, more))
    handed_on = gate.way.dialect == "anthropic" or gate.way.path == CHAT
    if handed_on:
        assert (reply.status, gate.sent()) == (400, [])
    else:
        assert reply.status in (200, 400)
        assert set(gate.sent()) <= {ALLOWED}


SMALL, ALIAS = '"model": "small"', '"model": "alias"'


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (SMALL, ALIAS),
        (ALIAS, SMALL),
        (SMALL, r'"mod\u0065l": "alias"'),
        (r'"mod\u0065l": "alias"', SMALL),
        (SMALL, r'"\u006d\u006f\u0064\u0065\u006c": "alias"'),
        (SMALL, '"max_tokens": 1, "max_tokens": 2'),
    ],
)
async def test_a_key_that_is_there_twice_is_refused(gate: Gate, first: str, second: str) -> None:
    reply = await gate.ask(twice(gate, first, second))
    assert reply.status == 400
    assert reply.json()["error"]["message"].endswith(": given more than once")
    assert gate.sent() == []


@pytest.mark.parametrize(
    "more",
    [
        {"Model": "alias"},
        {"MODEL": "alias"},
        {"model ": "alias"},
        {"metadata": {"model": "alias"}},
        {"extra_body": {"model": DENIED}},
        {"models": ["alias", DENIED]},
        {"fallback_model": DENIED},
        {"body": {"model": DENIED}},
        {"deployment": DENIED, "engine": DENIED, "modelId": DENIED},
    ],
    ids=str,
)
async def test_a_second_field_for_a_model_has_no_effect(gate: Gate, more: dict[str, Any]) -> None:
    assert (await gate.ask(gate.body("small", **more))).status in (200, 400)
    gate.sent()
    assert (await gate.ask(gate.body("alias", **{name: "small" for name in more if name != "metadata"}))).status != 200
    gate.sent()


@pytest.mark.parametrize(
    "headers",
    [
        [("x-model", "small")],
        [("anthropic-model", "small"), ("openai-model", "small")],
        [("x-http-method-override", "GET"), ("x-method-override", "GET"), ("x-http-method", "HEAD")],
        [("x-original-url", "/v1/models"), ("x-rewrite-url", "/healthz"), ("x-forwarded-prefix", "/healthz")],
        [("content-type", "application/x-www-form-urlencoded")],
        [("content-type", "text/plain; charset=utf-16")],
        [("transfer-encoding", "identity")],
    ],
    ids=lambda headers: headers[0][0],
)
async def test_no_header_makes_a_denied_model_an_allowed_one(gate: Gate, headers: list[tuple[str, str]]) -> None:
    assert (await gate.ask(gate.body("alias"), headers=headers)).status == 403
    assert gate.sent() == []


@pytest.mark.parametrize("name", ["AUTHORIZATION", "Authorization", "aUTHORIZATION"])
async def test_a_header_in_another_case_lets_nobody_in(gate: Gate, name: str) -> None:
    """A server hands lower-case names on; whatever does not, gets no more than one that does."""
    for token in (IDP.mint(), IDP.mint(org="elsewhere")):
        headers = [(b"host", b"gate.test"), (name.encode(), f"Bearer {token}".encode())]
        scope = {"headers": headers}
        reply = await call(gate.gateway, "POST", gate.way.path, content=gate.body("alias").encode(), scope=scope)
        assert reply.status in (401, 403)
    assert gate.sent() == []


PATHS = ["{}/", "/{}", "//{}", "{}//", "{}/.", "{}/../{}", "/.{}", "{};x=1", "{}%2f", "/healthz/..{}", "{}\n", "/x{}"]


@pytest.mark.parametrize("path", [*PATHS, "upper", "raw"])
async def test_no_spelling_of_the_path_gets_by(gate: Gate, path: str) -> None:
    spelt = gate.way.path.upper() if path == "upper" else path.replace("{}", gate.way.path)
    scope = {"raw_path": b"/healthz"} if path == "raw" else {}
    if path == "raw":
        spelt = gate.way.path
    for model in ("alias", "small"):
        reply = await gate.ask(gate.body(model), path=spelt, scope=scope)
        assert reply.status in (200, 403, 404, 421), reply.body
        assert (reply.status == 200) <= (model == "small")
    gate.sent()


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "post", "QUERY", "GET", "HEAD", "OPTIONS", ""])
async def test_no_other_method_reaches_a_model(gate: Gate, method: str) -> None:
    assert (await gate.ask(gate.body("alias"), method)).status in (403, 404, 405)
    if method not in gate.way.methods:
        assert (await gate.ask(gate.body("small"), method)).status in (403, 404, 405)
    assert gate.sent() == []


@pytest.mark.parametrize("query", ["model=small", "beta=true&model=small", "_method=GET", "stream=true"])
async def test_the_query_decides_nothing(gate: Gate, query: str) -> None:
    assert (await gate.ask(gate.body("alias"), query=query)).status == 403
    assert gate.sent() == []


@pytest.mark.parametrize("stream", [False, True, "true", 1, None, 0, [], {}], ids=repr)
async def test_streamed_or_not_is_decided_alike(gate: Gate, stream: Any) -> None:
    assert (await gate.ask(gate.body("alias", stream=stream))).status in (400, 403)
    assert (await gate.ask(gate.body("small", stream=stream))).status in (200, 400)
    gate.sent()


BODIES = {
    "two documents": lambda small, alias: small + alias,
    "one after a newline": lambda small, alias: small + b"\n" + alias,
    "in a list": lambda small, alias: b"[" + small + b"," + alias + b"]",
    "in a string": lambda small, alias: json.dumps(alias.decode()).encode(),
    "UTF-16": lambda small, alias: alias.decode().encode("utf-16"),
    "UTF-32": lambda small, alias: alias.decode().encode("utf-32"),
    "a byte that is no UTF-8": lambda small, alias: alias.replace(b"alias", b"al\xffias"),
    "an overlong quote": lambda small, alias: small.replace(b'"small"', b'"small\xc0\xa2'),
    "a comment": lambda small, alias: small[:-1] + b', /* "model": "alias" */ "x": 1}',
    "a comma too many": lambda small, alias: small[:-1] + b",}",
    "NaN": lambda small, alias: small[:-1] + b', "temperature": NaN}',
    "a lone surrogate": lambda small, alias: small[:-1] + b', "mode\\ud800l": "alias"}',
    "a zero byte behind": lambda small, alias: small + b"\0" + alias,
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
async def test_a_body_that_can_be_read_in_two_ways_is_not_sent(
    gate: Gate, body: Callable[[bytes, bytes], bytes]
) -> None:
    made = body(gate.body("small").encode(), gate.body("alias").encode())
    assert (await gate.ask(made)).status in (200, 400)
    gate.sent()


async def test_a_byte_order_mark_changes_nothing(gate: Gate) -> None:
    assert (await gate.ask(b"\xef\xbb\xbf" + gate.body("alias").encode())).status in (400, 403)
    assert gate.sent() == []


async def test_a_compressed_body_is_decided_on_as_it_reads(gate: Gate) -> None:
    small, alias = gate.body("small").encode(), gate.body("alias").encode()
    coding = [("content-encoding", "gzip")]
    assert (await gate.ask(gzip.compress(alias), headers=coding)).status == 403
    assert (await gate.ask(gzip.compress(small) + gzip.compress(alias), headers=coding)).status == 400
    assert (await gate.ask(small, headers=coding)).status == 400
    assert (await gate.ask(gzip.compress(small), headers=coding)).status == 200
    gate.sent()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_a_body_that_changes_after_the_check_is_not_read_again(gate: Gate, stream: bool) -> None:
    """A server, or a middleware between, that has a second body to offer once the first has been decided on."""
    bodies = [gate.body("small", stream=stream).encode(), *[gate.body("alias", stream=stream).encode()] * 5]
    sent: list[Any] = []

    async def receive() -> Any:
        if sent and sent[-1]["type"] == "http.response.body" and not sent[-1].get("more_body"):
            return {"type": "http.disconnect"}
        if not bodies:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": bodies.pop(0), "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = {"authorization": gate.authorization, "content-type": "application/json"}
    await gate.gateway(http_scope("POST", gate.way.path, headers=headers), receive, send)
    assert sent[0]["status"] == 200
    assert gate.sent() == gate.times(1)


async def test_a_body_in_pieces_is_decided_on_as_a_whole(gate: Gate) -> None:
    body = gate.body("alias").encode()
    pieces = [body[start : start + 3] for start in range(0, len(body), 3)]
    headers = {"authorization": gate.authorization}
    assert (await call(gate.gateway, "POST", gate.way.path, content=pieces, headers=headers)).status == 403
    assert gate.sent() == []


async def test_the_list_of_models_has_what_a_call_could_reach_and_nothing_else(gate: Gate) -> None:
    page = json.loads((await gate.ask("", "GET", "/v1/models")).body)
    listed = [model["id"] for model in page["data"]]
    assert [name for name in listed if not name.startswith("order-")] == ["small", "small-too"]
    for name in listed:
        assert (await gate.ask(gate.body(name))).status == 200
    for name in ("alias", "second-name", "elsewhere", DENIED):
        assert (await gate.ask("", "GET", f"/v1/models/{name}")).status == 404
    gate.sent()
