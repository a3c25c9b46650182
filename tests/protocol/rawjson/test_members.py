from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_llmgate.errors import InvalidRequest, StructureTooLarge
from asgi_llmgate.protocol.rawjson import body as body_module
from asgi_llmgate.protocol.rawjson import members, unique_names
from asgi_llmgate.protocol.rawjson.body import locate_values, open_body
from asgi_llmgate.protocol.rawjson.member_names import PROTOCOL
from asgi_llmgate.protocol.rawjson.members import check_members, fold_case
from asgi_llmgate.protocol.rawjson.structure import STRUCTURE, Structure
from tests.helpers.counted_work import opcodes


def check(body: bytes, structure: Structure = STRUCTURE) -> None:
    check_members(open_body(body), structure)


TWICE = {
    "at the top": (b'{"model":"a","model":"b"}', "model"),
    "with the same value": (b'{"n":1,"n":1}', "n"),
    "in a message": (
        b'{"messages":[{"role":"user"},{"role":"user","content":"a","content":"b"}]}',
        "messages.1.content",
    ),
    "in a content part": (
        b'{"messages":[{"content":[{"type":"text","text":"a","text":"b"}]}]}',
        "messages.0.content.0.text",
    ),
    "in an image": (b'{"a":[{"image_url":{"url":"a","url":"b"}}]}', "a.0.image_url.url"),
    "in a tool": (b'{"tools":[{"name":"a","name":"b"}]}', "tools.0.name"),
    "in a function": (b'{"tools":[{"function":{"name":"a","name":"b"}}]}', "tools.0.function.name"),
    "in a schema": (b'{"tools":[{"input_schema":{"type":"a","type":"b"}}]}', "tools.0.input_schema.type"),
    "in a schema's properties": (
        b'{"tools":[{"input_schema":{"properties":{"a":1,"a":2}}}]}',
        "tools.0.input_schema.properties.a",
    ),
    "in an input": (b'{"messages":[{"content":[{"input":{"a":1,"a":2}}]}]}', "messages.0.content.0.input.a"),
    "deep in an input": (
        b'{"messages":[{"content":[{"input":{"b":[[{"a":1,"a":2}]]}}]}]}',
        "messages.0.content.0.input.b.0.0.a",
    ),
    "in tool_choice": (b'{"tool_choice":{"type":"a","type":"b"}}', "tool_choice.type"),
    "in thinking": (b'{"thinking":{"type":"a","type":"b"}}', "thinking.type"),
    "in metadata": (b'{"metadata":{"user_id":"a","user_id":"b"}}', "metadata.user_id"),
    "in stream_options": (
        b'{"stream_options":{"include_usage":true,"include_usage":false}}',
        "stream_options.include_usage",
    ),
    "in a map of numbers": (b'{"logit_bias":{"50256":1,"50256":2}}', "logit_bias.50256"),
    "one of them escaped": (b'{"a":{"mod\\u0065l":1,"model":2}}', "a.model"),
    "both of them escaped": (b'{"a":{"\\u006dodel":1,"mod\\u0065l":2}}', "a.model"),
    "with white space": (b'{"a": [ {"x" : 1,\n "x" : 2 } ]}', "a.0.x"),
    "with white space in an object": (b'{"a": {"x" : 1,\n "x" : 2 } }', "a.x"),
    "after a longer value": (b'{"a":[{"b":[1,2,3],"b":1}]}', "a.0.b"),
    "beside a value that looks like members": (b'{"a":{"b":1,"b":",\\"c\\":2"}}', "a.b"),
    "in the second of two": (b'{"a":[{"b":1},{"b":1,"b":2}]}', "a.1.b"),
    "in a list of other things": (b'{"a":[1,"x",{"b":1,"b":2}]}', "a.2.b"),
    "in a list in a list": (b'{"a":[[{"b":1,"b":2}]]}', "a.0.0.b"),
    "not in ASCII": ('{"a":{"é":1,"é":2}}'.encode(), "a.é"),
    "half a surrogate and another": (b'{"a":{"\\ud800":1,"\\udbff":2}}', "a.\ufffd"),
    "a name without letters": (b'{"a":{"":1,"":2}}', "a."),
}


