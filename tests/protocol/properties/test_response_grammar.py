from __future__ import annotations

import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from asgi_llmgate.errors import GateError
from asgi_llmgate.protocol.messages.events import MessageEmitter, SSEEmitter
from asgi_llmgate.protocol.sse import SSEReader
from asgi_llmgate.protocol.translation.call_ids import make_call_id
from asgi_llmgate.protocol.translation.response.translator import Translator
from asgi_llmgate.testing.grammar import check_stream
from tests.protocol.responses import PLAN, Script, collected, cut_up, feed, scripts, streamed, whole

tried = settings(
    deadline=None,
    max_examples=int(os.environ.get("EXAMPLES", "60")),
    suppress_health_check=[HealthCheck.too_slow],
)


def without_made_ids(content: list[dict[str, object]]) -> list[dict[str, object]]:
    return [
        {**block, "id": None} if "id" in block and len(str(block["id"])) == len(make_call_id("", 1)) else block
        for block in content
    ]


@tried
@given(scripts())
def test_what_the_client_reads_is_what_the_server_said(script: Script) -> None:
    told = streamed(script.data)
    assert told.translator.error is None
    assert without_made_ids(told.content) == script.content
    assert told.message["stop_reason"] == script.stop_reason
    assert told.translator.usage.estimated == (script.usage is None)


@tried
@given(scripts(), st.data())
def test_where_the_bytes_are_cut_changes_nothing(script: Script, data: st.DataObject) -> None:
    assert streamed(data.draw(cut_up(script.data))).data == streamed(script.data).data


@tried
@given(scripts())
def test_one_byte_at_a_time_changes_nothing(script: Script) -> None:
    pieces = [script.data[place : place + 1] for place in range(len(script.data))]
    assert streamed(pieces).data == streamed(script.data).data


@tried
@given(scripts())
def test_streamed_and_not_streamed_are_the_same_answer(script: Script) -> None:
    stream, message = streamed(script.data), collected(script.data)
    assert {**message.message, "error": None, "open": False} == stream.message
    assert message.translator.usage == stream.translator.usage
    assert message.translator.metadata == stream.translator.metadata
    assert message.translator.changed == stream.translator.changed


@tried
@given(scripts(tidy=True))
def test_a_server_that_streams_and_one_that_does_not_give_the_same_answer(script: Script) -> None:
    stream, message = collected(script.data), whole(script.completion)
    assert message.message | {"usage": None} == stream.message | {"usage": None}
    if script.usage:
        assert message.translator.usage == stream.translator.usage


@tried
@given(scripts(), st.data())
def test_every_beginning_of_the_output_keeps_the_grammar(script: Script, data: st.DataObject) -> None:
    translator, reader, written = Translator(PLAN, SSEEmitter()), SSEReader(), b""
    for piece in data.draw(cut_up(script.data)):
        for event in reader.feed(piece):
            translator.feed_event(event)
        written += translator.take()
        check_stream(written, complete=False)


@tried
@given(scripts(), st.data())
def test_a_stream_that_breaks_off_ends_whole_or_in_an_error_that_hides_nothing(
    script: Script, data: st.DataObject
) -> None:
    told = streamed(script.data[: data.draw(st.integers(0, len(script.data)))])
    if told.translator.error is None:
        assert without_made_ids(told.content) == script.content
    else:
        assert told.message.get("stop_reason") is None
        assert told.error["type"] == "api_error"


@tried
@given(scripts(), st.data())
def test_an_error_in_the_middle_is_the_last_thing_said(script: Script, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(script.events)))
    events = [*script.events[:place], '{"error":{"message":"no","code":503}}', *script.events[place:]]
    told = streamed("".join(f"data: {event}\n\n" for event in events).encode())
    if told.translator.error is not None:
        assert told.error["type"] == "overloaded_error"
    else:
        assert told.message["stop_reason"] == script.stop_reason


_junk = st.binary(max_size=40) | st.sampled_from(
    [
        b"\n\n",
        b"data: {",
        b"data: [DONE]\n\n",
        b"error: {}\n\n",
        b'data: {"choices":[{"delta":{"content":"\xff"}}]}\n\n',
    ]
)


@tried
@given(st.lists(st.tuples(scripts(), _junk), max_size=3), st.data())
def test_whatever_the_server_sends_the_client_reads_a_legal_stream(
    parts: list[tuple[Script, bytes]], data: st.DataObject
) -> None:
    sent = b"".join(junk + script.data for script, junk in parts)
    pieces = data.draw(cut_up(sent))
    told = streamed(pieces, max_event=data.draw(st.sampled_from([64, 2**20])))
    translator = Translator(PLAN, MessageEmitter())
    feed([sent], translator)
    if translator.error is None:
        assert json.loads(translator.take())["stop_reason"]
    else:
        with pytest.raises(GateError):
            translator.take()
    assert told.translator.done


@tried
@given(scripts(), st.integers(1, 5))
def test_an_output_limit_is_never_passed(script: Script, limit: int) -> None:
    told = streamed(script.data, replace(PLAN, output_limit=limit))
    said = "".join(str(block.get("text", "")) + str(block.get("thinking", "")) for block in told.content)
    assert len(said) <= 4 * limit
