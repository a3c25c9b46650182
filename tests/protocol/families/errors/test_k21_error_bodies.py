"""The shapes in which servers write errors: none of them is lost, and none with the status 200 is an empty success."""

from __future__ import annotations

import json
from typing import Any

import pytest

from asgi_llmgate.errors import (
    Blocked,
    Broken,
    CredentialRefused,
    Failed,
    Overloaded,
    PromptTooLong,
    QuotaExhausted,
    RequestRejected,
    Throttled,
    UpstreamError,
)
from asgi_llmgate.protocol.servers.errors.reports import find_report
from asgi_llmgate.protocol.servers.errors.upstream_errors import upstream_error
from asgi_llmgate.protocol.sse import SSEReader
from tests.protocol.responses import sse, streamed, whole

WORDS = "field 'x' is odd"
BODIES: dict[str, Any] = {
    "OpenAI": {"error": {"message": WORDS, "type": "invalid_request_error"}},
    "Ollama": {"error": WORDS},
    "vLLM, old": {"object": "error", "message": WORDS, "type": "BadRequestError", "code": 400},
    "Cloudflare": {"success": False, "errors": [{"code": 7000, "message": WORDS}], "messages": [], "result": None},
    "Cloudflare, two errors": {"success": False, "errors": [{"message": WORDS}, {"message": "more"}]},
    "a list of texts": {"errors": [WORDS]},
    "Mistral": {"object": "error", "message": {"detail": [{"type": "x", "loc": ["body"], "msg": WORDS}]}},
    "FastAPI": {"detail": WORDS},
    "FastAPI with an object": {"detail": {"message": WORDS, "code": "bad"}},
    "FastAPI with an error": {"detail": {"error": {"message": WORDS}}},
    "AWS": {"Message": WORDS},
    "AWS, an exception": {"__type": "com.amazon.coral#ValidationException", "message": WORDS},
    "Zhipu": {"code": 1214, "msg": WORDS, "success": False},
    "SiliconFlow": {"code": 20015, "message": WORDS, "data": None},
    "MiniMax": {"base_resp": {"status_code": 2013, "status_msg": WORDS}},
    "DashScope": {"code": "InvalidParameter", "message": WORDS, "request_id": "0"},
    "Apigee": {"fault": {"faultstring": WORDS, "detail": {"errorcode": "steps.x"}}},
    "RFC 9457": {"type": "about:blank", "title": "Bad Request", "status": 400, "detail": WORDS},
    "Baidu": {"error_code": 336003, "error_msg": WORDS},
    "OAuth": {"error": "invalid_request", "error_description": WORDS},
    "Spring": {"timestamp": "2026", "status": 400, "error": "Bad Request", "message": WORDS, "path": "/v1"},
    "errorMessage": {"errorMessage": WORDS, "errorType": "x"},
    "error_message": {"choices": None, "error_type": "BadRequestError", "error_message": WORDS},
    "message alone": {"message": WORDS},
    "Gemini": [{"error": {"code": 400, "message": WORDS, "status": "INVALID_ARGUMENT"}}],
    "JSON in JSON": {"error": json.dumps({"error": {"message": WORDS}})},
    "JSON in a message": {"error": {"message": json.dumps({"error": {"message": WORDS}})}},
    "JSON in JSON in JSON": {"message": json.dumps({"message": json.dumps({"detail": WORDS})})},
    "OpenRouter": {"error": {"message": "Provider returned error", "code": 400, "metadata": {"raw": WORDS}}},
}


@pytest.mark.parametrize("name", BODIES)
def test_its_words_are_found(name: str) -> None:
    found = upstream_error(400, json.dumps(BODIES[name]).encode(), {})
    assert type(found) is RequestRejected
    assert WORDS in found.client_message
    assert found.message == "the model server refused the request"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": {"message": {"model": ["is not allowed", "x"]}}}, "model: is not allowed"),
        (
            {"title": "Validation failed", "status": 400, "errors": {"messages": ["too short"]}},
            "Validation failed: messages: too short",
        ),
        ({"error": {"message": "no", "errors": [{"message": "no"}]}}, "no"),
        ({"error": {"message": "no", "details": [{"description": "more"}]}}, "no"),
        (b"<?xml version='1.0'?><Error><Code>InvalidThing</Code><Message>bad thing</Message></Error>", "bad thing"),
        (b"model `x` takes no tools", "model `x` takes no tools"),
    ],
    ids=["an object as message", "texts by field", "told twice", "details", "XML", "plain text"],
)
def test_and_in_what_has_no_message(body: Any, message: str) -> None:
    found = upstream_error(400, body if isinstance(body, bytes) else json.dumps(body).encode(), {})
    assert (type(found), found.client_message) == (RequestRejected, message)


