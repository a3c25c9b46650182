from __future__ import annotations

import json
from typing import Any

from msgspec.structs import replace

from asgi_llmgate.protocol.chat.chunks import read_chunk
from asgi_llmgate.protocol.chat.delta_content import read_passages
from asgi_llmgate.protocol.translation.response.text import BlockText, ResponseText
from tests.protocol.responses import PLAN, chunk


def read(response_text: ResponseText, **delta: Any) -> list[BlockText]:
    choices = read_chunk(json.dumps(chunk(**delta)).encode()).choices
    assert choices is not None
    assert choices[0].delta is not None
    return response_text.read(read_passages(choices[0].delta))


def test_reasoning_comes_before_content_and_a_refusal_last() -> None:
    text = ResponseText(PLAN)
    pieces = read(text, refusal="no", content="Hi", reasoning="hm")
    assert pieces == [("thinking", b"hm"), ("text", b"Hi"), ("text", b"no")]
    assert text.refused
    assert text.size == 6


def test_an_empty_delta_gives_nothing() -> None:
    text = ResponseText(PLAN)
    assert read(text, role="assistant", content="", reasoning=None) == []
    assert text.rest() == []


def test_a_prefill_is_taken_off_the_first_text_that_is_not_empty() -> None:
    text = ResponseText(replace(PLAN, prefill="Hi"))
    assert read(text, content="") == []
    assert read(text, content="Hi, you") == [("text", b", you")]


def test_thinking_that_was_not_asked_for_is_only_counted() -> None:
    text = ResponseText(replace(PLAN, thinking=False))
    assert read(text, reasoning="hm") == []
    assert text.size == 2


def test_a_repeated_prefill_is_taken_off_once() -> None:  # llama.cpp, build 11549, where it does not stream
    plan = replace(PLAN, prefill='say "Hi')
    text = ResponseText(plan)
    assert read(text, reasoning='say "Hi', content='say \u0022Hi, say "Hi"') == [
        ("thinking", rb"say \"Hi"),
        ("text", rb", say \"Hi\""),
    ]
    assert read(text, content='say "Hi') == [("text", rb"say \"Hi")]
    assert read(ResponseText(plan), content=", world") == [("text", b", world")]


def test_the_limit_is_in_characters_and_covers_thinking() -> None:
    text = ResponseText(replace(PLAN, output_limit=1))
    assert read(text, reasoning="😀é", content='"') == [("thinking", rb"\ud83d\ude00\u00e9"), ("text", rb"\"")]
    assert not text.limited
    assert read(text, content="é!") == [("text", "é".encode())]
    assert text.limited
    assert read(text, content="more") == []


def test_inline_thinking_is_split_and_the_rest_comes_at_the_end() -> None:
    text = ResponseText(replace(PLAN, think_tags=True))
    assert read(text, content="<think>hm</") == [("thinking", b"hm")]
    assert read(text, content=[{"type": "thinking", "thinking": "oh"}]) == [("thinking", b"oh")]
    assert text.rest() == [("thinking", b"</")]
    assert text.rest() == []
    assert read(text, content="<think>") == [("text", b"<think>")]
