from __future__ import annotations

import json
from typing import Any

import pytest

from asgi_llmgate.errors import InvalidRequest
from asgi_llmgate.exchange_values import RequestFeatures, Target
from asgi_llmgate.protocol.messages.request import decode_messages
from asgi_llmgate.protocol.servers.dialects import DIALECTS
from asgi_llmgate.protocol.translation.request.chat_request import Options, to_chat

PNG = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"model": 5}, "model: Input should be a valid string"),
        ({"model": ""}, "model: String should have at least 1 character"),
        ({"max_tokens": None}, "max_tokens: Field required"),
        ({"max_tokens": "5"}, "max_tokens: Input should be a valid integer"),
        ({"max_tokens": 5.5}, "max_tokens: Input should be a valid integer"),
        ({"max_tokens": True}, "max_tokens: Input should be a valid integer"),
        ({"max_tokens": -1}, "max_tokens: Input should be greater than or equal to 0"),
        ({"stream": "true"}, "stream: Input should be a valid boolean"),
        ({"stream": 1}, "stream: Input should be a valid boolean"),
        ({"messages": None}, "messages: Field required"),
        ({"messages": []}, "messages: at least one message is required"),
        ({"messages": [{"role": "user"}]}, "messages.0.content: Field required"),
        ({"system": 5}, "system: Input should be a valid list"),
        ({"system": [{"text": "x"}]}, "system.0.type: Field required"),
        ({"tools": {}}, "tools: Input should be a valid list"),
        ({"tools": [5]}, "tools.0: Input should be an object"),
        ({"tools": [{"name": "A"}, {"input_schema": {}}]}, "tools.1.name: Field required"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_required_field_that_is_missing_or_wrong_is_named(encode: Any, fields: Any, complaint: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        decode_messages(encode(**fields))
    assert refused.value.message == complaint


@pytest.mark.parametrize("name", ["model", "max_tokens", "messages"])
def test_a_missing_field_is_named(encode: Any, name: str) -> None:
    body = json.loads(encode())
    del body[name]
    with pytest.raises(InvalidRequest, match=rf"^{name}: Field required$"):
        decode_messages(json.dumps(body).encode())


@pytest.mark.parametrize("level", ["input", "content", "schema"])
def test_deep_nesting_is_refused_and_not_a_crash(encode: Any, level: str) -> None:
    fields: dict[str, Any] = {
        "input": {
            "messages": [
                {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "A", "input": {"x": "DEEP"}}]}
            ]
        },
        "content": {"messages": [{"role": "user", "content": "DEEP"}]},
        "schema": {"tools": [{"name": "A", "input_schema": "DEEP"}]},
    }[level]
    body = encode(**fields).replace(b'"DEEP"', b"[" * 30_000 + b"]" * 30_000)
    with pytest.raises(InvalidRequest, match="too deeply"):
        decode_messages(body)


def test_however_little_stack_is_left_a_nested_body_is_read_or_refused(encode: Any, short_of_stack: Any) -> None:
    result = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "odd", "x": "DEEP"}]}
    body = encode(messages=[{"role": "user", "content": [result]}]).replace(b'"DEEP"', b"[" * 40 + b"]" * 40)
    outcomes = set()
    for frames in range(40, 90):
        try:
            outcomes.add(short_of_stack(frames, lambda: decode_messages(body)).message_count)
        except InvalidRequest as refused:
            outcomes.add(refused.message)
    assert outcomes <= {1, "the request body is nested too deeply"}
    assert 1 in outcomes


def test_counting_needs_no_max_tokens() -> None:
    body = b'{"model":"m","messages":[{"role":"user","content":"x"}]}'
    assert decode_messages(body, counting=True).max_tokens == 0


