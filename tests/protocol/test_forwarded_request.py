from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any

import pytest

from asgi_llmgate.errors import InvalidRequest, StructureTooLarge
from asgi_llmgate.protocol.forwarded_request import ForwardedRequest, decode_forwarded
from tests.helpers.counted_work import peak

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
    assert asked.request_class == ""
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
    assert re.search(complaint, refused.value.client_message)


def test_it_does_not_show_its_prompts() -> None:
    assert "brief" not in repr(decode(CHAT))


LIMITS = [
    *(
        "max_tokens",
        "max_completion_tokens",
        "max_output_tokens",
        "max_new_tokens",
        "max_tokens_to_sample",
        "max_length",
    ),
    *("n_predict", "num_predict", "options.num_predict", "options.n_predict", "parameters.max_new_tokens"),
    *("parameters.max_length", "generation_config.max_output_tokens"),
]


def limit(name: str, value: Any) -> dict[str, Any]:
    outer, _, inner = name.rpartition(".")
    return {outer: {inner: value}} if outer else {inner: value}


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("other", LIMITS)
def test_of_all_limits_the_largest_is_decided_on(name: str, other: str) -> None:
    assert decode({"model": "m", **limit(name, 9999)}).max_tokens == 9999
    if name.partition(".")[0] != other.partition(".")[0]:
        assert decode({"model": "m", **limit(name, 9999), **limit(other, 5)}).max_tokens == 9999
        assert decode({"model": "m", **limit(name, 5), **limit(other, 9999)}).max_tokens == 9999


@pytest.mark.parametrize("name", [*LIMITS, "n", "best_of"])
@pytest.mark.parametrize(
    "value", ['"9999"', "9999.0", "1E4", "1e400", "true", "[1]", "{}", "-1", "9007199254740992", "9" * 5000]
)
@pytest.mark.parametrize("needs_model", [True, False])
def test_a_limit_that_readers_may_take_for_different_numbers_is_refused(
    name: str, value: str, needs_model: bool
) -> None:
    body = json.dumps({"model": "m", **limit(name, "VALUE")}).replace('"VALUE"', value)
    with pytest.raises(InvalidRequest, match=rf"^{name}: Input should be "):
        decode(body.encode(), needs_model=needs_model)


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("value", ["null", "0", "-0"])
def test_no_limit_is_none(name: str, value: str) -> None:
    body = json.dumps({"model": "m", **limit(name, "VALUE")}).replace('"VALUE"', value)
    assert decode(body.encode()).max_tokens == 0


@pytest.mark.parametrize(
    ("more", "most"),
    [({"n": 4}, 40), ({"best_of": 3}, 30), ({"n": 2, "best_of": 5}, 50), ({"n": None}, 10), ({"n": 1}, 10), ({}, 10)],
    ids=str,
)
def test_all_choices_together_are_what_is_asked_for(more: dict[str, Any], most: int) -> None:
    assert decode({"model": "m", "max_tokens": 10, **more}).max_tokens == most


@pytest.mark.parametrize("more", [{"n": 129}, {"best_of": 129}, {"n": 0}, {"best_of": 0}], ids=str)
def test_the_number_of_choices_is_bounded(more: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match=r"^(n|best_of|n, best_of): Input should be "):
        decode({"model": "m", **more})


@pytest.mark.parametrize("value", ["1", "0", '"true"', '"false"', "[]", "{}", "1.0", '""', "[true]", "-1"])
@pytest.mark.parametrize("needs_model", [True, False])
def test_a_stream_flag_is_a_boolean(value: str, needs_model: bool) -> None:
    with pytest.raises(InvalidRequest, match=r"^stream: Input should be a valid boolean"):
        decode(f'{{"model":"m","stream":{value}}}'.encode(), needs_model=needs_model)


@pytest.mark.parametrize(
    ("tools", "names"),
    [
        ({"tools": [{"type": "function", "function": {"name": "a"}}]}, ("a",)),
        ({"tools": [{"type": "function", "name": "a"}]}, ("a",)),
        ({"tools": [{"type": "function", "function": {"name": "a"}, "name": "b"}]}, ("a", "b")),
        ({"tools": [{"type": "custom", "custom": {"name": "a"}}]}, ("a",)),
        ({"tools": [{"type": "web_search"}]}, ("web_search",)),
        ({"tools": [{"type": "function", "function": {}}]}, ("function",)),
        ({"tools": [{"name": "a"}, 5, {"name": "b"}]}, ("a", "b")),
        ({"tools": [[], {"name": "b"}]}, ("b",)),
        ({"functions": [{"name": "a"}, {"name": "b"}]}, ("a", "b")),
        ({"functions": [{"name": "a"}, None], "tools": [{"name": "b"}]}, ("b", "a")),
        ({"tools": "a"}, ()),
        ({"tools": None}, ()),
    ],
    ids=str,
)
def test_a_tool_has_every_name_that_a_server_may_call_it_by(tools: dict[str, Any], names: tuple[str, ...]) -> None:
    assert decode({"model": "m", **tools}).tool_names == names


