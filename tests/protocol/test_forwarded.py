from __future__ import annotations

import json
import re
from typing import Any

import pytest

from asgi_llmgate.errors import InvalidRequest
from asgi_llmgate.protocol.forwarded import ForwardedRequest, decode_forwarded

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 4000}}
CHAT = {
    "model": "gpt-4o",
    "stream": True,
    "max_completion_tokens": 300,
    "max_tokens": 5,
    "temperature": 1,
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "What is it?"}, IMAGE]},
    ],
    "tools": [
        {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}},
        {"type": "function", "name": "flat"},
        {"type": "web_search"},
    ],
}


def decode(body: Any, *, needs_model: bool = True) -> ForwardedRequest:
    return decode_forwarded(body if isinstance(body, bytes) else json.dumps(body).encode(), needs_model=needs_model)


def test_what_a_rule_may_look_at() -> None:
    asked = decode(CHAT)
    assert (asked.model, asked.stream, asked.max_tokens, asked.temperature) == ("gpt-4o", True, 300, 1.0)
    assert asked.tool_names == ("look", "flat", "web_search")
    assert (asked.message_count, asked.has_images) == (2, True)
    assert asked.size.media == 1500
    assert asked.size.text < 600
    assert asked.input_tokens_estimate > 1500


def test_a_body_of_another_kind_has_what_it_has() -> None:
    asked = decode({"model": "e", "input": "some words", "temperature": "warm", "max_output_tokens": 7})
    assert (asked.model, asked.stream, asked.max_tokens, asked.temperature) == ("e", False, 7, None)
    assert (asked.tool_names, asked.message_count, asked.has_images) == ((), 0, False)


def test_nothing_is_a_body_where_no_model_is_needed() -> None:
    asked = decode(b"", needs_model=False)
    assert (asked.model, asked.opened.body, asked.max_tokens) == ("", b"", 0)
    assert decode({"a": 1}, needs_model=False).model == ""


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"", "not valid JSON"),
        ({"messages": []}, "model: Field required"),
        ({"model": ""}, "model: Field required"),
        ({"model": None}, "model: Field required"),
        ({"model": 4}, "model: Input should be a valid string"),
        (b'{"model":"a","model":"b"}', "model: given more than once"),
        (b'{"model":"a","tools":[{"type":"x","function":{"name":"a","name":"b"}}]}', "name: given more than once"),
        (b"[1]", "not a JSON object"),
        (b'{"model":"\xff"}', "not valid UTF-8"),
    ],
)
def test_what_two_readers_could_read_differently_is_refused(body: Any, complaint: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        decode(body)
    assert re.search(complaint, refused.value.told)


def test_it_does_not_show_its_prompts() -> None:
    assert "brief" not in repr(decode(CHAT))