def test_a_request_answers_what_a_decision_may_ask(decode: Any) -> None:
    request: RequestFeatures = decode(
        stream=True,
        temperature=0.5,
        tools=[
            {"name": "A", "input_schema": {}},
            {"name": "B", "input_schema": {}, "defer_loading": True},
            {"type": "web_search_20250305", "name": "web_search"},
            {"type": "browser_toolset_20260801"},
        ],
        messages=[
            {"role": "user", "content": "hi"},
            {
                "role": "system",
                "content": [
                    {
                        "type": "tool_addition",
                        "tool": {"type": "tool_definition", "definition": {"name": "C", "input_schema": {}}},
                    }
                ],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [PNG]}]},
        ],
    )
    assert request.model == "claude-opus-5-5"
    assert request.stream is True
    assert request.max_tokens == 100
    assert request.temperature == 0.5
    assert list(request.tool_names) == ["A", "B", "web_search", "browser_toolset_20260801", "C"]
    assert request.message_count == 3
    assert request.has_images is True
    assert request.input_tokens_estimate > 1500


@pytest.mark.parametrize(
    ("content", "has_images"), [("x", False), ([PNG], True), ([{"type": "text", "text": "x"}], False)]
)
def test_images_are_seen(decode: Any, content: Any, has_images: bool) -> None:
    assert decode(messages=[{"role": "user", "content": content}]).has_images is has_images


@pytest.mark.parametrize(("sent", "read"), [(1, 1.0), ("warm", None), (None, None), (True, None)])
def test_a_temperature_is_a_number_or_nothing(decode: Any, sent: Any, read: float | None) -> None:
    assert decode(temperature=sent).temperature == read


def test_a_request_does_not_show_its_prompts(decode: Any) -> None:
    assert "sesame" not in repr(decode(messages=[{"role": "user", "content": "sesame"}]))


@pytest.mark.parametrize("value", ['"9"', "9.0", "1E1", "1e400", "true", "-1", "9007199254740992", "[]"])
def test_max_tokens_is_an_integer_that_every_reader_takes_for_the_same(encode: Any, value: str) -> None:
    with pytest.raises(InvalidRequest, match=r"^max_tokens: Input should be "):
        decode_messages(encode(max_tokens="VALUE").replace(b'"VALUE"', value.encode()))


@pytest.mark.parametrize("value", ["1", "0", '"true"', "[]", "{}", "1.0"])
def test_a_stream_flag_is_a_boolean(encode: Any, value: str) -> None:
    with pytest.raises(InvalidRequest, match=r"^stream: Input should be a valid boolean"):
        decode_messages(encode(stream="VALUE").replace(b'"VALUE"', value.encode()))


IMAGE = {"type": "image", "source": {"type": "url", "url": "u"}}


def result(*content: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": "t", "content": list(content)}


@pytest.mark.parametrize(
    ("block", "seen"),
    [
        (IMAGE, True),
        (result(IMAGE), True),
        (result(result(result(IMAGE))), True),
        ({"type": "document", "source": {"type": "content", "content": [IMAGE]}}, True),
        (result({"type": "document", "source": {"type": "content", "content": [{"type": "text"}, IMAGE]}}), True),
        ({"type": "document", "source": {"type": "text", "data": "image"}}, False),
        (result({"type": "text", "text": "image"}), False),
    ],
)
def test_an_image_is_seen_wherever_it_lies(decode: Any, block: Any, seen: bool) -> None:
    assert decode(messages=[{"role": "user", "content": [block]}]).has_images is seen


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"Model": "big"}, "Model: names are in lower case: model"),
        ({"tools": [{"name": "a", "Name": "b"}]}, "tools.0.Name: names are in lower case: name"),
        ({"fallbacks": [{"model": "big"}]}, "fallbacks: no other model than `model` can be asked for"),
    ],
    ids=str,
)
def test_what_another_reader_could_read_differently_is_not_handed_on(decode: Any, fields: Any, told: str) -> None:
    request = decode(**fields)
    with pytest.raises(InvalidRequest) as refused:
        request.body_to_forward  # noqa: B018
    assert refused.value.client_message == told
    request = decode(tools=[{"name": "a", "input_schema": {"properties": {"Name": {}, "name": {}}}}])
    assert request.body_to_forward is request.opened


