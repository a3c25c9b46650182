"""A chunk that repeats the last one but for its text is read without being decoded, and means the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from asgi_llmgate.errors import GateError
from asgi_llmgate.protocol.buffer_limit import BufferLimit
from asgi_llmgate.protocol.chat import chunks
from asgi_llmgate.protocol.messages.events import Emitter, MessageEmitter, SSEEmitter
from asgi_llmgate.protocol.servers.dialects import DIALECTS
from asgi_llmgate.protocol.translation.response import chunk_reader, translator
from asgi_llmgate.protocol.translation.response.plan import ResponsePlan
from asgi_llmgate.protocol.translation.response.translator import Translator
from tests.protocol.responses import PLAN, call, calls, chunk, counted

TOOLS = b'[{"type":"function","function":{"name":"A","parameters":{"type":"object"}}}]'


class Envelope:
    """A seal that hides nothing."""

    def seal(self, content: bytes) -> str:
        return content.hex()

    def open(self, sealed: str) -> bytes | None:
        return bytes.fromhex(sealed)


PLANS = {
    "sealed": replace(PLAN, seal=Envelope()),
    "plain": PLAN,
    "without thinking": replace(PLAN, thinking=False),
    "tags": replace(PLAN, think_tags=True),
    "channels": replace(PLAN, channels=True),
    "leaked calls": replace(PLAN, tools=TOOLS, leaked_calls=frozenset({"hermes", "json", "kimi", "harmony"})),
    "prefill": replace(PLAN, prefill="Hello"),
    "output limit": replace(PLAN, output_limit=2),
    "verdicts": replace(PLAN, safeguards=True, tools=TOOLS),
}

RAW = (
    *(
        b"a",
        b" word",
        b"Hello",
        b"Hel",
        b"lo",
        b"",
        b"content",
        b"\xc3\xa9",
        b"\xf0\x9f\x98\x80",
        b"\x7f",
        b"\xef\xb7\x90",
    ),
    *(b"\\n", b"\\\\", b'\\"', b"\\u00e9", b"\\u003c", b"\\ud83d", b"\\ude00", b"\\ud83d\\ude00", b"\\\\ud83d"),
    *(b"\\x", b"\\", b'"', b'","x":"', b"\\u12", b"\x00", b"\x1f", b"\t", b"\xff", b"\xc3", b"\xed\xa0\x80"),
    *(b"<think>", b"</think>", b"<tool_call>", b"<", b"{", b"}", b"commentary", b"<|channel|>", b"<|im_end|>"),
    *(b'{\\"x\\":', b"1}", b"{}", b"long " * 60),
)
"""Insides of JSON strings, some of them of none."""

SHAPES = (
    b'{"id":"1","model":"m","choices":[{"index":0,"delta":{"content":"%b"},"finish_reason":null}]}',
    b'{"id": "1", "model": "m", "choices": [{"index": 0, "delta": {"role": "assistant", "content": "%b"}}]}',
    b'{"id":"1","model":"m","choices":[{"index":0,"delta":{"content":"%b"}}],"obfuscation":"aB1"}',
    b'{"id":"1","model":"m","choices":[{"index":0,"delta":{"content":"%b"}}],"obfuscation":"Xyzzy"}',
    b'{"id":"1","model":"m","choices":[{"index":0,"delta":{"content":"","reasoning_content":"%b"}}]}',
    b'{"id":"1","model":"m","choices":[{"index":0,"delta":{"reasoning":"a","content":"%b"}}]}',
    b'{"id":"1","model":"m","choices":[{"index":0,"delta":{"reasoning_content":null,"reasoning":"%b"}}]}',
    b'{"id":"1","model":"m","choices":[{"index":0,"delta":{"content":[{"type":"text","text":"%b"}]}}]}',
    b'{"id":"1","model":"m","choices":[{"index":0,"delta":{"refusal":"%b"}}]}',
    b'{"id":"1","model":"m","choices":[{"index":"0","delta":{"content":"%b"}}]}',
    b'{"id":"1","model":"\xff","choices":[{"index":0,"delta":{"content":"%b"}}]}',
    b'{"id":"1","model":"m","choices":[{"index":1,"delta":{"content":"%b"}}]}',
    b'{"id":"1","model":"m","choices":[{"delta":{"content":"%b"}}],"usage":{"prompt_tokens":3,"completion_tokens":2}}',
    b'{"id":"1","model":"m","choices":[{"index":0,"delta":{"content":"%b"}},{"index":1,"delta":{"content":"b"}}]}',
    b'{"choices":[{"index":0,"delta":{"content":"%b","reasoning_details":[{"type":"reasoning.text","text":"a"}]}}]}',
    b'{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c0","function":{"name":"A","arguments":"%b"}}]}}]}',
    b'{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"%b"}}]}}]}',
    b'{"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"c1","function":{"name":"B","arguments":"%b"}}]}}]}',
    b'{"choices":[{"index":0,"delta":{"tool_calls":[{"function":{"arguments":"%b"}}]}}]}',
    b'{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"extra_content":{"a":1},"function":{"arguments":"%b"}}]}}]}',
    b'{"choices":[{"index":0,"delta":{"extra_content":{"a":1},"content":"%b"}}]}',
    b'{"choices":[{"index":0,"delta":{"function_call":{"name":"A","arguments":"%b"}}}]}',
    b'{"choices":[{"index":0,"delta":{"content":"%b"},"finish_reason":"stop"}]}',
    b'{"choices":[{"index":0,"message":{"content":"%b"}}]}',
    b'{"x":"%b","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c0"}]}}]}',
    b'{"object":"%b","choices":[{"index":0,"delta":{"content":"a"}}]}',
    b'{"error":{"message":"%b"}}',
)
"""Chunks as servers write them; the place of a string is left open."""

OTHERS = (b"[DONE]", b"null", b'{"choices":[]}', b"{", b'{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}')

_raws = st.lists(st.sampled_from(RAW), min_size=1, max_size=3).map(b"".join)


@st.composite
def streams(draw: st.DrawFn) -> list[bytes]:
    """Chunks, of which many repeat the last one."""
    events: list[bytes] = []
    for shape in draw(st.lists(st.sampled_from(SHAPES), min_size=1, max_size=6)):
        events += [shape.replace(b"%b", raw) for raw in draw(st.lists(_raws, min_size=1, max_size=5))]
        if draw(st.integers(0, 9)) == 0:
            events.append(draw(st.sampled_from(OTHERS)))
    return events


def carried(events: list[bytes], handler: Translator) -> list[object]:
    """All that can be seen of a translation: what each event adds, and what is known at the end."""
    seen: list[object] = []
    is_stream = isinstance(handler._emitter, SSEEmitter)
    for event in events:
        handler.feed_event(event)
        seen += [handler.take() if is_stream else b"", handler.started, handler.stopped, handler.usage]
    handler.end()
    try:
        seen.append(b"" if handler.held else handler.take())
    except GateError as error:
        seen.append(repr(error))
    held = handler.held and [(each.id, each.name, each.input) for each in handler.held.tool_uses]
    known = (repr(handler.error), handler.usage, handler.metadata, handler.changed, held)
    return [*seen, *known]


def never(*_: Any) -> None:
    """In place of `template_of`."""


EMITTERS: dict[str, Callable[[], Emitter]] = {"events": SSEEmitter, "message": MessageEmitter}


def check(events: list[bytes], plan: ResponsePlan, emitter: Callable[[], Emitter], limit: int = 2**20) -> None:
    retained = [BufferLimit(limit), BufferLimit(limit)]
    found = carried(events, Translator(plan, emitter(), retained[0]))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(chunk_reader, "template_of", never)
        assert found == carried(events, Translator(plan, emitter(), retained[1]))
    assert retained[0].size == retained[1].size


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(streams(), st.sampled_from(sorted(PLANS)), st.sampled_from(sorted(EMITTERS)), st.sampled_from([2**20, 2000]))
@example([SHAPES[0].replace(b"%b", raw) for raw in (b"a", b'b","x":"', b"c")], "plain", "events", 2**20)
@example([SHAPES[0].replace(b"%b", raw) for raw in (b"a", b"<tool_call>", b"b")], "leaked calls", "events", 2**20)
def test_a_stream_means_the_same_whether_its_chunks_are_decoded_or_not(
    events: list[bytes], plan: str, emitter: str, limit: int
) -> None:
    check(events, PLANS[plan], EMITTERS[emitter], limit)


@pytest.mark.parametrize("plan", ["sealed", "leaked calls"])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_string_after_an_ordinary_one(shape: bytes, plan: str) -> None:
    ordinary = shape.replace(b"%b", b"a")
    for raw in RAW:
        check([ordinary, shape.replace(b"%b", raw), ordinary], PLANS[plan], SSEEmitter)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The chunks that were decoded."""
    seen: list[bytes] = []

    def read_chunk(event: bytes, *, is_piece: bool) -> Any:
        seen.append(event)
        return chunks.read_chunk(event, is_piece=is_piece)

    monkeypatch.setattr(translator, "read_chunk", read_chunk)
    return seen


