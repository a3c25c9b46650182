"""The terminal app with a real model server behind it, called in memory so that a test can look on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from asgi_llmgate import Backend, Exchange, Identity, ModelRow, ModelTable, TranslationApp
from asgi_llmgate.asgi import Draining
from asgi_llmgate.route import Route
from asgi_llmgate.routing.routes import ROUTES
from asgi_llmgate.testing.driver import Driver, call
from asgi_llmgate.testing.grammar import check_stream
from asgi_llmgate.testing.model_script import Turn, raw, refuse, say
from asgi_llmgate.testing.model_script import call as tool_call
from asgi_llmgate.testing.model_server import ModelServer
from tests.endpoints.calling import ask, asking

Serve = Callable[..., str]


async def test_an_answer_is_an_anthropic_message(gate: Any) -> None:
    app, server = gate(say("Hi there."))
    reply = await ask(app)
    message = reply.json()
    assert reply.status == 200
    assert (message["type"], message["role"], message["stop_reason"]) == ("message", "assistant", "end_turn")
    assert message["content"] == [{"type": "text", "text": "Hi there."}]
    assert message["model"] == "gpt-4o-mini-2024-07-18"
    assert reply.headers["request-id"] == app.exchange.request_id
    assert server.requests[0].body["model"] == "gpt-4o-mini"


async def test_a_streamed_answer_is_the_same_message_and_the_same_usage(gate: Any) -> None:
    turn = say("Let me look.", reasoning="Hm.") + tool_call("Read", file_path="a") + tool_call("Read", file_path="b")
    app, _ = gate(turn, turn.interleaved())
    tools = [{"name": "Read", "input_schema": {"type": "object"}}]
    whole = (await ask(app, tools=tools)).json()
    usage = app.exchange.usage
    streamed = check_stream((await ask(app, stream=True, tools=tools)).body)
    assert [block["type"] for block in whole["content"]] == ["text", "tool_use", "tool_use"]
    assert [{**block, "id": ""} for block in streamed["content"]] == [{**block, "id": ""} for block in whole["content"]]
    assert streamed["stop_reason"] == whole["stop_reason"] == "tool_use"
    assert streamed["usage"] == whole["usage"]
    assert app.exchange.usage == usage
    assert app.exchange.response.tools == ("Read",)


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
async def test_the_record_has_what_the_model_server_said(gate: Any, stream: bool) -> None:
    app, _ = gate(say("Hi."))
    await ask(app, stream=stream)
    exchange = app.exchange
    assert exchange.outcome == "ok"
    assert exchange.response.model == "gpt-4o-mini-2024-07-18"
    assert exchange.response.finish_reasons == ("stop",)
    assert (exchange.target.backend, exchange.target.model, len(exchange.attempts)) == ("model", "gpt-4o-mini", 1)
    assert exchange.usage.output > 0
    assert not exchange.usage.estimated


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
async def test_a_refusal_of_the_model_server_is_an_http_error(gate: Any, stream: bool) -> None:
    app, _ = gate(refuse(429, "slow down", type="rate_limit", headers={"retry-after": "7"}))
    reply = await ask(app, stream=stream)
    assert (reply.status, reply.json()["error"]["type"]) == (429, "rate_limit_error")
    assert reply.headers["retry-after"] == "7"
    assert (app.exchange.outcome, app.exchange.reason) == ("upstream_error", "UpstreamFailure")


async def test_a_retry_after_that_is_a_date_is_passed_on_in_seconds(gate: Any) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=40), usegmt=True)
    app, _ = gate(refuse(429, "slow down", type="rate_limit", headers={"retry-after": later}))
    assert 30 <= int((await ask(app)).headers["retry-after"]) <= 40


async def test_case_28_an_error_as_the_first_event_is_an_http_error(gate: Any) -> None:
    app, _ = gate(raw(b'data: {"error":{"message":"overloaded","code":503}}\n\n'))
    reply = await ask(app, stream=True)
    assert (reply.status, reply.json()["error"]["type"]) == (529, "overloaded_error")


async def test_a_stream_that_breaks_off_ends_in_an_error_event(gate: Any) -> None:
    app, _ = gate(say("one two three four").cut(after=3))
    reply = await ask(app, stream=True)
    events = [name for name, _ in reply.events()]
    assert reply.status == 200
    assert events[-1] == "error"
    assert "content_block_stop" not in events
    assert "message_delta" not in events
    assert app.exchange.outcome == "upstream_truncated"
    assert app.exchange.usage.estimated


async def test_a_whole_answer_that_breaks_off_is_an_http_error(gate: Any) -> None:
    app, _ = gate(say("one two three four").cut(after=3))
    reply = await ask(app)
    assert (reply.status, reply.json()["error"]["type"]) == (502, "api_error")


async def test_case_33_a_json_answer_to_a_stream_request_becomes_a_stream(gate: Any) -> None:
    completion = {"id": "c1", "model": "m", "choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}
    app, _ = gate(raw(json.dumps(completion).encode(), content_type="application/json"))
    message = check_stream((await ask(app, stream=True)).body)
    assert message["content"] == [{"type": "text", "text": "hi"}]


async def test_a_stream_for_an_answer_that_was_not_to_be_streamed_is_collected(gate: Any) -> None:
    chunk = {"id": "c1", "model": "m", "choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}]}
    app, _ = gate(raw(b"data: " + json.dumps(chunk).encode() + b"\n\ndata: [DONE]\n\n"))
    assert (await ask(app)).json()["content"] == [{"type": "text", "text": "hi"}]


async def test_a_page_instead_of_an_answer_is_a_bad_gateway(gate: Any) -> None:
    app, _ = gate(raw(b"<html>welcome</html>", content_type="text/html"))
    reply = await ask(app)
    assert (reply.status, reply.json()["error"]["type"]) == (502, "api_error")
    assert b"html" not in reply.body


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
async def test_case_41_a_client_that_leaves_stops_the_model(gate: Any, stream: bool) -> None:
    app, server = gate(say("one two three").stall(after=2 if stream else 0))
    async with Driver(app, "POST", "/v1/messages", json=asking(stream=stream)) as client:
        if stream:
            await client.start()
            await client.chunk()
        assert await asyncio.to_thread(server.asked.wait, 5)
        client.disconnect()
        await client.finish()
    assert await asyncio.to_thread(server.requests[0].gone.wait, 5)
    assert app.exchange.outcome == "client_disconnect"
    assert app.exchange.usage.estimated


async def test_case_32_silence_opens_the_stream_and_is_filled_with_pings(gate: Any) -> None:
    app, _ = gate(say("late").stall(), ping_interval=0.01)
    async with Driver(app, "POST", "/v1/messages", json=asking(stream=True)) as client:
        assert await client.start() == 200
        said = b""
        while said.count(b"event: ping") < 3:
            said += await client.chunk()
        client.disconnect()
        await client.finish()
    assert said.startswith(b"event: message_start")


NO_TOP_P = refuse(400, "Unsupported parameter: 'top_p' is not supported with this model.")


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
async def test_a_lesson_costs_one_call_and_is_remembered(gate: Any, stream: bool) -> None:
    app, server = gate(NO_TOP_P, say("a"), say("b"))
    assert (await ask(app, stream=stream, top_p=0.5)).status == 200
    assert len(app.exchange.attempts) == 2
    assert (await ask(app, stream=stream, top_p=0.5)).status == 200
    assert len(app.exchange.attempts) == 1
    assert ["top_p" in request.body for request in server.requests] == [True, False, False]


STARTED = b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
FAILS = b'data: {"error":{"message":"no","code":500}}\n\n'
ANSWERS: dict[str, tuple[bool, bool, Turn]] = {
    "an answer": (False, True, say("a")),
    "a stream": (True, True, say("a")),
    "a stream that breaks off behind its first words": (True, True, say("one two three").cut(after=3)),
    "an answer without a text": (False, True, say("")),
    "an error": (False, False, refuse(500, "no")),
    "another refusal": (False, False, refuse(400, "no")),
    "an answer that breaks off": (False, False, say("one two three").cut(after=2)),
    "a page": (False, False, raw(b"<html>welcome</html>", content_type="text/html")),
    "no choices": (False, False, raw(b'{"choices":[]}', content_type="application/json")),
    "an error in a 200": (False, False, raw(b'{"error":{"message":"no"}}', content_type="application/json")),
    "an error as the first event": (True, False, raw(FAILS)),
    "an error before the first words": (True, False, raw(STARTED + FAILS)),
    "an empty stream": (True, False, raw(b"data: [DONE]\n\n")),
    "nothing at all": (True, False, raw(b"")),
    "a stream that breaks off before its first words": (True, False, say("one two three").cut(after=1)),
}


@pytest.mark.parametrize(("stream", "kept", "answer"), ANSWERS.values(), ids=ANSWERS)
async def test_a_lesson_is_kept_when_the_answer_has_begun_in_earnest(
    gate: Any, stream: bool, kept: bool, answer: Turn
) -> None:
    app, server = gate(NO_TOP_P, answer, say("b"))
    await ask(app, stream=stream, top_p=0.5)
    await ask(app, stream=stream, top_p=0.5)
    assert ["top_p" in request.body for request in server.requests] == [True, False, not kept]


async def test_a_lesson_of_a_caller_who_leaves_before_the_answer_is_not_kept(gate: Any) -> None:
    app, server = gate(NO_TOP_P, say("late").stall(), say("b"))
    async with Driver(app, "POST", "/v1/messages", json=asking(stream=True, top_p=0.5)) as client:
        while len(server.requests) < 2:
            await asyncio.to_thread(server.asked.wait, 5)
        client.disconnect()
        await client.finish()
    await ask(app, top_p=0.5)
    assert ["top_p" in request.body for request in server.requests] == [True, False, True]


async def test_an_openai_client_teaches_what_his_server_has_let_pass(serve: Serve) -> None:
    server = ModelServer([refuse(400, "Unknown parameter: 'temperature' and 'top_p'."), say("a")])
    models = ModelTable([ModelRow("*", ("m/gpt-4o-mini",))], {"m": "openai"})
    routes = {**ROUTES, "/v1/chat/completions": Route("completions")}
    app = TranslationApp({"m": Backend(base_url=serve(server) + "/v1")}, models=models, routes=routes)
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "temperature": 0.5, "top_p": 0.5}
    assert (await call(app, "POST", "/v1/chat/completions", json=body)).status == 400
    assert (await ask(app, temperature=0.5)).status == 200
    await app.aclose()
    assert "temperature" in server.requests[1].body


async def test_a_model_that_says_one_thing_after_the_other_is_understood_in_the_end(gate: Any) -> None:
    app, server = gate(
        refuse(
            400,
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens'"
            " instead.",
        ),
        refuse(
            400,
            "Unsupported value: 'temperature' does not support 0.5 with this model. Only the default (1) value"
            " is supported.",
        ),
        say("a").always(),
    )
    assert (await ask(app, temperature=0.5)).status == 200
    assert "temperature" in app.exchange.dropped
    assert (await ask(app, temperature=0.5)).status == 200
    told = [{"max_tokens", "max_completion_tokens", "temperature"} & set(request.body) for request in server.requests]
    assert told == [
        {"max_tokens", "temperature"},
        {"max_completion_tokens", "temperature"},
        *[{"max_completion_tokens"}] * 2,
    ]


NO_ROOM = (
    "'max_tokens' or 'max_completion_tokens' is too large: {asked}. This model's maximum context length is 32768 "
    "tokens and your request has {prompt} input tokens ({asked} > 32768 - {prompt})."
)


async def test_after_a_refusal_for_want_of_room_the_second_try_fits(gate: Any) -> None:
    app, server = gate(refuse(400, NO_ROOM.format(asked=1000, prompt=32000)), say("a"))
    assert (await ask(app, max_tokens=1000)).status == 200
    assert [request.body["max_tokens"] for request in server.requests] == [1000, 768]


async def test_room_is_made_although_the_window_is_known_and_the_prompt_was_thought_shorter(gate: Any) -> None:
    refusals = [refuse(400, NO_ROOM.format(asked=1000, prompt=prompt)) for prompt in (32000, 32100)]
    app, server = gate(refusals[0], say("a"), refusals[1], say("b"))
    assert (await ask(app, max_tokens=1000)).status == 200
    assert (await ask(app, max_tokens=1000)).status == 200
    assert [request.body["max_tokens"] for request in server.requests] == [1000, 768, 1000, 668]


async def test_a_server_that_refuses_what_it_asked_for_is_not_asked_again(gate: Any) -> None:
    app, server = gate(*[refuse(400, NO_ROOM.format(asked=1000, prompt=32000))] * 3)
    reply = await ask(app, max_tokens=1000)
    assert reply.status == 400
    assert reply.json()["error"]["message"] == "prompt is too long: 32000 tokens > 31768 maximum"
    assert len(server.requests) == 2


async def test_a_server_without_end_of_lessons_is_left_alone_in_the_end(gate: Any) -> None:
    app, server = gate(*[refuse(400, f"max_tokens cannot exceed {most}") for most in range(99, 79, -1)])
    assert (await ask(app)).status == 400
    assert len(server.requests) == 8


async def test_max_tokens_zero_is_answered_without_asking_anybody(gate: Any) -> None:
    app, server = gate()
    message = (await ask(app, max_tokens=0)).json()
    assert (message["content"], message["stop_reason"]) == ([], "max_tokens")
    assert check_stream((await ask(app, max_tokens=0, stream=True)).body)["content"] == []
    assert server.requests == []


async def test_what_was_dropped_is_in_the_record_and_with_debug_in_a_header(gate: Any) -> None:
    app, _ = gate(say("a"), debug=True)
    reply = await ask(app, context_management={"edits": []})
    assert "context_management" in app.exchange.dropped
    assert "context_management" in reply.headers["x-llmgate-dropped"]


async def test_the_key_goes_upstream_and_the_callers_credentials_do_not(serve: Serve, monkeypatch: Any) -> None:
    from asgi_llmgate.net import parse_secret

    monkeypatch.setenv("KEY", "sk-upstream")
    server = ModelServer([say("a")])
    models = ModelTable([ModelRow("*", ("m/gpt-4o-mini",))], {"m": "openai"})
    backend = Backend(base_url=serve(server) + "/v1", api_key=parse_secret("env:KEY"), extra_headers={"X-Org": "acme"})
    app = TranslationApp({"m": backend}, models=models)
    headers = {
        "authorization": "Bearer caller",
        "x-api-key": "caller",
        "cookie": "session=caller",
        "anthropic-beta": "b",
    }
    reply = await call(app, "POST", "/v1/messages", json=asking(), headers=headers)
    await app.aclose()
    sent = server.requests[0].headers
    assert sent["authorization"] == "Bearer sk-upstream"
    assert sent["x-org"] == "acme"
    assert "caller" not in repr(dict(sent))
    assert not {"x-api-key", "cookie", "anthropic-beta"} & set(sent)
    assert "sk-upstream" not in repr(backend) + repr(reply.headers) + reply.body.decode()


async def open_call(gate: Any, *, stream: bool, **options: Any) -> tuple[Any, Any, Driver]:
    """A call that the model has begun to answer, and will not end."""
    app, server = gate(say("Hi there, and then nothing more.").stall(after=3 if stream else 0), **options)
    driver = Driver(app, "POST", "/v1/messages", json=asking(stream))
    await driver.__aenter__()
    if stream:
        while b"text_delta" not in await driver.chunk():
            pass
    else:
        assert await asyncio.to_thread(server.asked.wait, 5)
    return app, server, driver


@pytest.mark.parametrize("stream", [True, False])
async def test_when_the_server_stops_an_open_call_is_ended_and_the_model_let_go(gate: Any, stream: bool) -> None:
    draining = Draining(after=0)
    app, server, driver = await open_call(gate, stream=stream, draining=draining)
    draining.begin()
    reply = await driver.read()
    await driver.finish()
    told = {"type": "api_error", "message": "the gateway is shutting down; try again"}
    if stream:
        assert [name for name, _ in reply.events()] == ["error"]
        assert reply.events()[0][1]["error"] == told
        assert app.exchange.usage is not None
    else:
        assert (reply.status, reply.headers["retry-after"], reply.json()["error"]) == (503, "1", told)
    assert (app.exchange.outcome, app.exchange.reason) == ("shutdown", "Shutdown")
    assert await asyncio.to_thread(server.requests[0].gone.wait, 5)


async def test_a_cancelled_call_knows_what_it_has_used(gate: Any) -> None:
    app, server, driver = await open_call(gate, stream=True)
    await driver.cancel()
    assert app.exchange.outcome == "shutdown"
    assert app.exchange.usage is not None
    assert await asyncio.to_thread(server.requests[0].gone.wait, 5)


async def test_how_one_callers_prompts_are_counted_does_not_cut_anothers_answers(serve: Serve) -> None:
    """Where the window is known, the room for an answer is what the estimate of the prompt leaves of it."""
    usage = {"prompt_tokens": 30_000, "completion_tokens": 1, "total_tokens": 30_001}
    completion = {"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}], "usage": usage}
    server = ModelServer(otherwise=lambda _: raw(json.dumps(completion).encode(), content_type="application/json"))
    models = ModelTable([ModelRow("*", ("m/gpt-4o-mini",), context_window=32_768)], {"m": "openai"})
    app = TranslationApp({"m": Backend(base_url=serve(server) + "/v1")}, models=models)

    async def ask_as(name: str) -> Any:
        async def known(scope: Any, receive: Any, send: Any) -> None:
            scope, exchange = Exchange.enter(scope)
            exchange.identity = Identity(name, "https://idp.test", "idp", {"sub": name})
            await app(scope, receive, send)

        await ask(known, max_tokens=32_000, messages=[{"role": "user", "content": "word " * 6000}])
        return server.requests[-1].body["max_tokens"]

    usage["prompt_tokens"] = 8_000
    await ask_as("alice")
    room = await ask_as("alice")
    usage["prompt_tokens"] = 30_000
    for _ in range(5):
        await ask_as("mallory")
    assert await ask_as("mallory") == 1024
    assert await ask_as("alice") == room > 20_000
    await app.aclose()


async def test_what_the_gateway_has_estimated_itself_is_no_measurement(serve: Serve) -> None:
    completion: dict[str, Any] = {"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}
    server = ModelServer(otherwise=lambda _: raw(json.dumps(completion).encode(), content_type="application/json"))
    models = ModelTable([ModelRow("*", ("m/gpt-4o-mini",), context_window=32_768)], {"m": "openai"})
    app = TranslationApp({"m": Backend(base_url=serve(server) + "/v1")}, models=models)

    async def room_of(name: str) -> Any:
        async def known(scope: Any, receive: Any, send: Any) -> None:
            scope, exchange = Exchange.enter(scope)
            exchange.identity = Identity(name, "https://idp.test", "idp", {"sub": name})
            await app(scope, receive, send)

        await ask(known, max_tokens=32_000, messages=[{"role": "user", "content": "word " * 6000}])
        return server.requests[-1].body["max_tokens"]

    unmeasured = await room_of("alice")
    completion["usage"] = {"prompt_tokens": 30_000, "completion_tokens": 1, "total_tokens": 30_001}
    await room_of("bob")
    assert await room_of("carol") == await room_of("bob") < unmeasured
    await app.aclose()


async def test_the_model_server_is_told_which_callers_are_the_same(gate: Any) -> None:
    app, server = gate(say("Hi."), say("Hi."), say("Hi."), say("Hi."))

    async def user(subject: str, **body: Any) -> Any:
        async def identified(scope: Any, receive: Any, send: Any) -> None:
            scope, exchange = Exchange.enter(scope)
            exchange.identity = Identity(subject, "https://idp.test", "idp")
            await app(scope, receive, send)

        assert (await ask(identified, **body)).status == 200
        return server.requests[-1].body.get("user")

    ada = await user("ada")
    assert ada == await user("ada", metadata={"user_id": "of another session"})
    assert await user("bob") not in (ada, None)
    assert await user("", metadata={"user_id": "u"}) is None


LONG = [{"role": "user", "content": "A sentence with several words in it. " * 3000}]
"""About 30,000 tokens."""


def counted(tokens: int, **more: Any) -> Turn:
    usage = {"prompt_tokens": tokens, "completion_tokens": 1, "total_tokens": tokens + 1, **more}
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hi."}, "finish_reason": "stop"}
    return raw(json.dumps({"choices": [choice], "usage": usage}).encode(), content_type="application/json")


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
async def test_a_prompt_that_the_server_cut_is_told_once_and_recorded_each_time(
    gate: Any, caplog: pytest.LogCaptureFixture, stream: bool
) -> None:
    app, _ = gate(counted(2050), counted(2050), counted(2050))
    for _ in range(3):
        assert (await ask(app, stream=stream, messages=LONG)).status == 200
        assert app.exchange.dropped == ("prompt.cut",)
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1
    assert "2050 tokens" in warnings[0]
    assert "OLLAMA_CONTEXT_LENGTH" in warnings[0]
    assert "sentence" not in warnings[0]


@pytest.mark.parametrize(
    "turn",
    [
        counted(26_000),
        counted(9_000),
        counted(2050, prompt_tokens_details={"cached_tokens": 2000}),
        counted(0),
        say("Hi."),
    ],
    ids=["the whole prompt", "no window", "cached", "not counted", "the server of the tests"],
)
async def test_other_counts_are_no_sign_of_that(gate: Any, caplog: pytest.LogCaptureFixture, turn: Turn) -> None:
    app, _ = gate(turn)
    assert (await ask(app, messages=LONG)).status == 200
    assert (app.exchange.dropped, caplog.records) == ((), [])