@pytest.mark.parametrize(
    "message",
    [
        {"content": [IMAGE]},
        {"content": [{"image_url": {"url": "x"}}]},
        {"content": [{"type": "image", "source": {}}]},
        {"content": [{"type": "input_image", "image_url": "x"}]},
        {"content": ["text", IMAGE]},
        {"content": "text", "images": ["iVBOR"]},
    ],
    ids=str,
)
@pytest.mark.parametrize("where", [{"messages": []}, {"input": []}, {"messages": [5], "input": []}], ids=str)
def test_an_image_is_seen_however_a_server_may_find_it(message: Any, where: dict[str, list[Any]]) -> None:
    body = {"model": "m", "messages": [], **where}
    name = "input" if "input" in where else "messages"
    assert not decode({**body, name: [{"content": "x", "images": []}]}).has_images
    assert decode({**body, name: [*where[name], "x", message]}).has_images


@pytest.mark.parametrize("name", ["models", "fallbacks", "context_window_fallbacks", "content_policy_fallbacks"])
def test_no_other_models_can_be_asked_for(name: str) -> None:
    for needs_model in (True, False):
        with pytest.raises(InvalidRequest, match=f"^{name}: no other model than `model` can be asked for"):
            decode({"model": "m", name: ["big"]}, needs_model=needs_model)
    assert decode({"model": "m", name: []}).model == "m"
    assert decode({name: ["big"]}, needs_model=False).model == ""


@pytest.mark.parametrize(
    "inside",
    [{"model": "big"}, {"max_tokens": 9999}, {"stream": True}, {"tools": []}, {"metadata": {}}, {"x": 1}, [1], "x"],
)
def test_what_a_server_may_write_over_the_request_is_refused(inside: Any) -> None:
    for needs_model in (True, False):
        with pytest.raises(
            InvalidRequest, match=r"^extra_body: this is an argument of SDKs; put its members beside `model`$"
        ):
            decode({"model": "m", "extra_body": inside}, needs_model=needs_model)


@pytest.mark.parametrize("inside", [None, {}])
def test_where_nothing_is_in_it_nothing_is_refused(inside: Any) -> None:
    assert decode({"model": "m", "extra_body": inside}).model == "m"


NUMBERS = b"0," * 2**20
"""Allowed where nobody knows what a body is: a number in an array counts a twentieth of a value."""

ARRAYS = {
    "numbers": b"[%b0]" % NUMBERS,
    "numbers with space": b" [ %b0 ] " % NUMBERS.replace(b",", b" , "),
    "numbers and an object": b"[%b{}]" % NUMBERS,
    "an object and numbers": b"[{},%b0]" % NUMBERS,
    "numbers and a brace in a string": b'[%b"{"]' % NUMBERS,
    "arrays of numbers": b"[%b[0]]" % ((b"[%b0]," % (b"0," * 1000)) * 1000),
    "arrays of numbers and an object": b"[%b{}]" % ((b"[%b0]," % (b"0," * 1000)) * 1000),
    "one array of numbers and an object": b"[[%b0],{}]" % NUMBERS,
    "numbers as content and images": b'[{"content":[%b{}],"images":[%b0]}]' % (NUMBERS, NUMBERS),
    "numbers as a function": b'[{"function":[%b0],"name":"a"}]' % NUMBERS,
    "strings and an object": b"[%b{}]" % (b'"a",' * 90_000),
    "a string of escapes and an object": b'["%b",{}]' % (rb"\\\"" * 2**19),
}
FACTS = ("message_count", "has_images", "tool_names", "input_tokens_estimate", "size", "temperature")


@pytest.mark.parametrize("name", ["messages", "input", "tools", "functions", "prompt"])
@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
def test_all_facts_of_a_body_are_read_in_bounded_memory(name: str, array: bytes) -> None:
    body = b'{"model":"m","%b":%b}' % (name.encode(), array)

    def read() -> None:
        with suppress(StructureTooLarge):
            asked = decode_forwarded(body, needs_model=False)
            for fact in FACTS:
                with suppress(StructureTooLarge):
                    getattr(asked, fact)

    assert peak(read) <= 4 * len(body) + 2**24
