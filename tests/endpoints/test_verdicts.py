"""The end of a response waits for the verdicts on its tool calls, and every response has results."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from asgi_llmgate import Backend, HTTPClient, ModelRow, ModelTable, TranslationApp
from asgi_llmgate.asgi import Draining
from asgi_llmgate.exchange_values import Verdict
from asgi_llmgate.protocol.servers.dialects import DIALECTS
from asgi_llmgate.testing.driver import Driver, Reply
from asgi_llmgate.testing.grammar import check_stream
from asgi_llmgate.testing.model_script import Turn, call, raw, say
from asgi_llmgate.testing.verdicts import complaint_about_results
from tests.endpoints.calling import Spy, ask, asking

ASKED = {"safeguards": [{"type": "dangerous_tool_use", "classifier_context": {"v": 1}}]}
TOOLS = [{"name": name, "input_schema": {"type": "object"}} for name in ("Bash", "Read")]
both = pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])


class Judging:
    """Flags what names `prod`; keeps what it was asked. `waits` is set when it may go on."""

    def __init__(self, *, waits: bool = False) -> None:
        self.asked: list[Any] = []
        self.go = asyncio.Event()
        self.begun = asyncio.Event()
        self.cancelled = False
        if not waits:
            self.go.set()

    async def judge(self, scope: Any, exchange: Any, request: Any, tool_uses: Any, by_server: Any) -> Sequence[Verdict]:
        self.asked.append((request, tool_uses, by_server))
        self.begun.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return [self.verdict(use, by_server) for use in tool_uses]

    def verdict(self, use: Any, by_server: Any) -> Verdict:
        if b"prod" in use.input:
            return Verdict(tool_use=use, outcome="flag", explanation="no\nprod", decided_by="rule", rule="no-prod")
        return by_server.get(use.id) or Verdict(tool_use=use, outcome="pass", decided_by="undecided")


class Failing(Judging):
    def verdict(self, use: Any, by_server: Any) -> Verdict:
        raise ValueError(use.input)


class Silent(Judging):
    async def judge(self, *asked: Any) -> Sequence[Verdict]:
        return []


def message_of(reply: Reply, stream: bool) -> dict[str, Any]:
    assert reply.status == 200
    return check_stream(reply.body) if stream else reply.json()


def outcomes(message: dict[str, Any]) -> list[Any]:
    """What the client is told about each call, in the order of the calls."""
    ids = [block["id"] for block in message["content"] if block["type"] == "tool_use"]
    assert complaint_about_results(message["safeguard_results"], ids) == ""
    found = message["safeguard_results"][0]["status"]["tool_uses"]
    return [found[call_id].get("outcome", "unavailable") for call_id in ids]


@both
async def test_each_call_has_its_verdict_and_the_record_has_all(gate: Any, stream: bool) -> None:
    judge = Judging()
    turn = say("Look.") + call("Bash", command="ls") + call("Bash", command="deploy prod")
    app, _ = gate(turn, safeguards=judge)
    message = message_of(await ask(app, stream=stream, tools=TOOLS, **ASKED), stream)
    assert outcomes(message) == ["not_flagged", "flagged"]
    ids = [block["id"] for block in message["content"][1:]]
    entry = message["safeguard_results"][0]["status"]["tool_uses"][ids[1]]
    assert entry["explanation"] == "no prod"
    ((request, tool_uses, by_server),) = judge.asked
    assert request.model == "claude-opus-5"
    assert [(use.id, use.name) for use in tool_uses] == [(ids[0], "Bash"), (ids[1], "Bash")]
    assert [json.loads(use.input)["command"] for use in tool_uses] == ["ls", "deploy prod"]
    assert by_server == {}
    assert [(each.outcome, each.rule) for each in app.exchange.verdicts] == [("pass", ""), ("flag", "no-prod")]
    assert app.exchange.outcome == "ok"
    assert "safeguards" not in app.exchange.dropped
    assert not app.exchange.usage.estimated


@both
async def test_a_response_without_calls_has_results_and_nobody_is_asked(gate: Any, stream: bool) -> None:
    judge = Judging()
    app, _ = gate(say("Hi."), safeguards=judge)
    for more in ({}, {"max_tokens": 0}):
        message = message_of(await ask(app, stream=stream, **ASKED, **more), stream)
        assert outcomes(message) == []
    assert judge.asked == []
    assert app.exchange.verdicts == ()


UNREAD: dict[str, Any] = {
    "absent": {},
    "empty": {"safeguards": []},
    "null": {"safeguards": None},
    "another type": {"safeguards": [{"type": "other"}]},
    "no list": {"safeguards": {"type": "dangerous_tool_use"}},
    "no objects": {"safeguards": ["dangerous_tool_use", 1]},
}


@pytest.mark.parametrize("body", UNREAD.values(), ids=UNREAD)
async def test_a_request_that_does_not_ask_gets_no_results(gate: Any, body: dict[str, Any]) -> None:
    judge = Judging()
    app, _ = gate(call("Bash", command="deploy prod"), safeguards=judge)
    message = message_of(await ask(app, stream=True, tools=TOOLS, **body), stream=True)
    assert "safeguard_results" not in message
    assert judge.asked == []
    assert ("safeguards" in app.exchange.dropped) == ("safeguards" in body)


@both
async def test_without_a_judge_the_field_is_dropped(gate: Any, stream: bool) -> None:
    app, _ = gate(call("Bash", command="ls"))
    message = message_of(await ask(app, stream=stream, tools=TOOLS, **ASKED), stream)
    assert "safeguard_results" not in message
    assert "safeguards" in app.exchange.dropped


@both
@pytest.mark.parametrize("judge", [Failing, Silent])
async def test_a_judge_that_fails_leaves_the_decision_to_the_client(
    gate: Any, stream: bool, judge: type[Judging], caplog: pytest.LogCaptureFixture
) -> None:
    app, _ = gate(call("Bash", command="deploy prod"), safeguards=judge())
    with caplog.at_level(logging.ERROR, "llmgate"):
        message = message_of(await ask(app, stream=stream, tools=TOOLS, **ASKED), stream)
    assert outcomes(message) == ["unavailable"]
    assert [(each.outcome, each.decided_by) for each in app.exchange.verdicts] == [("unavailable", "undecided")]
    assert app.exchange.request_id in caplog.text
    assert "deploy" not in caplog.text


CUT = call("Bash", command="deploy prod").finish("length")
HALF = raw(
    b'data: {"id":"c","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"Bash",'
    b'"arguments":"{\\"command\\": \\"deploy prod"}}]},"finish_reason":"length"}]}\n\n'
)
TURNS = {"cut": CUT, "half of an input": HALF}


@both
@pytest.mark.parametrize("turn", TURNS.values(), ids=TURNS)
async def test_a_call_that_the_client_sees_has_a_verdict_however_it_came(gate: Any, turn: Turn, stream: bool) -> None:
    app, _ = gate(turn, safeguards=Judging())
    message = message_of(await ask(app, stream=stream, tools=TOOLS, **ASKED), stream)
    assert outcomes(message) == ["flagged"]


async def test_a_client_that_waits_gets_pings(gate: Any) -> None:
    judge = Judging(waits=True)
    app, _ = gate(call("Bash", command="ls"), safeguards=judge, ping_interval=0.01)
    async with Driver(app, "POST", "/v1/messages", json=asking(True, tools=TOOLS, **ASKED)) as client:
        said = b""
        while not judge.begun.is_set():
            said += await client.chunk()
        before = said.count(b"event: ping")  # some while the model server is waited for
        while said.count(b"event: ping") < before + 3:
            said += await client.chunk()
        assert b"message_delta" not in said
        judge.go.set()
        reply = await client.read()
        await client.finish()
    assert outcomes(check_stream(said + reply.body)) == ["not_flagged"]


@both
async def test_a_client_that_leaves_ends_the_judging(gate: Any, stream: bool) -> None:
    judge = Judging(waits=True)
    app, _ = gate(call("Bash", command="ls"), safeguards=judge)
    async with Driver(app, "POST", "/v1/messages", json=asking(stream, tools=TOOLS, **ASKED)) as client:
        await judge.begun.wait()
        client.disconnect()
        await client.finish()
    assert judge.cancelled
    assert app.exchange.outcome == "client_disconnect"
    assert not app.exchange.usage.estimated


@both
async def test_when_the_server_stops_no_call_goes_without_its_verdict(gate: Any, stream: bool) -> None:
    draining, judge = Draining(after=0), Judging(waits=True)
    app, _ = gate(call("Bash", command="deploy prod"), safeguards=judge, draining=draining)
    async with Driver(app, "POST", "/v1/messages", json=asking(stream, tools=TOOLS, **ASKED)) as client:
        await judge.begun.wait()
        draining.begin()
        reply = await client.read()
        await client.finish()
    assert judge.cancelled
    if stream:
        assert check_stream(reply.body)["error"]["type"] == "api_error"
        assert b"message_delta" not in reply.body
    else:
        assert reply.status == 503
    assert (app.exchange.outcome, app.exchange.verdicts) == ("shutdown", ())


def events(*payloads: dict[str, Any]) -> bytes:
    return b"".join(
        b"event: %b\ndata: %b\n\n" % (each["type"].encode(), json.dumps(each).encode()) for each in payloads
    )


CHUNKS = (
    b'data: {"id":"c","model":"m","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":'
    b'{"name":"Bash","arguments":"{}"}}]}}]}\n\n'
    b'data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}\n\n'
)
USAGE = {"input_tokens": 1, "output_tokens": 1, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
HEAD = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": []}
NATIVE = events(
    {"type": "message_start", "message": {**HEAD, "stop_reason": None, "stop_sequence": None, "usage": USAGE}},
    {
        "type": "content_block_start",
        "index": 0,
        "content_block": {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {}},
    },
    {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": None}, "usage": USAGE},
)


ENDS = {"translated": b"data: [DONE]\n\n", "native": events({"type": "message_stop"})}


class Kept(httpx.AsyncByteStream):
    """A response that stays open after its last piece, or breaks."""

    def __init__(self, data: bytes, *, breaks: bool) -> None:
        self.is_open = True
        self._data = data
        self._breaks = breaks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._data
        if self._breaks:
            raise httpx.ReadError("gone")
        await asyncio.Event().wait()

    async def aclose(self) -> None:
        self.is_open = False


@asynccontextmanager
async def server_that_keeps(
    data: bytes, judge: Judging, *, native: bool, breaks: bool = False, grace: float = 30
) -> AsyncIterator[tuple[Spy, Kept]]:
    body = Kept(data, breaks=breaks)
    transport = httpx.MockTransport(
        lambda _: httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=body)
    )
    backend = Backend(base_url="http://model.test/v1", dialect=DIALECTS["anthropic" if native else "openai"])
    models = ModelTable([ModelRow("*", ("b/m",))], {"b": "b"})
    app = TranslationApp(
        {"b": backend}, models=models, client=HTTPClient(transport=transport), safeguards=judge, grace=grace
    )
    yield Spy(app), body
    await app.aclose()


@pytest.mark.parametrize("wire", ["translated", "native"])
async def test_the_model_servers_response_is_closed_before_anybody_judges(wire: str) -> None:
    judge = Judging(waits=True)
    data = (NATIVE if wire == "native" else CHUNKS) + ENDS[wire]
    async with (
        server_that_keeps(data, judge, native=wire == "native") as (app, body),
        Driver(app, "POST", "/v1/messages", json=asking(True, tools=TOOLS, **ASKED)) as client,
    ):
        await asyncio.wait_for(judge.begun.wait(), 10)
        assert not body.is_open
        judge.go.set()
        reply = await client.read()
        await client.finish()
        assert outcomes(check_stream(reply.body)) == ["not_flagged"]


@pytest.mark.parametrize("ending", ["breaks", "stays open", "breaks behind its end"])
@pytest.mark.parametrize("wire", ["translated", "native"])
async def test_a_response_that_has_a_stop_reason_has_verdicts(wire: str, ending: str) -> None:
    judge = Judging()
    data, breaks = NATIVE if wire == "native" else CHUNKS, ending != "stays open"
    data += ENDS[wire] if ending == "breaks behind its end" else b""
    async with server_that_keeps(data, judge, native=wire == "native", breaks=breaks, grace=0.01) as (app, _):
        message = check_stream((await ask(app, stream=True, tools=TOOLS, **ASKED)).body)
    assert outcomes(message) == ["not_flagged"]
    assert app.exchange.outcome == "ok"


async def test_a_native_server_that_refuses_the_field_is_asked_without_it() -> None:
    sent: list[httpx.Request] = []
    refusal = {"type": "error", "error": {"type": "invalid_request_error", "message": "safeguards: not permitted"}}

    def respond(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        if "safeguards" in json.loads(request.content):
            return httpx.Response(400, json=refusal)
        data = NATIVE + events({"type": "message_stop"})
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=data)

    backend = Backend(base_url="http://model.test/v1", dialect=DIALECTS["anthropic"])
    models, client = (
        ModelTable([ModelRow("*", ("b/m",))], {"b": "b"}),
        HTTPClient(transport=httpx.MockTransport(respond)),
    )
    app = TranslationApp({"b": backend}, models=models, client=client, safeguards=Judging())
    spy, without = Spy(app), TranslationApp({"b": backend}, models=models, client=client)
    for attempts in (2, 1):
        assert outcomes(check_stream((await ask(spy, stream=True, tools=TOOLS, **ASKED)).body)) == ["not_flagged"]
        assert len(spy.exchange.attempts) == attempts
        assert "safeguards" in spy.exchange.dropped
    reply = await ask(without, stream=True, tools=TOOLS, **ASKED)
    assert (reply.status, "safeguards" in reply.json()["error"]["message"]) == (400, True)
    await app.aclose()
    await without.aclose()


async def test_a_judge_that_fails_does_not_undo_the_model_servers_own_verdict() -> None:
    flagged = {"type": "evaluated", "outcome": "flagged", "explanation": "no"}
    own = [{"type": "dangerous_tool_use", "status": {"type": "available", "tool_uses": {"toolu_1": flagged}}}]
    data = NATIVE.replace(
        b'"stop_sequence": null}, "usage"', b'"stop_sequence": null, "safeguard_results": %b}, "usage"'
    )
    data = data.replace(b"%b", json.dumps(own).encode()) + ENDS["native"]
    async with server_that_keeps(data, Failing(), native=True) as (app, _):
        message = check_stream((await ask(app, stream=True, tools=TOOLS, **ASKED)).body)
    assert message["safeguard_results"] == own
    assert [(each.outcome, each.decided_by) for each in app.exchange.verdicts] == [("flag", "server")]
