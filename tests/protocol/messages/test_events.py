"""What the emitters write, read by the official SDK: through a real client, so also through its SSE decoder."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import httpx2
import pytest
from hypothesis import given, settings

from asgi_llmgate.errors import Overloaded
from asgi_llmgate.exchange_values import Usage
from asgi_llmgate.protocol.error_bodies import anthropic_error
from asgi_llmgate.protocol.messages.events import MessageEmitter, SSEEmitter
from asgi_llmgate.testing.grammar import check_stream
from tests.protocol.responses import Script, call, calls, chunk, collected, counted, scripts, sse, streamed

ASKED: Any = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}


def client(body: bytes, content_type: str, status: int = 200) -> anthropic.Anthropic:
    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, content=body, headers={"content-type": content_type, "request-id": "req_1"})

    transport = httpx2.MockTransport(answer)
    return anthropic.Anthropic(
        api_key="k", base_url="http://gate.test", max_retries=0, http_client=httpx2.Client(transport=transport)
    )


def read_stream(data: bytes) -> anthropic.types.Message:
    with client(data, "text/event-stream").messages.stream(**ASKED) as stream:
        return stream.get_final_message()


def read_message(data: bytes) -> anthropic.types.Message:
    return client(data, "application/json").messages.create(**ASKED)


DATA = sse(
    chunk(role="assistant", content=""),
    chunk(reasoning="hm"),
    chunk(content='Hi "you" \\ é😀'),
    calls(call(0, id="a", name="A", args='{"x":'), call(1, id="b", name="B", args='{"y":[1,')),
    calls(call(1, args="2]}"), call(0, args='"é"}')),
    chunk(finish="tool_calls", usage=counted(100, 20, prompt_tokens_details={"cached_tokens": 60})),
)


def test_the_sdk_reads_the_same_message_from_both() -> None:
    stream, message = read_stream(streamed(DATA).data), read_message(json.dumps(collected(DATA).message).encode())
    assert stream.model_dump(exclude_none=True) == message.model_dump(exclude_none=True)
    assert [block.type for block in message.content] == ["thinking", "text", "tool_use", "tool_use"]
    assert message.content[3].model_dump()["input"] == {"y": [1, 2]}
    assert message.stop_reason == "tool_use"
    assert (message.usage.input_tokens, message.usage.cache_read_input_tokens) == (40, 60)


@settings(deadline=None, max_examples=30)
@given(scripts())
def test_the_sdk_reads_any_answer_as_the_grammar_does(script: Script) -> None:
    told = streamed(script.data)
    read = read_stream(told.data).model_dump(exclude_none=True, exclude={"parsed_output"})
    expected = {key: value for key, value in told.message.items() if key not in {"error", "open"} and value is not None}
    assert [{k: v for k, v in block.items() if k != "parsed_output"} for block in read["content"]] == expected[
        "content"
    ]
    assert read["stop_reason"] == expected["stop_reason"]
    assert read["usage"] == expected["usage"]


def test_the_sdk_raises_for_an_error_in_the_stream() -> None:
    data = streamed(sse(chunk(content="Hi"), done=False)).data
    with pytest.raises(anthropic.APIStatusError, match="closed the stream"):
        read_stream(data)


def test_the_sdk_raises_for_an_error_answer() -> None:
    with pytest.raises(anthropic.APIStatusError, match="busy") as caught:
        client(anthropic_error(Overloaded("busy"), "req_1"), "application/json", 529).messages.create(**ASKED)
    assert caught.value.request_id == "req_1"


def test_one_take_is_everything_that_is_ready() -> None:
    out = SSEEmitter()
    assert out.take() == b""
    out.start("msg_1", "m", 5)
    out.open_block("text")
    out.write_text(b"a")
    out.write_text(b"b")
    assert out.take().count(b"event:") == 4
    assert out.take() == b""


def test_a_second_start_and_an_early_ping_say_nothing() -> None:
    out = SSEEmitter()
    out.ping()
    assert out.take() == b""
    out.start("msg_1", "m", 5)
    first = out.take()
    out.start("msg_2", "n", 6)
    assert out.take() == b""
    assert check_stream(first, complete=False)["id"] == "msg_1"
    collector = MessageEmitter()
    collector.start("msg_1", "m", 5)
    collector.ping()
    collector.start("msg_2", "n", 6)
    collector.finish("end_turn", None, Usage())
    assert json.loads(collector.take())["id"] == "msg_1"


def test_an_error_event_carries_the_request_id() -> None:
    out = SSEEmitter("req_1")
    out.fail(Overloaded("busy"))
    event, data, _, _ = out.take().split(b"\n")
    assert event == b"event: error"
    assert json.loads(data.removeprefix(b"data: ")) == {
        "type": "error",
        "error": {"type": "overloaded_error", "message": "busy"},
        "request_id": "req_1",
    }


def test_usage_is_never_negative() -> None:
    out = MessageEmitter()
    out.start("msg_1", "m", 0)
    out.finish("end_turn", None, Usage(input=5, output=1, cache_read=9))
    assert json.loads(out.take())["usage"]["input_tokens"] == 0
