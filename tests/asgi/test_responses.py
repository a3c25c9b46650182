from __future__ import annotations

import asyncio
import json

import pytest

from asgi_llmgate import errors
from asgi_llmgate._types import Message, Receive, Scope, Send
from asgi_llmgate.asgi import Body, outcome_of, refuse, respond
from asgi_llmgate.asgi.responses import STALL
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.exchange_values import Wire
from asgi_llmgate.testing.driver import Driver, call


class Refusing:
    """An app that refuses everything, and keeps the exchange."""

    def __init__(self, error: errors.GateError, wire: Wire = "messages") -> None:
        self.exchange = Exchange()
        self._error = error
        self._wire = wire

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope, self.exchange = Exchange.enter(scope)
        self.exchange.wire = self._wire
        await refuse(scope, receive, send, self._error)


async def test_a_refusal_is_an_envelope_with_the_status_and_the_headers_of_its_error() -> None:
    app = Refusing(errors.RateLimited("too many requests", retry_after=3))
    reply = await call(app, "POST", "/v1/messages", json={})
    assert reply.status == 429
    assert reply.headers["retry-after"] == "3"
    assert reply.headers["content-length"] == str(len(reply.body))
    assert "connection" not in reply.headers
    assert reply.json() == {
        "type": "error",
        "error": {"type": "rate_limit_error", "message": "too many requests"},
        "request_id": app.exchange.request_id,
    }
    assert (app.exchange.outcome, app.exchange.reason) == ("refused", "RateLimit")


async def test_a_refusal_on_the_other_wire_is_in_the_words_of_that_wire() -> None:
    reply = await call(Refusing(errors.NotFound("no such model"), wire="chat"), "POST", "/v1/chat/completions", json={})
    assert (reply.status, reply.json()["error"]["message"]) == (404, "no such model")
    assert "type" not in reply.json()


@pytest.mark.parametrize("reads", [0, 1], ids=["nothing", "the head"])
async def test_a_client_that_does_not_read_is_not_waited_for_for_ever(reads: int) -> None:
    async def send(message: Message) -> None:
        nonlocal reads
        if not reads:
            await asyncio.Event().wait()
        reads -= 1

    async def turns() -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    now, loop = 1000.0, asyncio.get_running_loop()
    loop.time = lambda: now  # type: ignore[method-assign]
    answering = asyncio.create_task(respond(send, 200, [], b"hello"))
    await turns()
    now += STALL - 1
    await turns()
    assert not answering.done()
    now += 2
    await turns()
    assert answering.done()
    assert answering.result() is None


async def test_a_head_request_is_refused_without_a_body() -> None:
    reply = await call(Refusing(errors.NotFound("nothing here")), "HEAD", "/x")
    assert (reply.status, reply.body) == (404, b"")


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (errors.NotAuthorized("x"), "refused"),
        (errors.InvalidRequest("x"), "refused"),
        (errors.KeysUnavailable("x"), "refused"),
        (errors.InternalError("x"), "error"),
        (errors.GateError("x"), "error"),
        (errors.ConnectionRefused("x"), "upstream_error"),
        (errors.TimedOut("x", phase="idle"), "upstream_error"),
        (errors.ClientGone(), "client_disconnect"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)
def test_each_error_has_its_outcome(error: errors.GateError, outcome: str) -> None:
    assert outcome_of(error) == outcome


async def test_the_body_is_read_before_the_answer_goes_out() -> None:
    async with Driver(Refusing(errors.AuthenticationFailed("no token")), "POST", "/", content=None) as client:
        client.upload(bytes(1000), more=True)
        await asyncio.sleep(0)
        assert not client.status
        client.upload(b"")
        assert await client.start() == 401
        await client.finish()


async def test_the_outcome_is_settled_before_the_client_can_leave() -> None:
    app = Refusing(errors.AuthenticationFailed("no token"))
    async with Driver(app, "POST", "/", content=None) as client:
        client.upload(b"", more=True)
        await asyncio.sleep(0)
        assert app.exchange.outcome == "refused"
        client.disconnect()
        await client.finish()
    assert app.exchange.outcome == "refused"


async def test_a_body_that_is_not_read_to_its_end_closes_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Message] = []

    async def endless() -> Message:
        return {"type": "http.request", "body": bytes(2**20), "more_body": True}

    async def send(message: Message) -> None:
        sent.append(message)

    for version, expected in (("1.1", True), ("2", False)):
        sent.clear()
        scope = {"type": "http", "method": "POST", "path": "/", "headers": [], "http_version": version}
        await refuse(scope, endless, send, errors.BodyTooLarge("too large"))
        assert sent[0]["status"] == 413
        assert ((b"connection", b"close") in sent[0]["headers"]) is expected


async def test_a_client_that_waits_to_be_told_to_send_its_body_is_not_told() -> None:
    async def receive() -> Message:
        raise AssertionError("calling receive makes the server say 100 Continue")

    async def app(scope: Scope, _: Receive, send: Send) -> None:
        await refuse(scope, receive, send, errors.AuthenticationFailed("no token"))

    reply = await call(app, "POST", "/", headers={"expect": "100-continue", "content-length": "9"})
    assert (reply.status, reply.headers["connection"]) == (401, "close")


async def test_who_was_too_slow_gets_no_more_time_and_another_connection() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def slow() -> Message:
            raise AssertionError("the client has had its time")

        await refuse(scope, slow, send, errors.BodyTooSlow("too slow"))

    reply = await call(app, "POST", "/", headers={"content-length": "9"})
    assert (reply.status, reply.headers["connection"]) == (408, "close")


async def test_a_refusal_after_the_body_was_read_does_not_wait_for_more() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body = Body(receive, headers={})
        await body.read()
        await body.receive()
        await refuse(scope, body.rest, send, errors.InvalidRequest("no JSON"))

    async with asyncio.timeout(1):
        assert (await call(app, "POST", "/", content=b"{")).status == 400


async def test_nothing_is_sent_to_a_client_that_has_gone() -> None:
    async def unused(*_: object) -> None:
        raise AssertionError("there is nobody to send to or to receive from")

    scope, exchange = Exchange.enter({"type": "http", "method": "POST", "path": "/", "headers": []})
    await refuse(scope, unused, unused, errors.ClientGone())  # type: ignore[arg-type]
    assert exchange.outcome == "client_disconnect"


async def test_a_send_that_fails_because_the_client_left_is_no_error() -> None:
    async with Driver(Refusing(errors.NotFound("x")), "POST", "/") as client:
        client.disconnect(error=BrokenPipeError())
        await client.finish()


async def test_a_websocket_is_refused_by_closing_it() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    scope, exchange = Exchange.enter({"type": "websocket", "path": "/", "headers": []})
    await refuse(scope, receive, send, errors.AuthenticationFailed("no token"))
    assert sent == [{"type": "websocket.close", "code": 1008}]
    assert exchange.outcome == "refused"


async def test_what_is_for_the_operator_is_not_in_the_answer() -> None:
    error = errors.AuthenticationFailed("the token is not valid", detail="kid 7 of https://sso.corp.internal")
    app = Refusing(error)
    reply = await call(app, "POST", "/", json={})
    assert b"corp.internal" not in reply.body + json.dumps(dict(reply.headers)).encode()
    assert app.exchange.detail == error.detail


@pytest.mark.parametrize(("status", "length"), [(200, "5"), (204, None)])
async def test_an_answer_has_a_length_where_it_may_have_one(status: int, length: str | None) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, status, [(b"content-type", b"text/plain")], b"" if length is None else b"hello")

    reply = await call(app)
    assert reply.headers.get("content-length") == length
