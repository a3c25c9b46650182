from __future__ import annotations

import json
from typing import Any

import pytest

from asgi_llmgate.protocol.chat.chunks import Delta, read_chunk
from asgi_llmgate.protocol.chat.delta_content import Passage, content_of, reasoning_of, refusal_of


def delta(**fields: Any) -> Delta:
    chunk = read_chunk(json.dumps({"choices": [{"delta": fields}]}).encode())
    assert chunk.choices is not None
    assert chunk.choices[0].delta is not None
    return chunk.choices[0].delta


@pytest.mark.parametrize(
    ("content", "passages"),
    [
        ("Hi", [("text", b"Hi")]),
        (None, []),
        (7, []),
        ([{"type": "text", "text": "a"}, {"type": "output_text", "text": "b"}], [("text", b"a"), ("text", b"b")]),
        ([{"type": "image_url", "image_url": {}}], [("text", b"")]),
        (["a"], []),
    ],
    ids=["string", "null", "number", "parts", "no words", "not parts"],
)
def test_content_is_a_string_or_parts(content: Any, passages: list[Passage]) -> None:
    assert content_of(delta(content=content)) == passages


@pytest.mark.parametrize("reasoning", [None, "", {"text": "a"}, 7])
def test_reasoning_that_is_no_text_is_none(reasoning: Any) -> None:
    assert reasoning_of(delta(reasoning=reasoning)) == b""


def test_a_refusal_is_text() -> None:
    assert refusal_of(delta(refusal="no")) == b"no"
    assert refusal_of(delta(refusal=None)) == b""
    assert refusal_of(delta()) == b""
