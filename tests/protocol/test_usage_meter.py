from __future__ import annotations

import json

import pytest

from asgi_llmgate.exchange_values import ResponseMetadata, Usage
from asgi_llmgate.protocol.sse import MAX_EVENT
from asgi_llmgate.protocol.usage_meter import UsageMeter

CHAT = {"prompt_tokens": 100, "completion_tokens": 20, "prompt_tokens_details": {"cached_tokens": 60}}
RESPONSES = {
    "input_tokens": 100,
    "input_tokens_details": {"cached_tokens": 60},
    "output_tokens": 20,
    "output_tokens_details": {"reasoning_tokens": 5},
}


def metered(content_type: str, *chunks: bytes) -> UsageMeter:
    meter = UsageMeter(content_type)
    for chunk in chunks:
        meter.feed(chunk)
    meter.end()
    return meter


def test_a_document_is_read_when_it_is_whole() -> None:
    body = json.dumps({"object": "list", "model": "e5", "usage": CHAT}).encode()
    meter = metered("application/json", body[:10], body[10:])
    assert (meter.usage, meter.metadata) == (Usage(input=100, output=20, cache_read=60), ResponseMetadata("e5", ""))


def test_of_a_stream_the_last_counts_hold() -> None:
    events = [
        {"type": "response.created", "response": {"id": "resp_1", "model": "gpt", "usage": None}},
        {"type": "response.output_text.delta", "delta": "Hi"},
        {"type": "response.completed", "response": {"id": "resp_1", "model": "gpt", "usage": RESPONSES}},
    ]
    stream = b"".join(b"event: x\ndata: " + json.dumps(event).encode() + b"\n\n" for event in events)
    meter = metered("text/event-stream", *(stream[i : i + 7] for i in range(0, len(stream), 7)))
    assert meter.usage == Usage(input=100, output=20, cache_read=60, reasoning=5)
    assert meter.metadata == ResponseMetadata("gpt", "resp_1")


def test_the_last_event_may_lack_its_blank_line() -> None:
    meter = metered("text/event-stream; charset=utf-8", b'data: {"usage":{"prompt_tokens":3,"completion_tokens":1}}')
    assert meter.usage == Usage(input=3, output=1)


@pytest.mark.parametrize(
    ("content_type", "chunks"),
    [
        ("audio/mpeg", [b"\xff\xfb"]),
        ("application/json", [b"{"]),
        ("application/json", [b"{" + b" " * (MAX_EVENT + 1), b'"usage":{"prompt_tokens":3}}']),
        ("text/event-stream", [b"data: " + b"x" * (MAX_EVENT + 1), b'\n\ndata: {"usage":{"prompt_tokens":3}}\n\n']),
        ("text/event-stream", [b'data: {"usage"\n\n']),
    ],
    ids=["sound", "half", "too large", "an event too large", "junk"],
)
def test_what_cannot_be_read_is_not_counted(content_type: str, chunks: list[bytes]) -> None:
    assert metered(content_type, *chunks).usage is None


@pytest.mark.parametrize("content_type", ["Text/Event-Stream; charset=UTF-8", "application/json", "", "text/plain"])
def test_a_stream_is_counted_whatever_it_is_called(content_type: str) -> None:
    found = metered(content_type, b"\n", b'data: {"usage":', b'{"prompt_tokens":3}}\n\n').usage
    assert found is not None
    assert found.input == 3


@pytest.mark.parametrize("content_type", ["Application/JSON", "application/problem+JSON; charset=utf-8"])
def test_the_name_of_json_may_be_in_any_case(content_type: str) -> None:
    assert metered(content_type, b'{"usage":', b'{"prompt_tokens":3}}').usage is not None


def test_an_oversized_event_behind_others_is_not_counted() -> None:
    event = b'data: {"usage":{"prompt_tokens":3,"completion_tokens":1}}\n\n'
    assert metered("text/event-stream", event + b"data: " + b"x" * (MAX_EVENT + 1)).usage == Usage(3, 1)
