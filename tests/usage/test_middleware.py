"""Exactly one record, whatever happens, and before the end of the answer can be read: in memory."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest

from asgi_llmgate.asgi.responses import refuse, respond
from asgi_llmgate.errors import (
    AuthenticationFailed,
    BodyTooLarge,
    Broken,
    ClientGone,
    GateError,
    InvalidRequest,
    KeysUnavailable,
    NotAuthorized,
    RateLimited,
    SettingsError,
    row_for,
)
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.exchange_values import Attempt, ResponseMetadata, Target, Usage
from asgi_llmgate.secret_values import Secret
from asgi_llmgate.testing.driver import Driver, call
from asgi_llmgate.usage import UsageMiddleware, UsageRecord

PROMPT = "the secret prompt"
DEFECT = "internal error of the gateway; try again, or tell the operator of the gateway"
STREAM = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]}
JSON = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]}


def body(data=b"", more=False):
    return {"type": "http.response.body", "body": data, "more_body": more}


async def hello(scope, receive, send):
    await respond(send, 200, [], b"hello")


async def stream(scope, receive, send):
    await send(STREAM)
    for number in range(3):
        await send(body(b"data: %d\n\n" % number, more=True))
    await send(body())


async def waiting_stream(scope, receive, send):
    """As a terminal app does it: an open stream until the client leaves."""
    await send(STREAM)
    await send(body(b"data: 0\n\n", more=True))
    while (await receive())["type"] != "http.disconnect":
        pass


class Layer:
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        await self.app(scope, receive, send)


class Refusing(Layer):
    def __init__(self, app, error):
        super().__init__(app)
        self.error = error

    async def __call__(self, scope, receive, send):
        await refuse(scope, receive, send, self.error)


class Raising(Layer):
    def __init__(self, app, error):
        super().__init__(app)
        self.error = error

    async def __call__(self, scope, receive, send):
        raise self.error


class LookingAtTheLast(Layer):
    """Stands where the server does: how many records were there when each last message arrived?"""

    def __init__(self, app, sink):
        super().__init__(app)
        self.sink = sink
        self.seen: list[int] = []

    async def __call__(self, scope, receive, send):
        async def look(message):
            if message["type"] == "http.response.body" and not message.get("more_body"):
                self.seen.append(len(self.sink.records))
            await send(message)

        await self.app(scope, receive, look)


def stacked(inner, position: int, layer: Callable[..., Layer], *args: object):
    """Four layers, as in the gateway, of which the one at `position` is `layer`."""
    app = inner
    for place in reversed(range(4)):
        app = layer(app, *args) if place == position else Layer(app)
    return app


@pytest.mark.parametrize(
    ("status", "outcome"), [(200, "ok"), (204, "ok"), (399, "ok"), (400, "refused"), (499, "refused"), (500, "error")]
)
async def test_an_answer_that_no_layer_has_judged_is_judged_by_its_status(sink, status, outcome):
    async def app(scope, receive, send):
        await respond(send, status, [], b"")

    await call(UsageMiddleware(app, sinks=[sink]), "POST", "/v1/messages")
    record = sink.only()
    assert (record.method, record.path, record.status, record.outcome) == ("POST", "/v1/messages", status, outcome)


async def test_what_the_layers_have_left_in_the_exchange_is_recorded(sink, full_exchange):
    told = full_exchange()

    async def app(scope, receive, send):
        exchange = Exchange.of(scope)
        exchange.target, exchange.call, exchange.usage = told.target, told.call, Usage(input=17, output=33)
        exchange.response = ResponseMetadata("gpt-4o-mini-2024-07-18", "chatcmpl-1", ("stop",))
        exchange.first_token_at = exchange.started + 0.5
        exchange.settle("upstream_truncated", reason="UpstreamFailure")
        await stream(scope, receive, send)

    await call(UsageMiddleware(app, sinks=[sink], fields={"team": lambda exchange: exchange.method}))
    flat = sink.only().flat()
    assert flat["gen_ai.usage.output_tokens"] == 33
    assert flat["gen_ai.response.id"] == "chatcmpl-1"
    assert flat["ttft_ms"] == 500.0
    assert flat["team"] == "GET"
    assert (flat["outcome"], flat["status"]) == ("upstream_truncated", 200)


async def test_the_times_are_stamped_in_order(sink):
    stamped = []

    async def app(scope, receive, send):
        stamped.append(Exchange.of(scope))
        await stream(scope, receive, send)

    await call(UsageMiddleware(app, sinks=[sink]))
    (exchange,) = stamped
    assert exchange.started <= exchange.first_byte_at <= exchange.ended_at
    assert sink.only().duration_ms == round((exchange.ended_at - exchange.started) * 1000, 1)


@pytest.mark.parametrize("position", range(4))
@pytest.mark.parametrize(
    "error",
    [
        AuthenticationFailed("no bearer token found"),
        KeysUnavailable("keys cannot be had"),
        InvalidRequest("messages: missing"),
        BodyTooLarge("too large"),
        NotAuthorized("authorization failed", detail="rule staff"),
        RateLimited("slow down", retry_after=3),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_refusal_of_any_layer_is_one_record_with_its_reason(sink, position, error):
    app = stacked(hello, position, Refusing, error)
    reply = await call(UsageMiddleware(app, sinks=[sink]), "POST", "/v1/messages", content=b"{}")
    record, row = sink.only(), row_for(error)
    assert reply.status == record.status == row.status
    assert (record.outcome, record.reason, record.error) == ("refused", row.reason, error.message)
    assert record.detail == error.detail
    assert reply.json()["request_id"] == reply.headers["request-id"] == record.request_id


@pytest.mark.parametrize("position", range(4))
async def test_an_exception_in_any_layer_is_a_500_and_a_traceback_without_its_message(sink, caplog, position):
    app = stacked(hello, position, Raising, ValueError(PROMPT))
    reply = await call(UsageMiddleware(app, sinks=[sink]), "POST", "/v1/messages", content=b"{}")
    assert reply.status == 500
    assert reply.json()["error"] == {"type": "api_error", "message": DEFECT}
    record = sink.only()
    assert (record.status, record.outcome, record.reason, record.detail) == (500, "error", "Internal", "ValueError")
    (entry,) = caplog.records
    assert (entry.name, entry.levelno) == ("llmgate", logging.ERROR)
    assert record.request_id in entry.getMessage()
    assert "raise self.error" in entry.getMessage()
    assert entry.exc_info is None  # a handler that shows the variables of frames would show keys and prompts
    assert PROMPT not in caplog.text + str(record) + reply.body.decode()


@pytest.mark.parametrize("position", range(4))
@pytest.mark.parametrize(("error", "outcome"), [(InvalidRequest("no"), "refused"), (Broken("cut"), "upstream_error")])
async def test_an_error_of_ours_that_nobody_has_answered_gets_its_own_answer(sink, caplog, position, error, outcome):
    app = stacked(hello, position, Raising, error)
    reply = await call(UsageMiddleware(app, sinks=[sink]), "POST", "/v1/messages", content=b"{}")
    assert reply.status == sink.only().status == row_for(error).status
    assert (sink.only().outcome, sink.only().reason) == (outcome, row_for(error).reason)
    assert caplog.records == []


@pytest.mark.parametrize("error", [ValueError(PROMPT), Broken("cut")])
async def test_an_exception_in_a_stream_ends_it_with_an_error_event(sink, error):
    async def app(scope, receive, send):
        await send(STREAM)
        await send(body(b'event: ping\ndata: {"type":"ping"}\n\n', more=True))
        raise error

    reply = await call(UsageMiddleware(app, sinks=[sink]))
    assert [name for name, _ in reply.events()] == ["ping", "error"]
    message = "cut" if isinstance(error, GateError) else DEFECT
    assert reply.events()[1][1] == {
        "type": "error",
        "error": {"type": "api_error", "message": message},
        "request_id": sink.only().request_id,
    }
    assert sink.only().status == 200
    assert sink.only().outcome == ("upstream_error" if isinstance(error, Broken) else "error")


@pytest.mark.parametrize("kind", [b"Text/Event-Stream", b"TEXT/EVENT-STREAM; charset=UTF-8", b"text/event-stream;a=b"])
async def test_a_stream_is_one_in_whatever_case_its_type_is_written(sink, kind):
    async def app(scope, receive, send):
        await send({**STREAM, "headers": [(b"content-type", kind)]})
        await send(body(b": hello\n\n", more=True))
        raise Broken("cut")

    reply = await call(UsageMiddleware(app, sinks=[sink]))
    assert [name for name, _ in reply.events()] == ["error"]


async def test_an_exception_in_another_answer_is_left_to_the_server_which_cuts_it_off(sink):
    async def app(scope, receive, send):
        await send(JSON)
        await send(body(b'{"half":', more=True))
        raise ValueError(PROMPT)

    async with Driver(UsageMiddleware(app, sinks=[sink])) as client:
        assert await client.chunk() == b'{"half":'
        with pytest.raises(ValueError, match=PROMPT):
            await client.chunk()
    assert (sink.only().status, sink.only().outcome) == (200, "error")


async def test_an_exception_after_the_end_is_logged_and_changes_nothing(sink, caplog):
    async def app(scope, receive, send):
        await hello(scope, receive, send)
        raise ValueError(PROMPT)

    reply = await call(UsageMiddleware(app, sinks=[sink]))
    assert (reply.status, reply.body) == (200, b"hello")
    assert sink.outcomes() == ["ok"]
    assert "ValueError" in caplog.text


@pytest.mark.parametrize(
    ("messages", "status", "events"),
    [([], 500, []), ([STREAM], 200, ["error"]), ([STREAM, body(b"data: 1\n\n", more=True)], 200, ["message", "error"])],
    ids=["no start", "no body", "no end"],
)
async def test_an_app_that_returns_too_early_is_a_defect(sink, caplog, messages, status, events):
    async def app(scope, receive, send):
        for message in messages:
            await send(message)

    reply = await call(UsageMiddleware(app, sinks=[sink]))
    assert reply.status == status
    if events:
        assert [name for name, _ in reply.events()] == events
    assert (sink.only().outcome, sink.only().reason) == ("error", "Internal")
    assert sink.only().request_id in caplog.text


async def test_a_json_answer_without_an_end_is_left_to_the_server(sink):
    async def app(scope, receive, send):
        await send(JSON)

    with pytest.raises(AssertionError, match="without completing"):
        await call(UsageMiddleware(app, sinks=[sink]))
    assert sink.outcomes() == ["error"]


async def test_a_client_that_leaves_before_its_body_is_there(sink):
    async def app(scope, receive, send):
        while (await receive())["type"] != "http.disconnect":
            pass
        raise ClientGone

    async with Driver(UsageMiddleware(app, sinks=[sink]), "POST", content=None) as client:
        client.upload(b"{", more=True)
        client.disconnect()
        await client.finish()
    record = sink.only()
    assert (record.outcome, record.reason, record.status) == ("client_disconnect", "ClientClosed", 499)


async def test_a_client_that_leaves_during_the_answer(sink, caplog):
    async with Driver(UsageMiddleware(waiting_stream, sinks=[sink])) as client:
        assert await client.chunk() == b"data: 0\n\n"
        assert sink.records == []
        client.disconnect()
        await client.finish()
    assert (sink.only().outcome, sink.only().status) == ("client_disconnect", 200)
    assert caplog.records == []


async def test_a_client_that_has_left_is_recorded_although_the_app_finishes_its_answer(sink):
    async def app(scope, receive, send):
        await waiting_stream(scope, receive, send)
        await send(body())

    async with Driver(UsageMiddleware(app, sinks=[sink])) as client:
        await client.chunk()
        client.disconnect()
        await client.finish()
    assert sink.outcomes() == ["client_disconnect"]


async def test_a_client_that_leaves_after_the_answer_is_no_disconnect(sink):
    async def app(scope, receive, send):
        await receive()
        await stream(scope, receive, send)
        assert (await receive())["type"] == "http.disconnect"
        assert (await receive())["type"] == "http.disconnect"

    async with Driver(UsageMiddleware(app, sinks=[sink])) as client:
        await client.read()
        client.disconnect()
        await client.finish()
    assert sink.outcomes() == ["ok"]


async def test_a_disconnect_that_arrives_while_the_last_message_leaves_is_none(sink):
    async def app(scope, receive, send):
        watcher = asyncio.create_task(receive())
        await hello(scope, receive, send)
        assert (await watcher)["type"] == "http.disconnect"

    async with Driver(UsageMiddleware(app, sinks=[sink]), content=None) as client:
        client.hold()
        await asyncio.sleep(0)
        client.release()
        await client.finish()
    assert sink.outcomes() == ["ok"]


async def test_a_send_that_raises_because_the_client_left_is_a_disconnect(sink, caplog):
    async def app(scope, receive, send):
        await send(STREAM)
        await receive()
        await send(body(b"data: 0\n\n", more=True))

    async with Driver(UsageMiddleware(app, sinks=[sink]), content=None) as client:
        await client.start()
        client.disconnect(error=BrokenPipeError("gone"))
        await client.finish()
    assert sink.outcomes() == ["client_disconnect"]
    assert caplog.records == []


@pytest.mark.parametrize("start", [None, STREAM, JSON], ids=["before the start", "in a stream", "in another answer"])
async def test_a_client_that_the_app_has_given_up_is_a_disconnect(sink, caplog, start):
    async def app(scope, receive, send):
        if start is not None:
            await send(start)
        await resume.wait()
        raise ClientGone  # it did not read for too long: no server reports that

    resume = asyncio.Event()
    async with Driver(UsageMiddleware(app, sinks=[sink])) as client:
        if start is not None:
            await client.start()
        client.disconnect()
        resume.set()
        await client.finish()
    assert (sink.only().outcome, sink.only().status) == ("client_disconnect", 200 if start else 499)
    assert caplog.records == []


async def test_a_client_that_leaves_before_the_error_event_is_no_error_for_the_server(sink):
    async def app(scope, receive, send):
        await send(STREAM)
        await resume.wait()
        raise ValueError

    resume = asyncio.Event()
    async with Driver(UsageMiddleware(app, sinks=[sink])) as client:
        await client.start()
        client.disconnect(error=BrokenPipeError("gone"))
        resume.set()
        await client.finish()
    assert sink.outcomes() == ["error"]


async def test_an_os_error_of_the_app_itself_is_a_crash_and_not_a_disconnect(sink):
    reply = await call(UsageMiddleware(Raising(hello, ConnectionResetError()), sinks=[sink]))
    assert (reply.status, sink.outcomes()) == (500, ["error"])


async def test_a_crash_after_the_client_has_left_is_a_disconnect_but_is_logged(sink, caplog):
    async def app(scope, receive, send):
        await waiting_stream(scope, receive, send)
        raise ValueError

    async with Driver(UsageMiddleware(app, sinks=[sink])) as client:
        await client.chunk()
        client.disconnect()
        await client.finish()
    assert sink.outcomes() == ["client_disconnect"]
    assert "ValueError" in caplog.text


@pytest.mark.parametrize("started", [False, True])
async def test_a_cancelled_request_is_told_so_recorded_and_stays_cancelled(sink, started):
    cancelled = False

    async def app(scope, receive, send):
        nonlocal cancelled
        if started:
            await send(STREAM)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled = True
            raise

    async with Driver(UsageMiddleware(app, sinks=[sink])) as client:
        if started:
            await client.start()
        else:
            await asyncio.sleep(0)
        await client.cancel()
        reply = await client.read()
    assert cancelled
    record = sink.only()
    assert (record.outcome, record.reason) == ("shutdown", "Shutdown")
    assert reply.status == record.status == (200 if started else 503)
    told = reply.events()[0][1] if started else reply.json()
    assert told["error"] == {"type": "api_error", "message": "the gateway is shutting down; try again"}


async def test_a_cancelled_json_answer_is_cut_off(sink):
    async def app(scope, receive, send):
        await send(JSON)
        await send(body(b'{"half":', more=True))
        await asyncio.Event().wait()

    async with Driver(UsageMiddleware(app, sinks=[sink])) as client:
        assert await client.chunk() == b'{"half":'
        await client.cancel()
        assert await client.chunk() == b""
    assert sink.outcomes() == ["shutdown"]


async def test_a_cancelled_request_does_not_wait_for_a_client_that_does_not_read(sink, monkeypatch):
    monkeypatch.setattr("asgi_llmgate.usage.middleware._LAST_SECONDS", 0.01)
    async with Driver(UsageMiddleware(waiting_stream, sinks=[sink])) as client:
        await client.chunk()
        client.hold()
        await client.cancel()
    assert sink.outcomes() == ["shutdown"]


async def test_a_crash_in_a_stream_does_not_wait_for_a_client_that_does_not_read(sink, monkeypatch):
    monkeypatch.setattr("asgi_llmgate.usage.middleware._LAST_SECONDS", 0.01)

    async def crashing(scope, receive, send):
        await send(STREAM)
        client.hold()
        raise ValueError

    async with Driver(UsageMiddleware(crashing, sinks=[sink])) as client:
        client._validator.end = lambda: None  # the answer stays without an end: its server closes the connection
        await client.start()
        await client.finish()
    assert sink.outcomes() == ["error"]


async def test_a_client_that_the_app_has_given_up_because_it_does_not_read_is_told_nothing_more(sink, caplog):
    async def stalled(scope, receive, send):
        await send(STREAM)
        Exchange.of(scope).settle_error("client_disconnect", ClientGone())
        client.hold()

    async with Driver(UsageMiddleware(stalled, sinks=[sink])) as client:
        client._validator.end = lambda: None
        await client.start()
        await client.finish()
    assert sink.outcomes() == ["client_disconnect"]
    assert caplog.messages == []


async def test_a_cancelled_request_whose_client_has_left_is_a_disconnect(sink):
    async def app(scope, receive, send):
        await receive()
        await asyncio.Event().wait()

    async with Driver(UsageMiddleware(app, sinks=[sink]), content=None) as client:
        client.disconnect()
        await asyncio.sleep(0)
        await client.cancel()
    assert sink.outcomes() == ["client_disconnect"]


async def test_what_was_settled_before_a_cancellation_counts(sink):
    async def app(scope, receive, send):
        Exchange.of(scope).settle("upstream_error", reason="Timeout")
        await asyncio.Event().wait()

    async with Driver(UsageMiddleware(app, sinks=[sink])) as client:
        await asyncio.sleep(0)
        await client.cancel()
    assert (sink.only().outcome, sink.only().reason) == ("upstream_error", "Timeout")


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
async def test_what_ends_the_process_passes_through_and_is_recorded(sink, error):
    async def app(scope, receive, send):
        raise error

    async def receive():
        return {"type": "http.request"}

    async def send(message):
        raise AssertionError(message)

    coroutine = UsageMiddleware(app, sinks=[sink])({"type": "http", "method": "GET", "path": "/"}, receive, send)
    with pytest.raises(error):
        coroutine.send(None)
    assert sink.outcomes() == ["shutdown"]


def test_a_server_that_drops_the_coroutine_gets_a_record_too(sink):
    async def app(scope, receive, send):
        await asyncio.Event().wait()

    async def nothing(*args):
        return {}

    loop = asyncio.new_event_loop()
    try:
        coroutine = UsageMiddleware(app, sinks=[sink])({"type": "http"}, nothing, nothing)
        asyncio.events._set_running_loop(loop)
        coroutine.send(None)
        coroutine.close()
    finally:
        asyncio.events._set_running_loop(None)
        loop.close()
    assert sink.outcomes() == ["shutdown"]


COMPLETE = [pytest.param(hello, id="whole"), pytest.param(stream, id="stream")]
REFUSED = [
    pytest.param(Refusing(hello, NotAuthorized("no")), id="refusal"),
    pytest.param(Raising(hello, ValueError()), id="crash"),
    pytest.param(Raising(hello, InvalidRequest("no")), id="an error of ours"),
]


@pytest.mark.parametrize("app", COMPLETE + REFUSED)
async def test_the_record_is_there_when_the_last_message_leaves(sink, app):
    server = LookingAtTheLast(UsageMiddleware(app, sinks=[sink]), sink)
    await call(server)
    assert server.seen == [1]
    assert len(sink.records) == 1


@pytest.mark.parametrize("app", REFUSED)
async def test_an_answer_to_head_has_a_record_too(sink, app):
    server = LookingAtTheLast(UsageMiddleware(app, sinks=[sink]), sink)
    reply = await call(server, "HEAD")
    assert (reply.body, server.seen, len(sink.records)) == (b"", [1], 1)


async def test_the_record_is_there_when_an_error_event_leaves(sink):
    async def app(scope, receive, send):
        await send(STREAM)
        raise ValueError

    server = LookingAtTheLast(UsageMiddleware(app, sinks=[sink]), sink)
    await call(server)
    assert server.seen == [1]


async def test_a_file_sent_by_the_server_is_an_answer(sink):
    sent = []

    async def app(scope, receive, send):
        await send(JSON)
        await send({"type": "http.response.pathsend", "path": "/etc/hostname"})

    async def send(message):
        sent.append((message["type"], len(sink.records)))

    await UsageMiddleware(app, sinks=[sink])({"type": "http", "method": "GET", "path": "/"}, None, send)
    assert sent == [("http.response.start", 0), ("http.response.pathsend", 1)]
    assert sink.outcomes() == ["ok"]


ALL_ENDINGS = [*COMPLETE, *REFUSED, pytest.param(waiting_stream, id="disconnect")]


async def end(app):
    async with Driver(app) as client:
        await client.start()
        client.disconnect()
        await client.finish()


@pytest.mark.parametrize("app", ALL_ENDINGS)
async def test_of_two_layers_around_one_call_the_inner_one_writes(app):
    inner, outer = Named("inner"), Named("outer")
    await end(UsageMiddleware(Layer(UsageMiddleware(app, sinks=[inner])), sinks=[outer]))
    assert (len(inner.records), len(outer.records)) == (1, 0)


class OpeningAChild(Layer):
    """What a mounted gateway does."""

    async def __call__(self, scope, receive, send):
        scope, _ = Exchange.child(scope)
        await self.app(scope, receive, send)


@pytest.mark.parametrize("app", ALL_ENDINGS)
async def test_of_a_gateway_inside_a_host_with_a_layer_of_ours_the_gateway_writes(app):
    inner, outer = Named("inner"), Named("outer")
    gateway = OpeningAChild(UsageMiddleware(app, sinks=[inner]))
    await end(UsageMiddleware(Layer(gateway), sinks=[outer]))
    assert (len(inner.records), len(outer.records)) == (1, 0)


async def test_a_call_that_the_gateway_makes_itself_has_a_record_of_its_own(sink, full_exchange):
    async def app(scope, receive, send):
        exchange = Exchange.of(scope)
        for name in ("identity", "token"):
            setattr(exchange, name, getattr(full_exchange(token=Secret("t")), name))
        further = exchange.further(full_exchange().call)
        further.attempts = [Attempt(Target("b", "p", "m"), further.started, status=429)]
        assert further.token is exchange.token
        further.settle("upstream_error", reason="UpstreamFailed")
        further.record(further)
        further.record(further)
        await respond(send, 200, [], b"hello")

    layer = UsageMiddleware(app, sinks=[sink], fields={"org": lambda exchange: exchange.identity.claims["org"]})
    await call(layer, "POST", "/v1/messages", headers={"user-agent": "claude-cli"})
    own, asked = sink.records
    assert own.parent_request_id == asked.request_id != own.request_id
    assert (own.outcome, own.status, own.reason) == ("upstream_error", 429, "UpstreamFailed")
    assert (asked.outcome, asked.status, asked.parent_request_id) == ("ok", 200, "")
    for same in ("method", "path", "client_ip", "user_agent", "subject", "fields"):
        assert getattr(own, same) == getattr(asked, same) not in ("", {})


async def test_a_call_of_the_gateways_own_needs_no_layer_that_records(full_exchange):
    further = Exchange().further(full_exchange().call)
    further.record(further)
    assert not further.recorded


async def test_the_outer_layer_writes_what_does_not_reach_the_inner_one():
    inner, outer = Named("inner"), Named("outer")
    refusing = Refusing(OpeningAChild(UsageMiddleware(hello, sinks=[inner])), NotAuthorized("no"))
    await call(UsageMiddleware(refusing, sinks=[outer]))
    assert (len(inner.records), len(outer.records)) == (0, 1)


class Named:
    def __init__(self, name: str) -> None:
        self.name = name
        self.records: list[UsageRecord] = []

    def emit(self, record: UsageRecord) -> None:
        self.records.append(record)


@pytest.mark.parametrize("kind", ["websocket", "lifespan"])
async def test_other_scopes_pass_untouched(sink, kind):
    seen = []

    async def app(*args):
        seen.append(args)

    scope, receive, send = {"type": kind}, object(), object()
    await UsageMiddleware(app, sinks=[sink])(scope, receive, send)
    assert seen == [(scope, receive, send)]
    assert sink.records == []


async def test_fifty_streams_at_once_are_fifty_records(sink):
    app = UsageMiddleware(waiting_stream, sinks=[sink])

    async def one(number: int) -> None:
        async with Driver(app, path=f"/{number}") as client:
            await client.chunk()
            if number % 2:
                client.disconnect()
                await client.finish()
            else:
                await client.cancel()

    async with asyncio.TaskGroup() as group:
        for number in range(50):
            group.create_task(one(number))
    assert sorted(sink.outcomes()) == ["client_disconnect"] * 25 + ["shutdown"] * 25
    assert len({record.path for record in sink.records}) == 50
    assert len({record.request_id for record in sink.records}) == 50


async def test_a_failing_sink_changes_nothing_for_the_client_nor_for_another_sink(sink, caplog):
    class Failing:
        def emit(self, record):
            raise OSError(28, "No space left on device")

    reply = await call(UsageMiddleware(hello, sinks=[Failing(), sink]))
    assert reply.body == b"hello"
    assert sink.outcomes() == ["ok"]
    assert "No space left" in caplog.text


async def test_a_value_that_cannot_be_recorded_costs_its_facts_but_not_the_record(sink, caplog):
    async def app(scope, receive, send):
        Exchange.of(scope).dropped = (None,)
        await hello(scope, receive, send)

    reply = await call(UsageMiddleware(app, sinks=[sink]))
    assert reply.status == sink.only().status == 200
    assert sink.only().request_id in caplog.text


async def test_a_refusal_after_a_crash_does_not_wait_for_a_body_that_was_read(sink):
    async def app(scope, receive, send):
        while (await receive())["more_body"]:
            pass
        raise ValueError

    async with Driver(UsageMiddleware(app, sinks=[sink]), "POST", content=[b"a", b"b"], timeout=0.5) as client:
        assert await client.start() == 500


async def test_a_refusal_after_a_crash_reads_the_body_that_is_still_coming(sink):
    async with Driver(UsageMiddleware(Raising(hello, ValueError()), sinks=[sink]), "POST", content=None) as client:
        client.upload(b"a", more=True)
        for _ in range(10):
            await asyncio.sleep(0)
        assert sink.records == []
        client.upload(b"b")
        assert await client.start() == 500


@pytest.mark.parametrize("name", ["status", "gen_ai.request.model", "fields", "a b", 'a"', "", "1st", "a\n", "x" * 65])
def test_a_field_with_an_impossible_name_is_refused_at_start(name):
    with pytest.raises(SettingsError) as caught:
        UsageMiddleware(hello, sinks=[], fields={name: str})
    assert caught.value.path == f"usage.fields.{name}".rstrip(".")
