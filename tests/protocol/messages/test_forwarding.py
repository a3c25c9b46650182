from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from asgi_llmgate.errors import (
    CredentialRefused,
    Failed,
    Overloaded,
    QuotaExhausted,
    RequestRejected,
    Throttled,
    UnknownModel,
    row_for,
)
from asgi_llmgate.exchange_values import Usage
from asgi_llmgate.protocol.messages.forwarding import MessagesForwarder, forwarded_error
from asgi_llmgate.testing.grammar import check_stream

MESSAGE: dict[str, Any] = {
    "id": "msg_01",
    "type": "message",
    "role": "assistant",
    "model": "claude-opus-5-5",
    "content": [{"type": "text", "text": "Hi"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 30, "cache_read_input_tokens": 60, "cache_creation_input_tokens": 10, "output_tokens": 4},
}
JUDGED = {"safeguard_results": [{"type": "dangerous_tool_use", "status": {"type": "unsupported"}}]}
START = {**MESSAGE, "content": [], "stop_reason": None, "usage": {**MESSAGE["usage"], "output_tokens": 1}}
EVENTS: list[dict[str, Any]] = [
    {"type": "message_start", "message": START},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "ping"},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi there"}},
    {"type": "content_block_stop", "index": 0},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": MESSAGE["usage"],
    },
    {"type": "message_stop"},
]


def answered(events: Iterable[Any], *, stream: bool = True) -> tuple[MessagesForwarder, bytes]:
    handler = MessagesForwarder(stream=stream, request_id="req_1", input_estimate=9)
    for event in events:
        handler.feed_event(event if isinstance(event, bytes) else json.dumps(event).encode())
    handler.end()
    return handler, handler.take()


def test_events_are_handed_on_as_they_came() -> None:
    handler, data = answered(EVENTS)
    lines = [line for line in data.decode().split("\n") if line]
    assert [json.loads(line.removeprefix("data: ")) for line in lines[1::2]] == EVENTS
    assert lines[::2] == [f"event: {event['type']}" for event in EVENTS]
    assert check_stream(data)["content"] == [{"type": "text", "text": "Hi there"}]
    assert (handler.started, handler.done, handler.error) == (True, True, None)
    assert handler.usage == Usage(input=100, output=4, cache_read=60, cache_creation=10)
    assert (handler.metadata.id, handler.metadata.model, handler.metadata.finish_reasons) == (
        "msg_01",
        "claude-opus-5-5",
        ("end_turn",),
    )


def calling(kind: str, name: str) -> dict[str, Any]:
    return {"type": kind, "id": "toolu_1", "name": name, "input": {}}


def test_the_tools_that_it_calls_are_named_each_once() -> None:
    text, *blocks = [
        {"type": "text", "text": ""},
        calling("tool_use", "Read"),
        calling("server_tool_use", "web_search"),
        {"type": "web_search_tool_result", "tool_use_id": "toolu_1", "content": []},
        calling("tool_use", "Read"),
        {"type": "tool_use", "name": None},
    ]
    starts = [{"type": "content_block_start", "index": n, "content_block": block} for n, block in enumerate(blocks)]
    untold = {"type": "content_block_start", "index": 9}
    handler, _ = answered([EVENTS[0], *starts, untold, *EVENTS[1:]])
    assert (handler.metadata.tools, handler.error) == (("Read", "web_search"), None)
    whole = MessagesForwarder(stream=False, request_id="req_1", input_estimate=9)
    whole.feed_document(json.dumps({**MESSAGE, "content": [text, *blocks]}).encode())
    assert whole.metadata.tools == handler.metadata.tools


def test_a_delta_may_hold_a_content_of_another_kind() -> None:
    compacted = {"type": "content_block_delta", "index": 0, "delta": {"type": "compaction_delta", "content": "So far:"}}
    handler, data = answered([*EVENTS[:3], compacted, *EVENTS[3:]])
    assert json.dumps(compacted).encode() in data
    assert handler.error is None