TWICE = [
    b'"tools":[{"name":"a","name":"b","input_schema":{}}]',
    b'"tools":[{"name":"a","input_schema":{},"n\\u0061me":"b"}]',
    b'"tools":[{"name":"a","Name":"b","input_schema":{}}]',
    b'"tools":[{"type":"custom","type":"web_search_1","name":"a"}]',
    b'"tools":[{"type":"web_search_1","type":"custom","name":"a"}]',
    b'"tools":[{"name":"a","input_schema":{}},{"name":"b","name":"a","input_schema":{}}]',
    b'"tools":[{"name":"a","input_schema":{},"input_schema":{"type":"object"}}]',
    b'"tools":[{"name":"a","defer_loading":true,"defer_loading":false}]',
    b'"tools":[{"name":"a","defer_loading":false,"defer_loading":true}]',
    b'"messages":[{"role":"user","content":"a","content":[%s]}]',
    b'"messages":[{"role":"user","content":[%s],"content":"a"}]',
    b'"messages":[{"role":"assistant","role":"user","content":[%s]}]',
    b'"messages":[{"role":"user","content":[{"type":"text","type":"image","source":{"type":"url","url":"u"}}]}]',
    b'"messages":[{"role":"user","content":[{"type":"image","type":"text","text":"a","source":{"type":"url"}}]}]',
    b'"messages":[{"role":"user","content":[{"type":"text","text":"a","text":"b"},%s]}]',
    b'"messages":[{"role":"user","content":[{"type":"text","text":"a","Type":"image"}]}]',
    b'"messages":[{"role":"user","content":[{"type":"image","source":{"type":"file","type":"url","url":"u"}}]}]',
    b'"messages":[{"role":"user","content":"x"},{"role":"system","content":[{"type":"tool_addition","tool":{"name":"a"},'
    b'"tool":{"definition":{"name":"b"}}}]}]',
    b'"tool_choice":{"type":"auto","type":"any"},"tools":[{"name":"a","name":"b"}]',
    b'"metadata":{"user_id":"a","user_id":"b"}',
]


@pytest.mark.parametrize("twice", TWICE, ids=lambda body: body.decode()[:60])
def test_what_is_translated_is_what_was_decided_on(encode: Any, twice: bytes) -> None:
    """A name that comes twice is read once, and that reading is all that there is of it from then on."""
    rest = b'"messages":[{"role":"user","content":"hi"}],' if b'"messages"' not in twice else b""
    image = b'{"type":"image","source":{"type":"url","url":"u"}}'
    body = b'{"model":"m","max_tokens":5,%s%s}' % (rest, twice.replace(b"%s", image))
    request = decode_messages(body)
    target = Target("b", "openai", "gpt-4o")
    options = Options(unsupported_tools="drop")
    chat = to_chat(request, target=target, dialect=DIALECTS["openai"], options=options, request_id="r")
    sent = json.loads(chat.body)
    assert {tool["function"]["name"] for tool in sent.get("tools", [])} <= set(request.tool_names)
    assert {tool.name for tool in request.toolset.offered.values()} == {
        tool["function"]["name"] for tool in sent.get("tools", [])
    }
    assert ("image_url" in str(sent["messages"])) is request.has_images


def test_a_field_is_left_out_of_what_is_forwarded() -> None:
    body = b'{"model": "m", "max_tokens": 1, "safeguards": [ ], "messages": [{"role":"user", "content":"hi"}]}'
    request = decode_messages(body)
    sent = request.forwarded({"model": b'"n"'}, without="safeguards")
    assert sent == b'{"model":"n","max_tokens":1,"messages":[{"role":"user", "content":"hi"}]}'
    assert request.forwarded({}, without="absent") == request.forwarded({}, without="other")


def test_a_wrong_block_among_plain_messages_has_its_place() -> None:
    user, wrong = '{"role":"user","content":[{"type":"text","text":"hi"}]}', '{"type":"text","text":7}'
    body = f'{{"model":"m","max_tokens":9,"messages":[{user},{{"role":"assistant","content":[{wrong}]}}]}}'
    with pytest.raises(InvalidRequest, match=r"messages\.1\.content\.0\.text"):
        decode_messages(body.encode())