def events_of(*chunks: dict[str, Any], **more: Any) -> list[bytes]:
    return [json.dumps({**each, **more}).encode() for each in chunks]


WORDS = ["Hel", "lo", " w\u00f6rld", "\n", "\u20ac", 'say "x"', "<a>"]

ORDINARY: dict[str, list[bytes]] = {
    "text": events_of(*(chunk(content=word) for word in WORDS)),
    "reasoning": events_of(*(chunk(content="", reasoning=word) for word in WORDS)),
    "reasoning under another name": events_of(*(chunk(content=None, reasoning_content=word) for word in WORDS)),
    "arguments": events_of(*(calls(call(0, args=word)) for word in ['{"x":"', *WORDS[:5], '"}']))[:-1],
    "the same usage each time": events_of(*(chunk(content=word) for word in WORDS), usage=counted()),
    "padding": [
        event[:-1] + b',"obfuscation":"%b"}' % (b"abcdefg"[:size])
        for size, event in enumerate(events_of(*(chunk(content=word) for word in WORDS)))
    ],
}


@pytest.mark.parametrize("kind", ORDINARY)
def test_an_ordinary_chunk_is_decoded_once(kind: str, decoded: list[bytes]) -> None:
    named = events_of(calls(call(0, id="a", name="A", args="")))
    handler = Translator(PLAN, SSEEmitter())
    for event in named * (kind == "arguments") + ORDINARY[kind]:
        handler.feed_event(event)
    assert decoded[-1] == ORDINARY[kind][0]
    assert handler.take().count(b"event: content_block_delta") == len(ORDINARY[kind])


def test_the_names_in_a_stream_of_each_dialect_do_not_matter(decoded: list[bytes]) -> None:
    for dialect in DIALECTS.values():
        plan = replace(PLAN, tools=TOOLS, leaked_calls=frozenset(dialect.leaked_calls))
        handler = Translator(plan, SSEEmitter())
        decoded.clear()
        for event in ORDINARY["text"]:
            handler.feed_event(event)
        assert len(decoded) == 1


def test_a_long_text_is_left_to_the_decoder(decoded: list[bytes]) -> None:
    handler = Translator(PLAN, SSEEmitter())
    for event in events_of(chunk(content="a"), chunk(content="b" * 300), chunk(content="c"), chunk(content="d")):
        handler.feed_event(event)
    assert len(decoded) == 2
