from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import Raw

from asgi_llmgate.errors import Broken
from asgi_llmgate.protocol.chat.chunks import is_given, read_chunk


@pytest.mark.parametrize(
    ("body", "gone"),
    [
        ({"id": 7}, lambda chunk: chunk.id is None),
        ({"model": ["x"]}, lambda chunk: chunk.model is None),
        ({"usage": "none"}, lambda chunk: chunk.usage is None),
        ({"usage": {"prompt_tokens": 1.5, "completion_tokens": 2}}, lambda chunk: chunk.usage.completion_tokens == 2),
        ({"x_groq": {"usage": 5}}, lambda chunk: chunk.x_groq.usage is None),
        ({"id": 7, "model": 8, "x": "\ud83d"}, lambda chunk: chunk.model is None),
    ],
)
def test_a_field_of_the_wrong_type_is_missing_and_the_rest_is_read(body: dict[str, Any], gone: Any) -> None:
    good = {"choices": [{"index": "0", "delta": {"content": "Hi", "tool_calls": "none"}}, 7]}
    chunk = read_chunk(json.dumps(good | body).encode())
    assert gone(chunk)
    assert chunk.choices is not None
    assert chunk.choices[0].index is None
    assert chunk.choices[0].delta is not None
    assert bytes(chunk.choices[0].delta.content) == b'"Hi"'


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"7",
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"choices":[%b1]}' % (b"1," * 99),
    ],
    ids=["nothing", "half", "list", "null", "number", "too deep", "too many mistakes"],
)
def test_what_is_no_chat_completion_is_broken(data: bytes) -> None:
    with pytest.raises(Broken):
        read_chunk(data)


@pytest.mark.parametrize("error", [b"", b"null", b"{}", b'""', b"false"])
def test_an_empty_error_is_none(error: bytes) -> None:
    assert not is_given(Raw(error))


def test_an_error_is_given() -> None:
    assert is_given(Raw(b'"no"'))


LARGE = {"choices": [{"index": 0, "delta": {"content": "a" * 2_000_000, "tool_calls": [{"index": 1}]}}]}


@pytest.mark.parametrize("content", ["a", "\u00e9", "\U0001f600"], ids=["ascii", "accents", "emoji"])
def test_a_large_chunk_is_read_like_a_small_one(content: str) -> None:
    body = {"id": "c1", "choices": [{"delta": {"content": content * 100_000, "tool_calls": [{"index": 1}]}}]}
    chunk = read_chunk(json.dumps(body, ensure_ascii=False).encode())
    assert chunk.choices is not None
    assert chunk.choices[0].delta is not None
    assert json.loads(bytes(chunk.choices[0].delta.content)) == content * 100_000


def test_a_large_chunk_with_half_a_surrogate_is_corrected() -> None:
    data = json.dumps(LARGE).encode().replace(b"aaa", rb"a\ud83d", 1)
    chunk = read_chunk(data)
    assert chunk.choices is not None
    assert chunk.choices[0].delta is not None
    assert bytes(chunk.choices[0].delta.content).startswith(rb'"a\ufffd')


@pytest.mark.parametrize(
    "body",
    [{**LARGE, "id": 7}, {"choices": "a" * 2_000_000}, ["a" * 2_000_000], {"choices": [{"delta": ["a" * 2_000_000]}]}],
    ids=["a mistake", "no list", "no object", "no delta"],
)
def test_mistakes_in_a_large_chunk_are_not_looked_for(body: Any) -> None:
    with pytest.raises(Broken, match="not a chat completion"):
        read_chunk(json.dumps(body).encode())


def test_mistakes_in_a_chunk_of_some_size_are_corrected() -> None:
    chunk = read_chunk(json.dumps({"id": 7, "choices": [{"delta": {"content": "a" * 100_000}}]}).encode())
    assert chunk.choices is not None
    assert chunk.id is None