def test_an_event_that_is_new_is_handed_on_too() -> None:
    new = {"type": "block_of_the_future", "x": 1, "content_block": {"type": "named", "name": {"first": "x"}}}
    end = {**EVENTS[5], "delta": {**EVENTS[5]["delta"], **JUDGED}}
    handler, data = answered([*EVENTS[:2], new, *EVENTS[2:5], end, EVENTS[6]])
    assert json.dumps(JUDGED)[1:-1].encode() in data
    assert b'event: block_of_the_future\ndata: {"type": "block_of_the_future", "x": 1, ' in data
    assert handler.error is None


def test_the_counts_of_the_end_hold() -> None:
    end = {**EVENTS[5], "usage": {"input_tokens": 31, "cache_read_input_tokens": 60, "output_tokens": 5}}
    assert answered([*EVENTS[:5], end, EVENTS[6]])[0].usage == Usage(input=91, output=5, cache_read=60)
    end = {**EVENTS[5], "usage": {"output_tokens": 5}}
    known = Usage(input=100, output=5, cache_read=60, cache_creation=10)
    assert answered([*EVENTS[:5], end, EVENTS[6]])[0].usage == known


def test_of_a_stream_that_is_cut_what_went_out_is_estimated() -> None:
    handler, data = answered(EVENTS[:4])
    assert data.endswith(b'"request_id":"req_1"}\n\n')
    assert b"message_stop" not in data
    assert check_stream(data)["error"]["type"] == "api_error"
    assert (handler.usage.input, handler.usage.estimated) == (100, True)
    assert handler.usage.output > 4
    assert answered([])[0].usage == Usage(input=9, output=0, estimated=True)


def test_an_error_is_told_in_our_words() -> None:
    said = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}, "request_id": "req_theirs"}
    handler, data = answered([*EVENTS[:2], said, *EVENTS[2:]])
    assert isinstance(handler.error, Overloaded)
    assert b"req_theirs" not in data
    assert check_stream(data)["error"]["type"] == "overloaded_error"
    credential = {"type": "error", "error": {"type": "authentication_error", "message": "invalid x-api-key"}}
    assert isinstance(answered([credential])[0].error, CredentialRefused)


@pytest.mark.parametrize("event", [b"{", b'{"a":1}', b'{"type":"a\\n\\ndata: x"}', b"[DONE]"])
def test_what_is_no_event_ends_the_answer(event: bytes) -> None:
    handler, data = answered([*EVENTS[:2], event, *EVENTS[2:]])
    assert handler.error is not None
    assert data.count(b"event: ") == 3
    assert (
        check_stream(data)["error"]["message"] == "the model server sent something that is not an event of Anthropic's"
    )


def test_silence_is_filled_with_comments() -> None:
    handler = MessagesForwarder(stream=True, request_id="req_1", input_estimate=9)
    handler.ping()
    assert handler.take() == b": ping\n\n"
    assert not handler.started


def test_a_message_is_handed_on_as_it_came() -> None:
    handler = MessagesForwarder(stream=False, request_id="req_1", input_estimate=9)
    document = json.dumps({**MESSAGE, **JUDGED}, indent=1).encode()
    handler.feed_document(document)
    assert handler.take() == document
    assert handler.usage == Usage(input=100, output=4, cache_read=60, cache_creation=10)
    assert handler.metadata.finish_reasons == ("end_turn",)


