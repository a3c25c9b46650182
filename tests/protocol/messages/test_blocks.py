from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from asgi_llmgate.errors import InvalidRequest, StructureTooLarge
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


ANY = st.sampled_from([None, True, 5, "", "x", "user", "text", [], ["x"], {}, {"type": "text", "text": "é"}])
NAME = st.sampled_from(["type", "text", "id", "name", "input", "tool_use_id", "content", "source", "role", "signature"])
BLOCK = st.sampled_from(
    [
        {"type": "text", "text": 'é"\n'},
        {"type": "tool_use", "id": "t", "name": "A", "input": {"x": [1]}},
        {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "tool_reference", "tool_name": "A"}]},
        {"type": "tool_result", "tool_use_id": "t", "content": "x"},
        {"type": "image", "source": {"type": "url", "url": "u"}},
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "never_heard_of"},
    ]
)


def nearly(right: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[Any]:
    """Objects as they should be, and some with another field or value, or none of the kind."""
    changed = st.builds(lambda fields, name, value: {**fields, name: value}, right, NAME, ANY)
    without = st.builds(lambda fields, name: {key: fields[key] for key in fields if key != name}, right, NAME)
    return st.one_of(right, right, right, changed, without, ANY)


MESSAGE = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["user", "assistant", "system"]),
        "content": st.one_of(st.just("x"), *[st.lists(nearly(BLOCK), max_size=3)] * 3),
    }
)


def parts(block: Any) -> Any:
    return block.type, block.fields, block.call_id, [parts(each) for each in block.inner], block.source


def outcome(read_them: Any) -> Any:
    try:
        return [(each.role, [parts(block) for block in each.content], each.fields) for each in read_them()]
    except (InvalidRequest, StructureTooLarge) as error:
        return type(error), error.message


@settings(deadline=None, max_examples=300)
@given(st.lists(nearly(MESSAGE), max_size=4), st.booleans())
def test_messages_read_in_one_pass_are_those_that_are_read_one_by_one(messages: list[Any], spaced: bool) -> None:
    value = Raw(json.dumps(messages, indent=1 if spaced else None, separators=None if spaced else (",", ":")).encode())
    one_pass, one_by_one = BlockReader(), BlockReader()
    assert outcome(lambda: one_pass.read_messages(value)) == outcome(lambda: one_by_one._read_any_messages(value))


def test_messages_of_blocks_are_read_in_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BlockReader, "_read_any_messages", None)
    reader = BlockReader()
    image = {"type": "image", "source": {"type": "url", "url": "u"}}
    content = [{"type": "text", "text": "x"}, {"type": "tool_result", "tool_use_id": "t", "content": [image]}]
    assert len(reader.read_messages(Raw(json.dumps([{"role": "user", "content": content}] * 2).encode()))) == 2
    assert reader.types == {"tool_result", "image"}


def test_the_fields_of_a_message_are_those_beside_its_role_and_content() -> None:
    plain, string, system = read(
        [
            {"role": "user", "content": []},
            {"role": "user", "content": "x"},
            {"role": "system", "content": "x", "clear_at": "next_user_message"},
        ]
    )
    assert (plain.fields, string.fields, list(system.fields)) == ({}, {}, ["clear_at"])
