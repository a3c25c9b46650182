"""D-b: a connection of the pool that the server has closed, or closes on the next request.

Every server of the family announces keep-alive by saying nothing else (RFC 9112 section 9.3). A request that breaks a
connection which has served before, and before a byte came, is sent once more on a new connection; any other is not,
because the server may have executed it.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asgi_llmgate.protocol.servers.dialects import DIALECTS
from tests.gateway.families.conftest import MakeGate
from tests.helpers.wire_server import WireRequest, Writer, head, ok, reset, whole


async def close(request: WireRequest, writer: Writer) -> bool:
    return True


async def reset_it(request: WireRequest, writer: Writer) -> bool:
    reset(writer)
    return True


BREAKS = [pytest.param(close, id="closes"), pytest.param(reset_it, id="resets")]


@pytest.mark.parametrize("breaks", BREAKS)
@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions"])
async def test_a_reused_connection_that_breaks_on_the_request_costs_one_more_send(
    own_transport: str, gate: MakeGate, breaks: Any, stream: bool, path: str
) -> None:
    async def respond(request: WireRequest, writer: Writer) -> bool:
        if request.number:
            return await breaks(request, writer)
        writer.write(ok(request))
        return False

    made = await gate(respond)
    attempts = []
    for _ in range(3):
        reply = await made.ask(stream=stream, path=path)
        assert (reply.status, b"fine" in reply.body) == (200, True)
        attempts.append([attempt.error for attempt in made.exchange.attempts])
    assert attempts[:2] == [[""], ["MaybeSent", ""]]
    sent = [(request.connection, request.number) for request in made.server.requests]
    if own_transport == "aiohttp":  # it closes the connection of the second send, so the third call had a new one
        assert (attempts[2], sent) == ([""], [(0, 0), (0, 1), (1, 0), (2, 0)])
    else:
        assert (attempts[2], sent) == (["MaybeSent", ""], [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)])
    assert len({request.body for request in made.server.requests}) == 1


@pytest.mark.parametrize("breaks", BREAKS)
@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
async def test_a_new_connection_that_breaks_is_not_tried_again(gate: MakeGate, breaks: Any, stream: bool) -> None:
    made = await gate(breaks)
    reply = await made.ask(stream=stream)
    assert (reply.status, len(made.server.requests), len(made.exchange.attempts)) == (502, 1, 1)
    assert made.exchange.reason == "Upstream"


@pytest.mark.usefixtures("own_transport")
@pytest.mark.parametrize("breaks", BREAKS)
async def test_the_second_send_is_the_last_one(gate: MakeGate, breaks: Any) -> None:
    async def respond(request: WireRequest, writer: Writer) -> bool:
        if made.server.requests[1:]:
            return await breaks(request, writer)
        writer.write(ok(request))
        return False

    made = await gate(respond)
    assert (await made.ask()).status == 200
    assert (await made.ask()).status == 502
    assert [(request.connection, request.number) for request in made.server.requests] == [(0, 0), (0, 1), (1, 0)]


@pytest.mark.parametrize("after", [b"H", b"HTTP/1.1 2", head(b"content-type: text/plain")[:-2]])
@pytest.mark.usefixtures("own_transport")
async def test_after_a_byte_of_a_response_the_request_is_not_sent_again(gate: MakeGate, after: bytes) -> None:
    async def respond(request: WireRequest, writer: Writer) -> bool:
        writer.write(after if request.number else ok(request))
        return bool(request.number)

    made = await gate(respond)
    assert (await made.ask()).status == 200
    assert (await made.ask()).status == 502
    assert len(made.server.requests) == 2


@pytest.mark.parametrize("breaks", BREAKS)
@pytest.mark.usefixtures("own_transport")
async def test_many_calls_that_meet_a_pool_of_dead_connections_all_succeed(gate: MakeGate, breaks: Any) -> None:
    """As after a restart of the server: the next connection of the pool would be as dead as the first."""
    calls = 12
    everyone = asyncio.Barrier(calls)

    async def respond(request: WireRequest, writer: Writer) -> bool:
        if request.number:
            return await breaks(request, writer)
        if request.connection < calls:
            await everyone.wait()  # so that each call has a connection of its own
        writer.write(ok(request))
        return False

    made = await gate(respond)
    for _ in range(2):
        replies = await asyncio.gather(*(made.ask() for _ in range(calls)))
        assert {reply.status for reply in replies} == {200}
    numbers = [request.number for request in made.server.requests]
    assert (numbers.count(0), numbers.count(1), len(numbers)) == (2 * calls, calls, 3 * calls)


@pytest.mark.parametrize("breaks", BREAKS)
@pytest.mark.usefixtures("own_transport")
async def test_a_server_that_closes_each_connection_after_its_response_is_no_error(gate: MakeGate, breaks: Any) -> None:
    """llama.cpp after each stream. Here the next request and the end of the connection race."""

    async def respond(request: WireRequest, writer: Writer) -> bool:
        writer.write(ok(request))
        await writer.drain()
        for _ in range(len(made.server.requests) % 4):
            await asyncio.sleep(0)
        return await breaks(request, writer)

    made = await gate(respond)
    statuses = [(await made.ask(stream=True)).status for _ in range(40)]
    if breaks is close:  # a reset may overtake the response before it
        assert statuses == [200] * 40
    assert len(made.server.requests) == 40


@pytest.mark.parametrize("breaks", BREAKS)
async def test_a_passthrough_and_a_count_of_tokens_are_sent_again_too(gate: MakeGate, breaks: Any) -> None:
    async def respond(request: WireRequest, writer: Writer) -> bool:
        if request.number:
            return await breaks(request, writer)
        writer.write(whole(b'{"count":7,"tokens":[]}'))
        return False

    made = await gate(respond, dialect="vllm")
    assert DIALECTS["vllm"].tokenizer != "none"
    for _ in range(2):
        assert (await made.ask(path="/v1/embeddings", input="x")).json()["count"] == 7
    assert [attempt.error for attempt in made.exchange.attempts] == ["MaybeSent", ""]
    for _ in range(3):
        assert (await made.ask(path="/v1/messages/count_tokens")).json() == {"input_tokens": 7}


async def test_a_correction_after_the_second_send_is_sent_as_ever(own_transport: str, gate: MakeGate) -> None:
    async def respond(request: WireRequest, writer: Writer) -> bool:
        if request.number:
            return True
        if "stream_options" in request.json():
            refusal = b'{"error":{"message":"Unrecognized request argument supplied: stream_options"}}'
            writer.write(whole(refusal, status=b"400 Bad Request"))
        else:
            writer.write(ok(request))
        return False

    made = await gate(respond)
    assert (await made.ask()).status == 200
    assert (await made.ask(stream=True)).status == 200
    errors = [attempt.error for attempt in made.exchange.attempts]
    # aiohttp closes the connection of a second send; the other uses it again, and this server breaks it again.
    assert errors == ["MaybeSent", "RequestRejected", *(["MaybeSent"] if own_transport == "native" else []), ""]