@pytest.mark.parametrize(("body", "place"), TWICE.values(), ids=TWICE)
def test_a_name_that_comes_twice_in_any_object_is_refused_with_its_place(body: bytes, place: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check(body)
    assert refused.value.client_message == f"{place}: given more than once"


OTHER_CASE = {
    "at the top": (b'{"%s":"a"}', ""),
    "in a message": (b'{"messages":[{"%s":"a"}]}', "messages.0."),
    "in a content part": (b'{"messages":[{"content":[{"type":"text","%s":"a"}]}]}', "messages.0.content.0."),
    "in a tool": (b'{"tools":[{"%s":"a"}]}', "tools.0."),
    "in a function": (b'{"tools":[{"type":"function","function":{"%s":"a"}}]}', "tools.0.function."),
    "in the older functions": (b'{"functions":[{"%s":"a"}]}', "functions.0."),
    "in a tool's call": (
        b'{"messages":[{"tool_calls":[{"function":{"%s":"a"}}]}]}',
        "messages.0.tool_calls.0.function.",
    ),
    "in tool_choice": (b'{"tool_choice":{"%s":"a"}}', "tool_choice."),
    "in thinking": (b'{"thinking":{"%s":"a"}}', "thinking."),
    "in stream_options": (b'{"stream_options":{"%s":"a"}}', "stream_options."),
    "in response_format": (
        b'{"response_format":{"type":"json_schema","json_schema":{"%s":"a"}}}',
        "response_format.json_schema.",
    ),
    "in system": (b'{"system":[{"%s":"a"}]}', "system.0."),
    "in output_config": (b'{"output_config":{"%s":"a"}}', "output_config."),
    "in cache_control": (b'{"system":[{"cache_control":{"%s":"a"}}]}', "system.0.cache_control."),
    "in an image": (b'{"messages":[{"content":[{"image_url":{"%s":"a"}}]}]}', "messages.0.content.0.image_url."),
    "in a source": (b'{"messages":[{"content":[{"source":{"%s":"a"}}]}]}', "messages.0.content.0.source."),
    "in Ollama's options": (b'{"options":{"%s":"a"}}', "options."),
    "in Hugging Face's parameters": (b'{"parameters":{"%s":"a"}}', "parameters."),
    "in the Responses API's input": (b'{"input":[{"content":[{"%s":"a"}]}]}', "input.0.content.0."),
    "in an object that nobody has heard of": (b'{"future":{"%s":"a"}}', "future."),
    "in a list in a list": (b'{"future":[[{"%s":"a"}]]}', "future.0.0."),
}
SPELLINGS = {
    "Model": "model",
    "TOOLS": "tools",
    "max_Tokens": "max_tokens",
    "\u017ftream": "stream",
    "\\u004dodel": "model",
    "TH\u0131NK\u0131NG": "thinking",
    "ſy\u017fTem": "system",
}


@pytest.mark.parametrize(("body", "place"), OTHER_CASE.values(), ids=OTHER_CASE)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_name_of_the_protocol_in_another_case_is_refused_with_its_place(
    spelling: str, body: bytes, place: str
) -> None:
    sent = body % spelling.encode()
    name = json.loads(f'"{spelling}"')
    with pytest.raises(InvalidRequest) as refused:
        check(sent)
    assert refused.value.client_message == f"{place}{name}: names are in lower case: {SPELLINGS[spelling]}"


@pytest.mark.parametrize(("body", "place"), OTHER_CASE.values(), ids=OTHER_CASE)
@pytest.mark.parametrize("name", ["future", "toolCalls", "\u017fay", "X-Y"])
def test_a_name_that_is_nobodys_is_let_through(name: str, body: bytes, place: str) -> None:
    check(body % name.encode())


@pytest.mark.parametrize(
    ("one", "other"), [("future", "Future"), ("x_size", "x_\u017fize"), ("mark", "mar\u212a"), ("ß", "ẞ"), ("ǆ", "ǅ")]
)
@pytest.mark.parametrize("place", ["%s", '{"future2":%s}', '{"future2":[%s]}', '{"metadata":%s}'])
def test_two_names_that_differ_in_case_alone_are_refused(one: str, other: str, place: str) -> None:
    check((place % json.dumps({one: 1})).encode())
    with pytest.raises(InvalidRequest, match="given more than once, in different cases"):
        check((place % json.dumps({one: 1, other: 2}, ensure_ascii=False)).encode())


OWN = {"Name": 1, "name": 2, "NAME": {"Type": "x", "type": "y", "input": {"A": 1, "a": 2}}, "list": [{"B": 1, "b": 2}]}


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"content": [{"type": "tool_use", "input": OWN}]}]},
        {"messages": [{"tool_calls": [{"function": {"name": "f", "arguments": OWN}}]}]},
        {"tools": [{"name": "a", "input_schema": {"properties": OWN, "$defs": OWN, "patternProperties": OWN}}]},
        {"tools": [{"type": "function", "function": {"parameters": {"properties": OWN, "default": OWN}}}]},
        {"response_format": {"json_schema": {"name": "x", "schema": OWN}}},
        {"logit_bias": OWN},
        {"chat_template_kwargs": OWN},
        {"mcp_servers": [{"headers": {"X-A": "1", "x-a": "2"}, "env": OWN}]},
        {"metadata": {"Name": "a label", "labels": OWN}},
    ],
    ids=lambda body: next(iter(body)),
)
def test_names_of_the_callers_own_are_left_to_them(body: Any) -> None:
    check(json.dumps(body).encode())
    check(json.dumps(body, separators=(",", ":")).encode())