@pytest.mark.parametrize(("stream", "document"), [(False, b"<html>"), (False, b"{}"), (True, b'{"type":"message"}')])
def test_what_is_no_message_is_a_failure(stream: bool, document: bytes) -> None:
    handler = MessagesForwarder(stream=stream, request_id="req_1", input_estimate=9)
    handler.feed_document(document)
    assert handler.done
    assert row_for(handler.error).status == 502  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("status", "kind", "message", "error", "told"),
    [
        (400, "invalid_request_error", "max_tokens: 200000 > 64000", RequestRejected, None),
        (400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum", RequestRejected, None),
        (400, "invalid_request_error", "Your credit balance is too low", QuotaExhausted, "no quota"),
        (401, "authentication_error", "invalid x-api-key", CredentialRefused, "own credential"),
        (403, "permission_error", "Your API key does not have permission", CredentialRefused, "own credential"),
        (404, "not_found_error", "model: claude-9", UnknownModel, None),
        (429, "rate_limit_error", "This request would exceed your limit", Throttled, None),
        (500, "api_error", "Internal server error", Failed, None),
        (529, "overloaded_error", "Overloaded", Overloaded, None),
    ],
)
def test_an_error_keeps_its_status_and_its_words_but_where_it_is_ours(
    status: int, kind: str, message: str, error: type[Exception], told: str | None
) -> None:
    body = json.dumps({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_x"}).encode()
    found = forwarded_error(status, body, {"retry-after": "7", "x-should-retry": "true"})
    assert isinstance(found, error)
    if told is None:
        assert (row_for(found).status, row_for(found).anthropic, found.client_message) == (status, kind, message)
        assert found.should_retry is True
    else:
        assert told in found.message
        assert found.should_retry is False


def test_an_error_of_somebody_in_front_is_as_everywhere() -> None:
    assert row_for(forwarded_error(502, b"<html>Bad Gateway</html>", {})).status == 529


@pytest.mark.parametrize(
    ("event", "error"),
    [
        (b'{"status":429,"error":{"code":"Throttling","message":"slow"}}', Throttled),
        (b'{"base_resp":{"status_code":1008,"status_msg":"insufficient balance"}}', QuotaExhausted),
        (b'{"code":401,"msg":"Credential expired","success":false}', CredentialRefused),
        (b'{"type":"error","error":{"type":"overloaded_error","message":"busy"}}', Overloaded),
    ],
)
def test_an_error_in_another_shape_is_told_as_what_it_is(event: bytes, error: type[Exception]) -> None:
    assert type(answered([*EVENTS[:2], event])[0].error) is error
    handler = MessagesForwarder(stream=False, request_id="req_1", input_estimate=9)
    handler.feed_document(event)
    assert type(handler.error) is error


def test_a_conversation_that_is_too_long_is_told_in_the_words_that_the_client_knows() -> None:
    body = b'{"type":"error","error":{"message":"Input is too long for requested model."}}'
    assert forwarded_error(400, body, {}).client_message == (
        "prompt is too long (capability_rejected: prompt_too_long): Input is too long for requested model."
    )
    body = b'{"error":{"message":"Input length 5001 exceeds the maximum length 4096"}}'
    assert forwarded_error(400, body, {}).client_message == "prompt is too long: 5001 tokens > 4096 maximum"


def test_an_error_is_redacted() -> None:
    body = b'{"type":"error","error":{"type":"invalid_request_error","message":"key sk-ant-api03-abcdefgh is odd"}}'
    assert "abcdefgh" not in forwarded_error(400, body, {}).client_message


def test_an_end_without_a_count_leaves_the_estimate() -> None:
    events = [{**event, "usage": None} if event["type"] == "message_delta" else event for event in EVENTS]
    handler, data = answered(events)
    assert data.endswith(b'message_stop"}\n\n')
    assert handler.usage.input == 100
    assert handler.usage.estimated


def test_events_for_a_client_that_waits_for_a_message_are_a_failure() -> None:
    handler = MessagesForwarder(stream=False, request_id="req_1", input_estimate=9)
    handler.feed_event(b'{"type":"ping"}')
    assert handler.done
    assert row_for(handler.error).status == 502  # type: ignore[arg-type]


def test_after_the_stop_reason_only_the_end_is_missing() -> None:
    *events, end = EVENTS
    handler = MessagesForwarder(stream=True, request_id="req_1", input_estimate=9)
    states = []
    for event in events:
        states.append(handler.stopped)
        handler.feed_event(json.dumps(event).encode())
    assert (any(states), handler.stopped, handler.done) == (False, True, False)
    handler.take()
    handler.feed_event(b'{"type":"ping"}')  # keeps no stream open that is over
    assert handler.take() == b""
    handler.end()
    assert (handler.take(), handler.done) == (b'event: message_stop\ndata: {"type":"message_stop"}\n\n', True)
    assert json.loads(b'{"type":"message_stop"}') == end


@pytest.mark.parametrize("failure", [b'{"type":"error","error":{"type":"api_error","message":"x"}}', b"garbage"])
def test_after_the_stop_reason_nothing_can_be_lost(failure: bytes) -> None:
    handler, data = answered([*EVENTS[:-1], failure])
    assert handler.error is None
    assert check_stream(data)["content"] == [{"type": "text", "text": "Hi there"}]
