from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import Raw

from asgi_llmgate.errors import InvalidRequest
from asgi_llmgate.protocol.messages.blocks import BlockReader

USER = {"role": "user", "content": "hi"}


def read(messages: Any) -> Any:
    return BlockReader().read_messages(Raw(json.dumps(messages).encode()))


def block(**fields: Any) -> list[Any]:
    return [USER, {"role": "user", "content": [{"type": "text", "text": "x"}, fields]}]


def inside(**fields: Any) -> list[Any]:
    return block(type="tool_result", tool_use_id="t", content=[fields])


@pytest.mark.parametrize(
    ("messages", "complaint"),
    [
        (5, "messages: Input should be a valid list"),
        ([USER, 5], "messages.1: Input should be an object"),
        ([{"content": "x"}], "messages.0.role: Field required"),
        ([{"role": "tool", "content": "x"}], "messages.0.role: Input should be 'user', 'assistant' or 'system'"),
        ([{"role": 1, "content": "x"}], "messages.0.role: Input should be a valid string"),
        ([{"role": "user"}], "messages.0.content: Field required"),
        ([{"role": "user", "content": None}], "messages.0.content: Field required"),
        ([{"role": "user", "content": 5}], "messages.0.content: Input should be a valid list"),
        ([{"role": "user", "content": ["x"]}], "messages.0.content.0: Input should be an object"),
        (block(text="x"), "messages.1.content.1.type: Field required"),
        (block(type=3), "messages.1.content.1.type: Input should be a valid string"),
        (block(type="text"), "messages.1.content.1.text: Field required"),
        (block(type="text", text=None), "messages.1.content.1.text: Input should be a valid string"),
        (block(type="tool_use", name="A", input={}), "messages.1.content.1.id: Field required"),
        (block(type="tool_use", id="t", input={}), "messages.1.content.1.name: Field required"),
        (block(type="tool_result", content="x"), "messages.1.content.1.tool_use_id: Field required"),
        (block(type="image"), "messages.1.content.1.source: Input should be an object"),
        (block(type="document", source={}), "messages.1.content.1.source.type: Field required"),
        (inside(type="text"), "messages.1.content.1.content.0.text: Field required"),
        (inside(type="image", source="x"), "messages.1.content.1.content.0.source: Input should be an object"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_translated_is_refused_with_its_place(messages: Any, complaint: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read(messages)
    assert refused.value.message == complaint


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "system"}],
        [{"role": "system", "content": None}],
        [{"role": "user", "content": []}],
        block(type="never_heard_of", anything=[1]),
        block(type="tool_use", id="t", name="A"),
        block(type="tool_use", id="t", name="A", input=None),
        block(type="tool_result", tool_use_id="t", content=None),
        block(type="tool_result", tool_use_id="t", is_error="yes", cache_control=5),
        block(type="image", source={"type": "never_heard_of"}),
        [{**USER, "id": 5}],
    ],
    ids=lambda messages: json.dumps(messages[-1])[:60],
)
def test_what_is_odd_but_can_be_told_is_let_in(messages: Any) -> None:
    assert len(read(messages)) == len(messages)


def test_a_string_is_the_one_text_block_that_it_is_short_for() -> None:
    short, long = read(
        [{"role": "user", "content": "é \n"}, {"role": "user", "content": [{"type": "text", "text": "é \n"}]}]
    )
    assert [bytes(b.fields["text"]) for b in short.content] == [bytes(b.fields["text"]) for b in long.content]