@pytest.mark.parametrize(
    "body", [b'{"model\\u0000x":1}', b'{"a":[{"b":{"c\\u0000":1}}]}', b'{"logit_bias":{"\\u0000":1}}']
)
def test_a_name_that_a_reader_in_c_would_end_early_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match=r"a name has U\+0000 in it"):
        check(body)


def test_the_protocols_names_are_their_own_foldings() -> None:
    assert {fold_case(name) for name in PROTOCOL} == PROTOCOL


def test_names_may_come_again_in_other_objects() -> None:
    check(b'{"a":{"a":1},"b":[{"a":1},{"a":2}]}')


def test_what_is_nested_or_read_too_often_is_refused_before_it_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    deep = b'{"a":' * 60 + b"[[[[{}]]]]" + b"}" * 60
    check(deep, Structure(depth=65))
    check(b'{"a":' * 60 + b"[[[{}]]]" + b"}" * 60)
    for deeper in (deep, deep.replace(b"{}", b"[]"), deep.replace(b"{}", b"[[]]"), deep.replace(b"{}", b"1,[]")):
        with pytest.raises(StructureTooLarge, match="more than 64 levels deep"):
            check(deeper)
    with pytest.raises(StructureTooLarge, match="an object: 3 names; at most 2 are allowed"):
        check(b'{"a":{"a":1,"b":1,"c":1}}', Structure(names=2))
    monkeypatch.setattr(members, "_SLACK", 0)
    with pytest.raises(StructureTooLarge, match="too deeply for its length"):
        check(deep)


class Members(tuple[tuple[str, Any], ...]):
    """An object as it is written, whatever its names."""


WRITTEN = ["a", "b", "A", "\\u0061", "\\u0062", "é", "\\u00e9", "a,b", '\\"', ""]
"""Names as they stand between the quotes."""

