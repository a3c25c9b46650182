"""K27: token counts that do not add up, of other types, under other names, or in other places.

The value of each member is the usage; it is the same in a stream, byte by byte, and in a document.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from asgi_llmgate.errors import Broken
from asgi_llmgate.exchange_values import Usage
from asgi_llmgate.protocol.chat.forwarding import ChatForwarder
from asgi_llmgate.protocol.messages.forwarding import MessagesForwarder
from asgi_llmgate.protocol.servers.tokenizers import read_count
from asgi_llmgate.protocol.usage_meter import UsageMeter
from tests.protocol.responses import chunk, completion, sse, streamed, whole


def of(prompt: Any, output: Any, total: Any = None, **more: Any) -> dict[str, Any]:
    counts = {"prompt_tokens": prompt, "completion_tokens": output}
    return {**counts, **({} if total is None else {"total_tokens": total}), **more}


def reasoning(tokens: Any) -> dict[str, Any]:
    return {"completion_tokens_details": {"reasoning_tokens": tokens}}


def cached(tokens: Any) -> dict[str, Any]:
    return {"prompt_tokens_details": {"cached_tokens": tokens}}


COUNTED: dict[str, tuple[dict[str, Any], Usage]] = {
    # Reasoning is a part of the output, or comes on top of it.
    "OpenAI: included": (of(50, 100, 150, **reasoning(80)), Usage(50, 100, reasoning=80)),
    "xAI: on top": (of(279, 6, 374, **reasoning(89)), Usage(279, 95, reasoning=89)),
    "a proxy of Gemini's: nothing but reasoning": (of(21, 0, 81, **reasoning(60)), Usage(21, 60, reasoning=60)),
    "Gemini's own endpoint: named nowhere": (of(20, 424, 1016), Usage(20, 996, reasoning=572)),
    "on top, with details of zero": (of(20, 4, 34, **reasoning(0)), Usage(20, 14, reasoning=10)),
    "on top, without a total": (of(20, 4, **reasoning(10)), Usage(20, 14, reasoning=10)),
    "on top, with cached input": (of(100, 6, 195, **reasoning(89), **cached(60)), Usage(100, 95, 60, reasoning=89)),
    "beside the counts": (of(20, 14, 34, reasoning_tokens=10), Usage(20, 14, reasoning=10)),
    "more than the output, and the total says no": (of(20, 4, 24, **reasoning(10)), Usage(20, 4, reasoning=4)),
    "a total that explains nothing": (of(20, 4, 100, **reasoning(3)), Usage(20, 4, reasoning=3)),
    "a total below its parts": (of(20, 4, 7), Usage(20, 4)),
    "a total of zero": (of(20, 4, 0), Usage(20, 4)),
    # Other types.
    "floats": (of(20.0, 4.0, 24.0, **cached(8.0)), Usage(20, 4, 8)),
    "strings": (of("20", "4", "24"), Usage(20, 4)),
    "strings of floats": (of("20.0", " 4.0 ", "24.0"), Usage(20, 4)),
    "fractions": (of(20.7, 4.2), Usage(20, 4)),
    "details of null": (of(20, 4, 24, prompt_tokens_details=None, completion_tokens_details=None), Usage(20, 4)),
    "details of nulls": (of(20, 4, 24, **reasoning(None), **cached(None)), Usage(20, 4)),
    "details that are a text (simonw/llm#614)": (
        of(20, 4, 24, completion_tokens_details="CompletionTokensDetails(reasoning_tokens=0)"),
        Usage(20, 4),
    ),
    "details that are a list": (of(20, 4, 24, prompt_tokens_details=[]), Usage(20, 4)),
    "counts that are lists": (of(20, 4, [24], **cached([8])), Usage(20, 4)),
    "a negative cached count": (of(20, 4, 24, **cached(-1)), Usage(20, 4)),
    # More cached than there is.
    "cached tokens on top of the prompt": (of(20, 4, 124, **cached(100)), Usage(120, 4, 100)),
    "cached tokens over the prompt": (of(20, 4, 24, **cached(25)), Usage(20, 4, 20)),
    "cached tokens over the prompt, no total": (of(20, 4, **cached(21)), Usage(20, 4, 20)),
    # Other names.
    "input and output": ({"input_tokens": 20, "output_tokens": 4, "total_tokens": 24}, Usage(20, 4)),
    "input and output, cached apart": (
        {"input_tokens": 20, "output_tokens": 4, "cache_read_input_tokens": 100},
        Usage(120, 4, 100),
    ),
    "both names": (of(20, 4, 24, input_tokens=20, output_tokens=4), Usage(20, 4)),
    "both names, one of them null": (of(None, None, 24, input_tokens=20, output_tokens=4), Usage(20, 4)),
    "details of Responses": (
        {"input_tokens": 20, "output_tokens": 9, "output_tokens_details": {"reasoning_tokens": 5}},
        Usage(20, 9, reasoning=5),
    ),
}

UNCOUNTED = {
    "nothing": {},
    "nulls": of(None, None, None),
    "zeros": of(0, 0, 0),
    "negative": of(-1, -1, -2),
    "words": of("many", "few"),
    "absurd": of(10**30, 1e300),
    "long strings": of("9" * 10_000, "9" * 17),
    "booleans": of(True, True),
}


def ended(usage: Any) -> list[dict[str, Any]]:
    return [chunk(content="abc", finish="stop"), {"id": "c", "model": "m", "choices": [], "usage": usage}]


def document(usage: Any) -> dict[str, Any]:
    return {**completion(content="abc"), "usage": usage}


@pytest.mark.parametrize(("counts", "usage"), COUNTED.values(), ids=COUNTED)
def test_counts_are_what_the_server_meant(counts: dict[str, Any], usage: Usage) -> None:
    data = sse(*ended(counts))
    apart = [data[at : at + 1] for at in range(len(data))]
    for told in (streamed(data), streamed(apart), whole(document(counts))):
        assert told.translator.usage == usage
        assert told.message["usage"]["output_tokens"] == usage.output
        assert told.message["usage"]["input_tokens"] == usage.input - usage.cache_read


@pytest.mark.parametrize(("counts", "usage"), COUNTED.values(), ids=COUNTED)
def test_a_forwarded_or_passed_response_is_counted_the_same(counts: dict[str, Any], usage: Usage) -> None:
    forwarder = ChatForwarder(stream=False, request_id="r", input_estimate=9)
    forwarder.feed_document(json.dumps(document(counts)).encode())
    assert forwarder.usage == usage
    meter = UsageMeter("application/json")
    meter.feed(json.dumps(document(counts)).encode())
    meter.end()
    assert meter.usage == usage


@pytest.mark.parametrize("counts", UNCOUNTED.values(), ids=UNCOUNTED)
def test_what_says_nothing_is_estimated(counts: Any) -> None:
    for told in (streamed(sse(*ended(counts))), whole(document(counts))):
        assert told.translator.usage == Usage(50, 1, estimated=True)


PLACES: dict[str, list[dict[str, Any]]] = {
    "after the finish": ended(of(20, 4)),
    "with the finish": [{**chunk(content="abc", finish="stop"), "usage": of(20, 4)}],
    "in each chunk, the last counts": [
        {**chunk(content="a"), "usage": of(20, 1)},
        {**chunk(content="bc", finish="stop"), "usage": of(20, 4)},
        {"choices": [], "usage": of(0, 0)},
    ],
    "in the choice (Moonshot)": [
        {"id": "c", "choices": [{"index": 0, "delta": {"content": "abc"}, "finish_reason": "stop", "usage": of(20, 4)}]}
    ],
    "in x_groq": [{**chunk(content="abc", finish="stop"), "x_groq": {"id": "req", "usage": of(20, 4)}}],
    "in x_groq and as asked for": [
        {**chunk(content="abc", finish="stop"), "x_groq": {"usage": of(20, 4)}},
        {"choices": [], "usage": of(20, 4), "x_groq": {"id": "req"}},
    ],
    "before the first choice": [{"choices": [], "usage": of(20, 4)}, chunk(content="abc", finish="stop")],
}


@pytest.mark.parametrize("events", PLACES.values(), ids=PLACES)
def test_counts_are_found_where_servers_write_them(events: list[dict[str, Any]]) -> None:
    told = streamed(sse(*events))
    assert (told.translator.usage, told.message["usage"]["output_tokens"]) == (Usage(20, 4), 4)


@pytest.mark.parametrize(
    ("counts", "usage"),
    [
        ({"input_tokens": 30.0, "cache_read_input_tokens": "60", "output_tokens": 20}, Usage(90, 20, 60)),
        ({"input_tokens": 30, "output_tokens": 20, "total_tokens": 50}, Usage(30, 20)),
        ({"input_tokens": 30, "output_tokens": -5}, Usage(30)),
    ],
)
def test_the_counts_of_a_message_too(counts: dict[str, Any], usage: Usage) -> None:
    forwarder = MessagesForwarder(stream=False, request_id="r", input_estimate=9)
    forwarder.feed_document(json.dumps({"type": "message", "model": "m", "usage": counts}).encode())
    assert forwarder.usage == usage


@pytest.mark.parametrize(
    ("response", "count"),
    [
        (b'{"count":"7"}', 7),
        (b'{"count":7.0,"tokens":null}', 7),
        (b'{"input_tokens":"12"}', 12),
        (b'{"tokens":[%b1]}' % (b"100000," * 999_999), 1_000_000),
        (b'{"count":3,"tokens":[%b1]}' % (b"100000," * 999_999), 3),
    ],
    ids=["a string", "a float", "Anthropic, a string", "a million tokens", "a count beside a million"],
)
def test_the_count_of_a_tokenizer_too(response: bytes, count: int) -> None:
    assert read_count(response) == count


@pytest.mark.parametrize("response", [b'{"count":"many"}', b'{"count":[]}', b'{"count":-7.0}', b'{"count":true}'])
def test_what_is_no_count_of_a_tokenizer_is_refused(response: bytes) -> None:
    with pytest.raises(Broken):
        read_count(response)