UNDER_200: dict[str, tuple[Any, type[UpstreamError]]] = {
    "Zhipu, key": ({"code": 401, "msg": "Credential expired or incorrect", "success": False}, CredentialRefused),
    "Zhipu, limit": ({"code": "1302", "msg": "slow"}, Throttled),
    "Zhipu, arrears": ({"code": 1113, "msg": "no"}, QuotaExhausted),
    "Zhipu, model": ({"code": 1211, "msg": "no"}, Broken),
    "MiniMax, limit": ({"choices": None, "base_resp": {"status_code": 1002, "status_msg": "slow"}}, Throttled),
    "MiniMax, key": ({"base_resp": {"status_code": 1004, "status_msg": "login fail"}}, CredentialRefused),
    "MiniMax, balance": (
        {
            "id": "0",
            "object": "chat.completion",
            "choices": None,
            "usage": {"total_tokens": 0},
            "base_resp": {"status_code": 1008, "status_msg": "no"},
        },
        QuotaExhausted,
    ),
    "MiniMax, overflow": (
        {"choices": None, "base_resp": {"status_code": 2013, "status_msg": "context window exceeds limit"}},
        PromptTooLong,
    ),
    "Cloudflare": ({"success": False, "errors": [{"message": "odd"}], "result": {}}, Failed),
    "Baidu, key": ({"error_code": 110, "error_msg": "Access token invalid or no longer valid"}, CredentialRefused),
    "Baidu, limit": ({"error_code": 18, "error_msg": "Open api qps request limit reached"}, Throttled),
    "Baidu, busy": ({"error_code": 336100, "error_msg": "please try again later"}, Overloaded),
    "error_message": (
        {"object": "chat.completion.chunk", "choices": None, "error_type": "BadRequestError", "error_message": "no"},
        RequestRejected,
    ),
    "vLLM": ({"object": "error", "message": "no", "type": "BadRequestError", "code": 400}, RequestRejected),
    "FastAPI": ({"detail": "Not Found"}, Failed),
    "AWS": ({"__type": "ThrottlingException", "message": "no"}, Throttled),
    "Gemini": ([{"error": {"code": 503, "message": "busy", "status": "UNAVAILABLE"}}], Overloaded),
    "a number alone": ({"code": 99, "message": "odd"}, Failed),
}


@pytest.mark.parametrize("name", UNDER_200)
def test_with_the_status_200_it_is_an_error(name: str) -> None:
    body, kind = UNDER_200[name]
    with pytest.raises(kind) as caught:
        whole(body)
    assert type(caught.value) is kind
    assert "empty" not in caught.value.client_message


@pytest.mark.parametrize("name", UNDER_200)
def test_so_it_is_as_an_event_of_a_stream(name: str) -> None:
    body, kind = UNDER_200[name]
    data = sse(body)
    for pieces in ([data], [data[place : place + 1] for place in range(len(data))]):
        told = streamed(pieces)
        assert type(told.translator.error) is kind
        assert "stop_reason" not in told.message


@pytest.mark.parametrize(
    "body",
    [
        {"choices": [], "created": 0, "id": "", "model": "", "object": "", "prompt_filter_results": [{"x": 1}]},
        {"object": "chat.completion.chunk", "choices": [], "usage": {"prompt_tokens": 1}},
        {"choices": [], "base_resp": {"status_code": 0, "status_msg": ""}},
        {"usage": {"prompt_tokens": 1, "completion_tokens": 1}},
        {"type": "ping"},
        {"type": "info", "message": "3 requests are before yours"},
        {"status": "queued", "msg": "wait"},
        {"code": 200, "msg": "ok", "data": {}},
        {"message": "hello", "sender": "x"},
        [],
        7,
    ],
)
def test_a_chunk_without_choices_is_no_error_by_itself(body: Any) -> None:
    assert find_report(json.dumps(body).encode()) is None


HELLO = b'data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
IN_STREAMS = {
    "DashScope": (
        b'id:1\nevent:error\n:HTTP_STATUS/429\ndata:{"code":"Odd","message":"slow","request_id":"0"}\n\n',
        Throttled,
    ),
    "DashScope, no status": (
        b'event: error\ndata: {"code":"Throttling.RateQuota","message":"slow"}\n\n',
        Throttled,
    ),
    "DashScope, the name last": (b'data:{"code":"InvalidParameter","message":"odd"}\nevent:error\n\n', RequestRejected),
    "a text": (b"event: error\ndata: the worker has died\n\n", Failed),
    "an error named twice": (b'event: error\ndata: {"error":{"code":529,"message":"busy"}}\n\n', Overloaded),
    "no data:": (b'{"error":{"message":"busy","code":503}}\n\n', Overloaded),
    "no data:, and no end": (b'{"error":{"message":"busy","code":503}}', Overloaded),
    "llama.cpp": (b'error: {"code":503,"message":"busy"}\n\n', Overloaded),
}


@pytest.mark.parametrize("name", IN_STREAMS)
@pytest.mark.parametrize("before", [b"", HELLO], ids=["first", "after a text"])
def test_an_error_that_is_not_in_data_ends_the_stream(name: str, before: bytes) -> None:
    data, kind = IN_STREAMS[name]
    data = before + data
    for pieces in ([data], [data[place : place + 1] for place in range(len(data))]):
        told = streamed(pieces)
        assert type(told.translator.error) is kind
        assert told.translator.error is not None
        assert "closed the stream" not in told.translator.error.client_message


def test_the_name_of_an_event_is_the_name_of_that_event_only() -> None:
    reader = SSEReader()
    events = reader.feed(b'event: error\n\ndata: {"a":1}\n\nevent: error\ndata: {"b":1}\n\ndata: {"c":1}\n\n')
    assert events == [b'{"a":1}', b'{"status":0,"error":{"b":1}}', b'{"c":1}']


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<html><title>Sign in</title><input type='password'></html>", Blocked),
        (b"<html><body>Hello</body></html>", Blocked),
        (b"\xff\xfe\x00", Broken),
        (b"Hello", Broken),
        (b"[1, 2]", Broken),
    ],
    ids=["a sign-in page", "a web page", "no text", "a text", "a list of numbers"],
)
def test_what_is_no_completion_at_all(body: bytes, kind: type[UpstreamError]) -> None:
    with pytest.raises(kind) as caught:
        whole(body)
    assert type(caught.value) is kind


@pytest.mark.parametrize("depth", [1, 10, 1000])
def test_work_is_bounded_however_deep_an_error_is(depth: int) -> None:
    body = b'{"error":' * depth + b'"x"' + b"}" * depth
    assert isinstance(upstream_error(500, body, {}), UpstreamError)