written = st.recursive(
    st.sampled_from(["1", "-0.5e3", "null", '"a"', '","', '"\\\\\\"}"', '"é"', "[]", "{}"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.lists(st.tuples(st.sampled_from(WRITTEN), inner), max_size=4).map(Members)
    ),
    max_leaves=20,
)


def write(value: Any, space: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Members):
        inner = [f'"{name}"{space}:{space}{write(each, space)}' for name, each in value]
        return "{" + space + f"{space},{space}".join(inner) + space + "}"
    return f"[{space}" + f"{space},{space}".join(write(each, space) for each in value) + f"{space}]"


def has_repeated_names(text: str) -> bool:
    found = False

    def note(pairs: list[tuple[str, Any]]) -> None:
        nonlocal found
        found = found or len(pairs) > len(dict(pairs))

    json.loads(text, object_pairs_hook=note)
    return found


@given(written, st.sampled_from(["", " ", "\n\t"]))
def test_repeated_names_are_found_wherever_and_however_they_are_written(value: Any, space: str) -> None:
    text = f'{{"input_schema":{write(value, space)}}}'
    refused = ""
    try:
        check(text.encode())
    except InvalidRequest as error:
        refused = error.client_message
    assert refused.endswith("given more than once") is bool(refused) is has_repeated_names(text)


NAMES = {
    "all the same": lambda index: "a",
    "each twice": lambda index: f"n{index // 2}",
    "the last one": lambda index: f"n{max(index, 1)}",
    "none": lambda index: f"n{index}",
}
PLACES = {
    "at the top": b"%s",
    "in a list": b'{"x":[%s]}',
    "in an object": b'{"x":%s}',
    "escaped": b'{"\\u0078":%s}',
    "deep": b'{"x":[[[%s]]]}',
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_the_work_on_repeated_names_grows_with_their_number_and_no_faster(
    place: bytes, name: Callable[[int], str]
) -> None:
    def work(size: int) -> int:
        names = [name(index) for index in range(size)]
        body = place % b"{%s}" % b",".join(b'"%s":1' % each.encode() for each in reversed(names))
        return opcodes(lambda: _refused(body))

    assert work(800) <= 2.2 * work(400)


def _refused(body: bytes) -> None:
    with contextlib.suppress(InvalidRequest):
        check_members(open_body(body), STRUCTURE)


LONG = "n" * 257
LONG_NAMES = {
    "at the top": '{"%s":1}',
    "in a message": '{"messages":[{"role":"user","%s":1}]}',
    "in a content part": '{"messages":[{"content":[{"%s":1}]}]}',
    "in a tool": '{"tools":[{"%s":1}]}',
    "in a function": '{"tools":[{"function":{"%s":1}}]}',
    "in tool_choice": '{"tool_choice":{"%s":1}}',
    "in metadata": '{"metadata":{"%s":1}}',
}


@pytest.mark.parametrize("name", [LONG, "ǰ" * 257, "\\u0041" * 257], ids=["ASCII", "grows in capitals", "escaped"])
@pytest.mark.parametrize("body", LONG_NAMES.values(), ids=LONG_NAMES)
def test_a_name_too_long_for_a_protocol_is_refused_before_it_is_compared(
    body: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members, "fold_case", None)
    unescaped = body_module._decode_str

    def read(name: bytes) -> str:
        assert len(name) < 257
        return unescaped(name)

    monkeypatch.setattr(body_module, "_decode_str", read)
    with pytest.raises(StructureTooLarge, match="a name has more than 256 characters"):
        check((body % name).encode())


def test_the_callers_own_names_may_be_long() -> None:
    check(json.dumps({"tools": [{"function": {"parameters": {"properties": {LONG: {"type": "string"}}}}}]}).encode())


@pytest.mark.parametrize("objects", [1, 4, 16])
def test_letters_beyond_ascii_are_compared_up_to_a_number_in_all_names_together(
    objects: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = 0

    def counted(name: str) -> str:
        nonlocal compared
        compared += len(name)
        return fold_case(name)

    monkeypatch.setattr(members, "fold_case", counted)
    names = {f"{number}" + "ǰ" * 250: 1 for number in range(4_800 // objects)}
    with pytest.raises(StructureTooLarge, match="names of the request have too many letters"):
        check(json.dumps({"messages": [names] * objects}, ensure_ascii=False).encode())
    assert compared <= 2 * members._COMPARED
    names = {f"{number}é": 1 for number in range(4_000)}
    check(json.dumps({"messages": [names] * objects}, ensure_ascii=False).encode())


@pytest.mark.parametrize(("begin", "end"), [("[", "]"), ('{"a":', "}"), ('[{"a" :', "}]"), ('{"tools":[', "]}")])
def test_nesting_that_a_decoder_gives_up_on_is_refused_at_any_depth(begin: str, end: str) -> None:
    """How deep that is depends on who calls it: what could be read over may be too deep for the one who opens it."""
    for depth in range(850, 1010, 3):
        with pytest.raises((InvalidRequest, StructureTooLarge), match="nested"):
            check(f'{{"x":{begin * depth}1{end * depth}}}'.encode())


SPACED = {
    "around colons": '{ "role" : "user", "content" : "x" }',
    "line by line": '{\n\t"role": "user",\n\t"content": "a b"\n}',
    "of objects in objects": '{"content": [{"type": "text", "text": "a"}, {"tool": {"name": "b"}}]}',
}


@pytest.mark.parametrize("message", SPACED.values(), ids=SPACED)
def test_white_space_costs_no_walk(message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    many = ", ".join([message] * 500)
    opened = open_body(f'{{"messages": [{many}], "tool_choice": {message}}}'.encode())
    monkeypatch.setattr(unique_names, "locate_values", None)
    check_members(opened, STRUCTURE)


def test_white_space_beside_long_texts_is_walked_over_and_never_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "_STEPS", 100)
    message = {"role": "user", "content": [{"type": "text", "text": "x" * 4000}]}
    check(json.dumps({"messages": [message] * 90}).encode())
    with pytest.raises((InvalidRequest, StructureTooLarge), match=r"more than once|come twice"):
        check(json.dumps({"messages": [message] * 90}).encode()[:-2] + b',{"role": "a", "role": "b"}]}')


@pytest.mark.parametrize("name", [r"\u0061", r"a\n", r"\"", r"caf\u00e9"])
def test_objects_with_escaped_names_are_walked_over_up_to_a_number(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    walked = 0

    def counted(text: bytes, at: int, fields: Any, starts: Any) -> int:
        nonlocal walked
        walked += len(fields)
        return step_over(text, at, fields, starts)

    step_over = locate_values
    monkeypatch.setattr(unique_names, "locate_values", counted)
    one = f'{{"{name}":1}}'
    check(f'{{"messages":[{",".join([one] * 19_000)}]}}'.encode())
    walked = 0
    with pytest.raises(StructureTooLarge, match="too many names that are escaped or come twice"):
        check(f'{{"messages":[{",".join([f"[{one}]"] * 30_000)}]}}'.encode())
    assert walked <= members._STEPS + 1


def test_what_is_empty_is_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "_decode_fields", None)
    check(b'{"x":[{"a":{}},{"a":[],"b":{}},{}],"tool_choice":{},"messages":[]}')
    check(b'{"x":%b{}%b}' % (b"[" * 62, b"]" * 62))
    with pytest.raises(StructureTooLarge, match="nested"):
        check(b'{"x":%b{}%b}' % (b"[" * 63, b"]" * 63))
