from __future__ import annotations

from typing import Any

import pytest

from asgi_llmgate._types import Receive, Scope, Send
from asgi_llmgate.asgi import respond
from asgi_llmgate.asgi.misdirected import HostResponses, WrongPaths, unmatched
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.route import Route, RouteMatch
from asgi_llmgate.testing.driver import call

ASK = {"model": "claude-opus-5", "max_tokens": 5, "messages": []}
CLAUDE = {"anthropic-version": "2023-06-01"}
HTML = [(b"content-type", b"text/html")]
JSON = [(b"Content-Type", b"application/json; charset=utf-8")]


class Host:
    """A host with one response, which may read the request first."""

    def __init__(self, status: int, headers: Any = (), body: bytes = b"theirs", *, reads: bool = False) -> None:
        self._response = (status, [(name.lower(), value) for name, value in headers], body)
        self._reads = reads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        while self._reads and (await receive()).get("more_body"):
            pass
        status, headers, body = self._response
        await respond(send, status, headers, body)


async def ask(app: Any, path: str = "/v1/messages", method: str = "POST", headers: Any = CLAUDE, **options: Any) -> Any:
    return await call(app, method, path, headers=headers, json=ASK, **options)


@pytest.mark.parametrize("reads", [True, False])
@pytest.mark.parametrize(
    "response",
    [
        (404, HTML, b"<h1>Not Found</h1>"),
        (404, JSON, b'{"detail":"Not Found"}'),
        (404, (), b"Not Found"),
        (404, (), b""),
        (405, JSON, b'{"detail":"Method Not Allowed"}'),
        (302, [(b"location", b"/login?next=/v1/messages")], b""),
        (307, [(b"location", b"/v1/messages/")], b""),
        (403, HTML, b"<title>CSRF verification failed</title>"),
        (403, JSON, b'{"detail":"CSRF Failed"}'),
    ],
    ids=lambda response: f"{response[0]} {response[2][:20]!r}",
)
async def test_where_the_host_has_no_such_path_the_client_is_told_the_right_one(response: Any, reads: bool) -> None:
    reply = await ask(HostResponses(Host(*response, reads=reads), "/llm"))
    assert (reply.status, reply.json()["error"]["type"]) == (421, "invalid_request_error")
    assert "ANTHROPIC_BASE_URL has no path and should; its path should be /llm" in reply.json()["error"]["message"]
    assert reply.headers["request-id"] == reply.json()["request_id"]
    assert reply.headers["x-should-retry"] == "false"
    assert "location" not in reply.headers


@pytest.mark.parametrize(
    ("response", "changed"),
    [
        ((200, JSON, b"{}"), {}),
        ((200, HTML, b"<html>"), {}),
        ((400, HTML, b"bad"), {}),
        ((401, JSON, b"{}"), {}),
        ((429, JSON, b"{}"), {}),
        ((500, HTML, b"broken"), {}),
        ((404, JSON, b'{"type":"error","error":{"type":"not_found_error","message":"model: x"}}'), {}),
        ((404, JSON, b'{"error":{"message":"The model does not exist"}}'), {}),
        ((403, JSON, b'{"type":"error","error":{"type":"permission_error","message":"no"}}'), {}),
        ((404, HTML, b"no chat 7"), {"path": "/api/chats/7/messages", "headers": {}}),
        ((404, HTML, b"no page"), {"path": "/v1/messages", "headers": {}}),
        ((404, HTML, b"no page"), {"path": "/page"}),
        ((404, HTML, b"no page"), {"method": "GET"}),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_a_hosts_own_responses_stay_as_they_are(response: Any, changed: Any) -> None:
    host = Host(*response)
    alone, beside = await ask(host, **changed), await ask(HostResponses(host, "/llm"), **changed)
    assert (beside.status, beside.headers, beside.body) == (alone.status, alone.headers, alone.body)
    assert beside.body == response[2]


async def test_a_response_in_pieces_is_decided_by_its_first_and_sent_once() -> None:
    async def pieces(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 404, "headers": scope["state"]["headers"]})
        for number in range(3):
            await send({"type": "http.response.body", "body": b'"error"', "more_body": number < 2})

    app = HostResponses(pieces, "/llm")
    own = await ask(app, scope={"state": {"headers": [(b"content-type", b"application/json")]}})
    assert (own.status, own.body) == (404, b'"error"' * 3)
    replaced = await ask(app, scope={"state": {"headers": [(b"content-type", b"text/html")]}})
    assert replaced.status == 421


async def test_what_the_host_raises_is_raised() -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await ask(HostResponses(broken, "/llm"))


@pytest.mark.parametrize("root_path", ["", "/proxy"])
async def test_the_path_of_a_proxy_is_part_of_the_right_one(root_path: str) -> None:
    reply = await ask(HostResponses(Host(404), "/llm"), f"{root_path}/v1/messages", scope={"root_path": root_path})
    assert reply.json()["error"]["message"].endswith(f"its path should be {root_path}/llm")


async def inner(scope: Scope, receive: Receive, send: Send) -> None:
    await respond(send, 418, [], b"inner")


ROUTES = {"/v1/messages": Route("messages"), "/v1/chat/completions": Route("completions")}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/v1/messages", 421),
        ("POST", "/messages/count_tokens", 421),
        ("POST", "/v1/v1/chat/completions", 421),
        ("GET", "/v1/v1/messages", 418),
        ("POST", "/v1/files", 418),
    ],
)
async def test_under_the_mount_only_calls_at_wrong_paths_are_refused(method: str, path: str, status: int) -> None:
    app = WrongPaths(inner, routes=ROUTES)
    reply = await ask(app, "/llm" + path, method, {}, scope={"root_path": "/llm"})
    assert reply.status == status


@pytest.mark.parametrize(
    ("routes", "right"),
    [
        (ROUTES, "https://ai.acme.test/llm"),
        ({"/anthropic/v1/messages": Route("messages")}, "https://ai.acme.test/llm/anthropic"),
    ],
)
async def test_the_settings_know_the_public_address_and_the_route(routes: Any, right: str) -> None:
    app = WrongPaths(inner, routes=routes, public="https://ai.acme.test/llm")
    reply = await ask(app, "/llm/x/v1/messages", scope={"root_path": "/llm"})
    assert reply.json()["error"]["message"].endswith(f"set it to {right}")


async def test_a_request_with_a_route_goes_on() -> None:
    async def routed(scope: Scope, receive: Receive, send: Send) -> None:
        scope, exchange = Exchange.enter(scope)
        exchange.route = RouteMatch(ROUTES["/v1/messages"], "/v1/messages")
        await WrongPaths(inner, routes=ROUTES)(scope, receive, send)

    assert (await ask(routed)).status == 418


@pytest.mark.parametrize("host", [None, object(), type("Litestar", (), {"routes": []})()])
def test_a_host_of_another_kind_is_left_alone(host: Any) -> None:
    with unmatched(host, inner):
        pass
