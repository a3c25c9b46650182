from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from asgi_llmgate.protocol.chat.chunks import read_chunk
from asgi_llmgate.protocol.chat.delta_content import Passage
from asgi_llmgate.protocol.translation.response_text import Prose
from tests.protocol.responses import PLAN, chunk


def read(prose: Prose, **delta: Any) -> list[Passage]:
    choices = read_chunk(json.dumps(chunk(**delta)).encode()).choices
    assert choices is not None
    assert choices[0].delta is not None
    return prose.read(choices[0].delta)


def test_a_model_thinks_before_it_speaks_and_speaks_before_it_refuses() -> None:
    prose = Prose(PLAN)
    said = read(prose, refusal="no", content="Hi", reasoning="hm")
    assert said == [("thinking", b"hm"), ("text", b"Hi"), ("text", b"no")]
    assert prose.refused
    assert prose.size == 6


def test_nothing_said_is_nothing() -> None:
    prose = Prose(PLAN)
    assert read(prose, role="assistant", content="", reasoning=None) == []
    assert prose.rest() == []


def test_thinking_nobody_asked_for_is_only_counted() -> None:
    prose = Prose(replace(PLAN, thinking=False))
    assert read(prose, reasoning="hm") == []
    assert prose.size == 2


def test_a_repeated_prefill_is_taken_off_once() -> None:  # llama.cpp, build 11549, where it does not stream
    plan = replace(PLAN, prefill='say "Hi')
    prose = Prose(plan)
    assert read(prose, reasoning='say "Hi', content='say \u0022Hi, say "Hi"') == [
        ("thinking", rb"say \"Hi"),
        ("text", rb", say \"Hi\""),
    ]
    assert read(prose, content='say "Hi') == [("text", rb"say \"Hi")]
    assert read(Prose(plan), content=", world") == [("text", b", world")]


def test_the_limit_is_in_characters_and_covers_thinking() -> None:
    prose = Prose(replace(PLAN, output_limit=1))
    assert read(prose, reasoning="😀é", content='"') == [("thinking", rb"\ud83d\ude00\u00e9"), ("text", rb"\"")]
    assert not prose.limited
    assert read(prose, content="é!") == [("text", "é".encode())]
    assert prose.limited
    assert read(prose, content="more") == []


def test_inline_thinking_is_split_and_the_rest_comes_at_the_end() -> None:
    prose = Prose(replace(PLAN, think_tags=True))
    assert read(prose, content="<think>hm</") == [("thinking", b"hm")]
    assert read(prose, content=[{"type": "thinking", "thinking": "oh"}]) == [("thinking", b"oh")]
    assert prose.rest() == [("thinking", b"</")]
    assert prose.rest() == []
    assert read(prose, content="<think>") == [("text", b"<think>")]
