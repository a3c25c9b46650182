"""The driver behaves like a server, and its validator forgives nothing."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

import pytest

from asgi_llmgate._types import Message, Receive, Scope, Send
from asgi_llmgate.testing.driver import Driver, call, http_scope
from asgi_llmgate.testing.validator import ProtocolViolation, Validator

START: Message = {"type": "http.response.start", "status": 200, "headers": []}
LAST: Message = {"type": "http.response.body", "body": b""}


def start(*headers: tuple[Any, Any], status: Any = 200) -> Message:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(data: Any = b"", **more: Any) -> Message:
    return {"type": "http.response.body", "body": data, **more}


def sending(*messages: Message):
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    return app


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    await send(START)
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        await send(body(message["body"], more_body=message["more_body"]))
        if not message["more_body"]:
            return


async def test_a_call_returns_the_whole_answer():
    reply = await call(sending(start((b"x-a", b"1"), (b"x-a", b"2")), body(b'{"a":1}')))
    assert (reply.status, reply.headers, reply.json()) == (200, {"x-a": "1, 2"}, {"a": 1})


async def test_the_request_has_what_a_client_would_send():
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        await echo(scope, receive, send)

    reply = await call(app, "POST", "/v1/méssages", query="beta=true", headers={"X-Key": "k"}, json={"a": 1})
    (scope,) = seen
    assert reply.body == b'{"a":1}'
    assert (scope["method"], scope["path"], scope["raw_path"]) == ("POST", "/v1/méssages", b"/v1/m%C3%A9ssages")
    assert scope["query_string"] == b"beta=true"
    assert dict(scope["headers"]) == {
        b"host": b"gate.test",
        b"x-key": b"k",
        b"content-type": b"application/json",
        b"content-length": b"7",
    }


async def test_single_keys_of_the_scope_can_be_overridden():
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        await echo(scope, receive, send)

    await call(app, scope={"root_path": "/llm", "client": None})
    assert (seen[0]["root_path"], seen[0]["client"]) == ("/llm", None)


async def test_an_answer_is_read_while_it_is_made():
    proceed = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(body(b"one", more_body=True))
        await proceed.wait()
        await send(body(b"two"))

    async with Driver(app) as client:
        assert await client.start() == 200
        assert await client.chunk() == b"one"
        assert not client.returned
        proceed.set()
        assert [await client.chunk(), await client.chunk(), await client.chunk()] == [b"two", b"", b""]


async def test_the_end_of_the_answer_is_seen_before_the_app_returns():
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(body(b"all"))
        await asyncio.Event().wait()

    async with Driver(app) as client:
        assert (await client.read()).body == b"all"
        assert not client.returned


async def test_a_body_can_be_uploaded_in_pieces():
    async with Driver(echo, "POST", content=None) as client:
        client.upload(b"one", more=True)
        assert await client.chunk() == b"one"
        client.upload(b"two")
        assert await client.chunk() == b"two"
        await client.finish()


async def test_an_iterable_body_arrives_in_as_many_messages():
    reply = await call(echo, "POST", content=[b"a", b"b", b"c"])
    assert reply.body == b"abc"


async def test_a_client_that_leaves_is_reported_at_once_and_again():
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(3):
            seen.append((await receive())["type"])
        await send(START)  # goes nowhere, as in every server

    async with Driver(app, "POST", content=[b"never read"]) as client:
        client.disconnect()
        await client.finish()
    assert seen == ["http.disconnect"] * 3
    assert client.status == 0


async def test_a_waiting_receive_hears_that_the_client_left():
    async with Driver(echo, "POST", content=None) as client:
        await client.start()
        client.disconnect()
        await client.finish()


async def test_send_to_a_client_that_left_can_raise():
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        with pytest.raises(BrokenPipeError):
            await send(START)

    async with Driver(app, content=None) as client:
        client.disconnect(error=BrokenPipeError("gone"))
        await client.finish()


async def test_receive_says_disconnect_after_a_complete_answer():
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await sending(START, LAST)(scope, receive, send)
        seen.append((await receive())["type"])

    await call(app)
    assert seen == ["http.disconnect"]


async def test_a_client_that_does_not_read_holds_up_send():
    sent: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        for number in range(3):
            await send(body(b"x", more_body=number < 2))
            sent.append(number)

    async with Driver(app) as client:
        client.hold()
        await asyncio.sleep(0)
        assert sent == []
        client.release()
        await client.finish()
    assert sent == [0, 1, 2]


async def test_what_the_app_raises_comes_after_what_it_sent():
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(body(b"x", more_body=True))
        raise ZeroDivisionError

    async with Driver(app) as client:
        assert await client.chunk() == b"x"
        with pytest.raises(ZeroDivisionError):
            await client.chunk()


@pytest.mark.parametrize("method", ["start", "chunk", "read", "finish"])
async def test_an_early_exception_comes_out_of_whatever_waits(method: str):
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise ZeroDivisionError

    async with Driver(app) as client:
        with pytest.raises(ZeroDivisionError):
            await getattr(client, method)()


async def test_leaving_the_block_does_not_swallow_an_exception_of_the_app():
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(LAST)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        async with Driver(app) as client:
            await client.read()


async def test_cancelling_waits_until_the_app_has_let_go():
    cleaned = False

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal cleaned
        await send(START)
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned = True

    async with Driver(app) as client:
        await client.start()
        await client.cancel()
        assert cleaned
        assert await client.chunk() == b""


async def test_a_wait_has_an_end():
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    async with Driver(app, timeout=0.01) as client:
        with pytest.raises(TimeoutError):
            await client.start()


async def test_the_app_runs_in_a_context_of_its_own():
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="clean")
    variable.set("the test's")
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(variable.get())
        await sending(START, LAST)(scope, receive, send)

    await call(app)
    assert seen == ["clean"]


async def test_a_violation_shows_although_the_app_has_caught_it():
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        with pytest.raises(ProtocolViolation):
            await send(START)
        await send(LAST)

    with pytest.raises(ProtocolViolation, match=r"http\.response\.start where"):
        await call(app)


@pytest.mark.parametrize(
    ("messages", "complaint"),
    [
        pytest.param([], "without a response", id="nothing"),
        pytest.param([START], "without completing", id="start alone"),
        pytest.param([START, body(more_body=True)], "without completing", id="open end"),
        pytest.param([LAST], "where http.response.start is due", id="body first"),
        pytest.param([START, LAST, LAST], "after the response was complete", id="after the end"),
        pytest.param([{**START, "reason": "OK"}], "has no reason", id="unknown key"),
        pytest.param([{"type": "websocket.accept"}], "websocket.accept", id="other protocol"),
        pytest.param([start(status=101)], "not a final", id="informational status"),
        pytest.param([start(status="200")], "not a final", id="status is text"),
        pytest.param([start(("x-a", "1"))], "pair of bytes", id="text header"),
        pytest.param([start((b"X-A", b"1"))], "lower-case", id="upper-case name"),
        pytest.param([start((b"x a", b"1"))], "lower-case", id="blank in a name"),
        pytest.param([start((b"x-a", b"1\r\nx-b: 2"))], "control characters", id="header injection"),
        pytest.param([start((b"x-a", b" 1"))], "outer blanks", id="blank before a value"),
        pytest.param([start((b"connection", b"keep-alive"))], "belongs to the server", id="hop by hop"),
        pytest.param([start((b"content-length", b"x"))], "one number", id="length is no number"),
        pytest.param(
            [start((b"content-length", b"0"), (b"content-length", b"0"))], "one number", id="length given twice"
        ),
        pytest.param([start((b"content-length", b"3")), body(b"ab")], "promised 3", id="too short"),
        pytest.param([start((b"content-length", b"1")), body(b"ab", more_body=True)], "promised 1", id="too long"),
        pytest.param([START, body("text")], "not bytes", id="text body"),
        pytest.param([START, body(more_body=1)], "not bool", id="more_body is a number"),
        pytest.param([start(status=204), body(b"x")], "allows none", id="204 with a body"),
    ],
)
async def test_the_validator_refuses(messages: list[Message], complaint: str):
    with pytest.raises(ProtocolViolation, match=complaint):
        await call(sending(*messages))


def test_an_answer_to_head_may_promise_a_length_but_has_no_body():
    validator = Validator("HEAD")
    validator.check(start((b"content-length", b"12")))
    with pytest.raises(ProtocolViolation, match="allows none"):
        validator.check(body(b"x"))
    validator.check(LAST)
    validator.end()


def test_unusual_headers_that_are_allowed():
    Validator("GET").check(start((b"x-a", b""), (b"x-b", b"a\tb \xff"), (b"connection", b"close")))


async def test_events_of_a_stream_are_decoded():
    reply = await call(sending(START, body(b': hi\n\nevent: ping\ndata: {"type": "ping"}\n\ndata: [1]\n\n')))
    assert reply.events() == [("ping", {"type": "ping"}), ("message", [1])]


def test_a_host_header_of_the_test_is_kept():
    assert http_scope(headers={"Host": "a.test"})["headers"] == [(b"host", b"a.test")]
