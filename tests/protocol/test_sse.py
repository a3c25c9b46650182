from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_llmgate.errors import Broken
from asgi_llmgate.protocol.sse import SSEReader


def read(*pieces: bytes, max_event: int = 1000) -> list[bytes]:
    reader = SSEReader(max_event=max_event)
    return [event for piece in pieces for event in reader.feed(piece)] + list(reader.end())


@pytest.mark.parametrize(
    ("data", "events"),
    [
        (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
        (b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
        (b"data:a\n\ndata:  b\n\n", [b"a", b" b"]),
        (b"data: {\ndata: }\n\n", [b"{\n}"]),
        (b": hello\n\nevent: x\nid: 1\nretry: 5\ndata: a\n\n", [b"a"]),
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        (b"\n\n\ndata:\n\ndata: a\n\n\n", [b"a"]),
        (b'error: {"code":500}\n\n', [b'{"error":{"code":500}}']),
        (b"data\ndatabase: x\nnothing\n\n", []),
        (b'data: {"a":1}', [b'{"a":1}']),
        (b'data: {"a":1}\n', [b'{"a":1}']),
        (b'data: {"a":', []),
        (b"data: [DONE]", [b"[DONE]"]),
        (b"data: [DO", []),
        (b"event: ping\ndata: a\n\nevent: message_stop\ndata: b\n\n", [b"a", b"b"]),
        (b"event: ping\ndata: a\n\nevent: error\ndata: {}\n\n", [b"a", b'{"status":0,"error":{}}']),
        (b"event: ping\ndata: a\n\ndata: b\n\nevent: ping\ndata: c\n\n", [b"a", b"b", b"c"]),
        (b"", []),
    ],
    ids=[
        "LF",
        "CRLF",
        "CR",
        "space after the colon",
        "several data lines",
        "other fields",
        "byte order mark",
        "empty events",
        "llama.cpp's error line",
        "no fields",
        "no blank line",
        "no blank line, but a line end",
        "half an event",
        "DONE at the end",
        "half a DONE",
        "events with a name",
        "an event with the name of errors",
        "one of three events without a name",
        "nothing",
    ],
)
def test_the_data_of_each_event_is_read_however_it_is_cut(data: bytes, events: list[bytes]) -> None:
    assert read(data) == events
    assert read(*(data[place : place + 1] for place in range(len(data)))) == events


LINES = (
    *(b"data: a\n\n", b"event: ping\ndata: b\n\n", b"event: error\ndata: {}\n\n", b"data: c\n", b"\n", b"data: \n\n"),
    *(b"event: ping\n", b"event: error\n", b"data:d\n\n", b": x\n\n", b"data: e\r\n\r\n", b"data: g", b"ping"),
)


@given(st.lists(st.sampled_from(LINES), max_size=6))
def test_events_that_come_together_are_those_that_come_byte_by_byte(lines: list[bytes]) -> None:
    data = b"".join(lines)
    by_byte = read(*(data[place : place + 1] for place in range(len(data))))
    assert read(data) == by_byte
    assert read(*lines) == by_byte


@pytest.mark.parametrize(
    ("pieces", "events"),
    [
        ([b"data: a\n\n", b"data: b\n\n"], [b"a", b"b"]),
        ([b"data: \n\n", b"data: a\n\n"], [b"a"]),
        ([b"data: a\rdata: b\n\n"], [b"a\nb"]),
        ([b"data: x\n", b"data: a\n\n"], [b"x\na"]),
        ([b"half of a line ", b"data: a\n\n", b"data: b\n\n"], [b"b"]),
        ([b"event: error\n", b"data: {}\n\n", b"data: {}\n\n"], [b'{"status":0,"error":{}}', b"{}"]),
        ([b": x\r", b"data: a\n\n", b"data: b\n", b"\n", b"data: c\n\n"], [b"a", b"b", b"c"]),
        ([b"data: a\n\n", b"\xef\xbb\xbfdata: b\n\n", b"data: c\n\n"], [b"a", b"c"]),
    ],
)
def test_an_event_that_comes_by_itself_is_read_with_what_came_before(pieces: list[bytes], events: list[bytes]) -> None:
    assert read(*pieces) == events


@pytest.mark.parametrize(
    "piece",
    [b"data: " + b"x" * 40, b"data: " + b"x" * 40 + b"\n\n", b"data: xxxxxxxxxx\n" * 3, b": " + b"x" * 40, b"x" * 40],
    ids=["unfinished", "finished", "in lines", "a comment", "a line of nothing"],
)
def test_an_event_over_the_cap_is_broken_and_what_came_before_is_still_read(piece: bytes) -> None:
    for pieces in (
        [b"data: a\n\n" + piece],
        [b"data: a\n\n", piece],
        [b"data: a\n\n", *(bytes([byte]) for byte in piece)],
    ):
        reader = SSEReader(max_event=29)
        events = (event for read in [*(partial(reader.feed, part) for part in pieces), reader.end] for event in read())
        assert next(events) == b"a"
        with pytest.raises(Broken, match="more than 29 bytes"):
            next(events)


def test_after_an_oversized_event_every_call_raises() -> None:
    reader = SSEReader(max_event=29)
    assert reader.feed(b"data: a\n\ndata: " + b"x" * 40) == [b"a"]
    for read_more in (partial(reader.feed, b"\n\ndata: b\n\n"), reader.end):
        with pytest.raises(Broken, match="more than 29 bytes"):
            read_more()


def test_the_cap_counts_one_event_at_a_time() -> None:
    assert len(read(b"data: xxxxxxxxxx\n\n" * 50, max_event=20)) == 50


@given(st.lists(st.sampled_from([b"data", b":", b" ", b"\n", b"\r", b"x", b"\xef\xbb\xbf"]), max_size=20), st.data())
def test_where_bytes_are_cut_changes_nothing(parts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(parts)
    place = data.draw(st.integers(0, len(stream)))
    assert read(stream[:place], stream[place:]) == read(stream)


def test_empty_events_do_not_add_up() -> None:
    assert read(b"data:\n\n" * 50 + b"data: a\ndata: b\n\n", max_event=20) == [b"a\nb"]
