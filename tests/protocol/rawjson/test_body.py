from __future__ import annotations

import re

import pytest

from asgi_llmgate.errors import InvalidRequest
from asgi_llmgate.protocol.rawjson import body as body_module
from asgi_llmgate.protocol.rawjson import objects
from asgi_llmgate.protocol.rawjson.body import open_body


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        pytest.param(b"", "not valid JSON", id="empty"),
        pytest.param(b"{", "not valid JSON", id="cut"),
        pytest.param(b"[]", "not a JSON object", id="a list"),
        pytest.param(b'"x"', "not a JSON object", id="a string"),
        pytest.param(b'{"a":NaN}', "not valid JSON", id="NaN"),
        pytest.param(b'{"a":Infinity}', "not valid JSON", id="Infinity"),
        pytest.param(b'{"a":01}', "not valid JSON", id="leading zero"),
        pytest.param(b'{"a":"\\q"}', "not valid JSON", id="bad escape"),
        pytest.param(b'{"a":"\x01"}', "not valid JSON", id="control character"),
        pytest.param(b'{"a":1} {}', "not valid JSON", id="more after the end"),
        pytest.param(b'\xef\xbb\xbf{"a":1}', "not valid JSON", id="byte order mark"),
        pytest.param(b'{"a":"\xff"}', "not valid UTF-8", id="not UTF-8 in a value that is skipped"),
        pytest.param(b'{"a":' + b"[" * 30_000 + b"]" * 30_000 + b"}", "too deeply", id="deep"),
        pytest.param(b'{"a":' + b"[" * 100_000, "too deeply", id="deep and cut"),
        pytest.param(b'{"a":1,"a":1}', "a: given more than once", id="twice the same"),
        pytest.param(b'{"a":1,"b":2,"a":3}', "a: given more than once", id="twice with another value"),
        pytest.param(b'{"a":[1,2,3],"a":1}', "a: given more than once", id="first one longer"),
        pytest.param(b'{"a":1,"a":",\\"b\\":2"}', "a: given more than once", id="second looks like fields"),
        pytest.param(b'{"a":1,"\\u0061":2}', "a: given more than once", id="one of them escaped"),
        pytest.param(b'{"a" : 1 ,\n "a" : 2}', "a: given more than once", id="with white space"),
    ],
)
def test_a_body_that_two_readers_could_read_differently_is_refused(body: bytes, complaint: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        open_body(body)
    assert re.search(complaint, refused.value.client_message)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1,"b":{"a":1}}',
        b' {\n"a" : [1, 2] ,\t"b" : "}" }\r\n',
        b'{"a\\"b":1,"c":"\\",\\"c\\":2"}',
        b"{}",
        b" { } ",
    ],
    ids=["nested names are their own", "white space", "quotes in names and values", "nothing", "only white space"],
)
def test_each_value_is_found_where_it_stands(body: bytes) -> None:
    opened = open_body(body)
    assert opened.starts.keys() == opened.fields.keys()
    for name, start in opened.starts.items():
        assert body[start:].startswith(opened.fields[name])


@pytest.mark.parametrize(
    ("body", "changes", "expected"),
    [
        (b'{"model":"a","x":{"model":"a"}}', {"model": b'"q"'}, b'{"model":"q","x":{"model":"a"}}'),
        (b' { "x" : 1.50 ,\n"m" : "c" , "y":"m" } \n', {"m": b"2"}, b' { "x" : 1.50 ,\n"m" : 2 , "y":"m" } \n'),
        (b'{"b":1,"a":2}', {"a": b"3", "b": b"[4]"}, b'{"b":[4],"a":3}'),
        (b'{"a":1}', {"b": b"{}", "c": b"2"}, b'{"a":1,"b":{},"c":2}'),
        (b'{"a":1}', {"b": b"{}", "a": b"2"}, b'{"a":2,"b":{}}'),
        (b"{ }", {"a": b"1"}, b'{ "a":1}'),
        (b'{"a":"}"}', {}, b'{"a":"}"}'),
    ],
    ids=["one", "spaced", "two", "new", "new and old", "into nothing", "none"],
)
def test_what_is_not_rewritten_stays_as_it_came(body: bytes, changes: dict[str, bytes], expected: bytes) -> None:
    assert open_body(body).replace_values(changes) == expected


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (rb'{"a":"\ud83d"}', "\ufffd"),
        (rb'{"a":"\uDE00 x"}', "\ufffd x"),
        (rb'{"a":"\ud83d\ude00\ud83d"}', "😀\ufffd"),
        (rb'{"a":"\\ud83d\ud83d"}', "\\ud83d\ufffd"),
    ],
    ids=["first half", "second half", "a whole one before", "an escaped backslash is no escape"],
)
def test_half_an_emoji_is_mended(sent: bytes, read: str) -> None:
    assert objects.read_value(open_body(sent).fields["a"]) == read


@pytest.mark.parametrize("sent", ['{"a":1,"é":[2, 3],"":""}', "{}", '{"a":{"b" : 1}}'])
def test_a_body_without_white_space_is_not_walked(sent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_module, "locate_values", None)
    assert open_body(sent.encode()).fields is not None


def test_an_opened_body_shows_nothing_of_itself() -> None:
    assert repr(open_body(b'{"prompt":"secret"}')) == "OpenedBody(19 bytes)"
