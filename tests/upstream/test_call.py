from __future__ import annotations

import gc
import json
from collections.abc import Callable

import pytest

from asgi_llmgate.errors import PromptTooLong
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.exchange_values import Target
from asgi_llmgate.net import HTTPClient
from asgi_llmgate.protocol.messages.request import decode_messages
from asgi_llmgate.protocol.servers.dialects import DIALECTS
from asgi_llmgate.protocol.wire_pairs import UpstreamRequest
from asgi_llmgate.testing.model_script import ReceivedRequest, Turn, refuse, say
from asgi_llmgate.testing.model_server import ModelServer
from asgi_llmgate.upstream import Backend, Upstream, UpstreamCall
from tests.protocol.responses import vllm_refusal

REFUSAL = refuse(400, "max_tokens is too large: 20000. This model supports at most 5000 completion tokens")


async def test_a_call_that_was_written_before_another_one_learnt_is_written_anew_too(
    serve: Callable[..., str],
) -> None:
    server, client = ModelServer([REFUSAL, say("a"), REFUSAL, say("b")]), HTTPClient()
    upstream = Upstream(Backend(base_url=serve(server) + "/v1"), client)
    body = {"model": "m", "max_tokens": 20000, "messages": [{"role": "user", "content": "hi"}]}
    request, target = decode_messages(json.dumps(body).encode()), Target("b", "openai", "gpt-4o-mini")
    calls = [UpstreamCall(upstream, Exchange(), target, request, input_estimate=10) for _ in range(2)]
    for call in calls:
        async with await call.open() as answer:
            assert answer.status == 200
    await client.aclose()
    assert [request.body["max_tokens"] for request in server.requests] == [20000, 5000, 20000, 5000]


@pytest.mark.parametrize(
    ("prompt", "guess", "asked", "error"),
    [
        (1000, 1000, [128000, 31668], ""),
        (20000, 10000, [128000, 21768, 5441], ""),
        (31000, 10000, [128000, 21768, 5441, 1360], ""),
        (32000, 10000, [128000, 21768, 5441, 1360, 1024], "prompt is too long: 31745 tokens > 31744 maximum"),
        (40000, 40000, [128000, 1024], "prompt is too long: 31745 tokens > 31744 maximum"),
    ],
    ids=["fits", "thought shorter", "hardly fits", "does not fit", "too long"],
)
async def test_a_server_that_reads_no_further_than_it_must_is_asked_for_less_and_less(
    serve: Callable[..., str], prompt: int, guess: int, asked: list[int], error: str
) -> None:
    def vllm(request: ReceivedRequest) -> Turn:
        refusal = vllm_refusal(prompt, request.body["max_tokens"], 32768)
        return refuse(400, refusal) if refusal else say("a")

    server, client = ModelServer(otherwise=vllm), HTTPClient()
    backend = Backend(base_url=serve(server) + "/v1", dialect=DIALECTS["vllm"])
    body = {"model": "m", "max_tokens": 128000, "messages": [{"role": "user", "content": "hi"}]}
    request = decode_messages(json.dumps(body).encode())
    upstream, target = Upstream(backend, client), Target("b", "vllm", "qwen3")
    call = UpstreamCall(upstream, Exchange(), target, request, input_estimate=guess)
    if error:
        with pytest.raises(PromptTooLong, match=f"^{error}$"):
            await call.open()
    else:
        async with await call.open() as answer:
            assert answer.status == 200
    await client.aclose()
    assert [request.body["max_tokens"] for request in server.requests] == asked


async def test_a_ping_begins_the_stream_of_a_silent_server(serve: Callable[..., str]) -> None:
    client = HTTPClient()
    upstream = Upstream(Backend(base_url=serve(ModelServer([say("a")])) + "/v1"), client)
    body = {"model": "m", "max_tokens": 5, "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    target = Target("b", "openai", "gpt-4o-mini")
    call = UpstreamCall(upstream, Exchange(), target, decode_messages(json.dumps(body).encode()), input_estimate=10)
    call.ping()
    assert b"event: ping" in call.handler.take()
    await client.aclose()


async def test_what_was_sent_is_freed_when_the_response_has_begun(serve: Callable[..., str]) -> None:
    client = HTTPClient()
    upstream = Upstream(Backend(base_url=serve(ModelServer([say("one")])) + "/v1"), client)
    body = {"model": "m", "max_tokens": 5, "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    target, exchange = Target("b", "openai", "gpt-4o-mini"), Exchange()
    call = UpstreamCall(upstream, exchange, target, decode_messages(json.dumps(body).encode()), input_estimate=10)
    async with await call.open() as chunks:
        assert _sent()
        call.note_first_token()
        assert not _sent()
        async for chunk in chunks:
            for event in call.events(chunk):
                call.handler.feed_event(event)
    call.end()
    call.settle()
    assert exchange.outcome == "ok"
    await client.aclose()


def _sent() -> list[UpstreamRequest]:
    return [each for each in gc.get_objects() if isinstance(each, UpstreamRequest) and b'"hi"' in each.body]


@pytest.mark.parametrize("stream", [True, False])
async def test_a_response_is_read_as_events_or_as_one_document(serve: Callable[..., str], stream: bool) -> None:
    client = HTTPClient()
    upstream = Upstream(Backend(base_url=serve(ModelServer([say("one two")])) + "/v1"), client)
    body = {"model": "m", "max_tokens": 5, "stream": stream, "messages": [{"role": "user", "content": "hi"}]}
    target = Target("b", "openai", "gpt-4o-mini")
    call = UpstreamCall(upstream, Exchange(), target, decode_messages(json.dumps(body).encode()), input_estimate=10)
    events = []
    async with await call.open() as chunks:
        async for chunk in chunks:
            for event in call.events(chunk):
                events.append(event)
                call.handler.feed_event(event)
    call.end()
    assert (len(events) > 2) == stream
    written = call.handler.take()
    if stream:
        assert written.startswith(b"event: message_start\n")
        assert written.endswith(b'data: {"type":"message_stop"}\n\n')
    else:
        assert json.loads(written)["content"] == [{"type": "text", "text": "one two"}]
    await client.aclose()
