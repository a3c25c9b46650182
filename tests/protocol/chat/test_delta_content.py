from __future__ import annotations

import json
from typing import Any

import pytest

from asgi_llmgate.protocol.chat.chunks import Delta, read_chunk
from asgi_llmgate.protocol.chat.delta_content import Passage, read_passages


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
        ([{"type": "image_url", "image_url": {}}], []),
        (["a", None, 7, "b"], [("text", b"a"), ("text", b"b")]),
        ({"type": "text", "text": "a"}, [("text", b"a")]),
        ([{"type": "refusal", "refusal": "no"}], [("refusal", b"no")]),
        ([[[[["a"]]]]], [("text", b"a")]),
        ([[[[[["a"]]]]]], []),
    ],
    ids=[
        *("string", "null", "number", "parts", "no words", "strings", "one part", "a refusal", "deep", "too deep"),
    ],
)
def test_content_is_a_string_or_parts(content: Any, passages: list[Passage]) -> None:
    assert read_passages(delta(content=content)) == passages


@pytest.mark.parametrize("reasoning", [None, "", {"tokens": 7}, [], [None], 7])
def test_reasoning_that_is_no_text_is_none(reasoning: Any) -> None:
    assert read_passages(delta(reasoning=reasoning)) == []


def test_reasoning_comes_first_and_a_refusal_last() -> None:
    assert read_passages(delta(refusal="no", content="Hi", reasoning="hm")) == [
        ("thinking", b"hm"),
        ("text", b"Hi"),
        ("refusal", b"no"),
    ]


@pytest.mark.parametrize("refusal", [None, "", 7])
def test_a_refusal_that_is_no_text_is_none(refusal: Any) -> None:
    assert read_passages(delta(refusal=refusal)) == []


def test_the_first_of_several_names_of_the_reasoning_counts() -> None:
    details = [{"type": "reasoning.text", "text": "a"}, {"type": "reasoning.summary", "summary": "b"}]
    assert read_passages(delta(reasoning_details=details)) == [("thinking", b"ab")]
    assert read_passages(delta(reasoning_content="hm", reasoning="hm", reasoning_details=details)) == [
        ("thinking", b"hm")
    ]
