from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_llmgate.protocol.rawjson.truncated import parse_truncated
from tests.helpers.counted_work import opcodes

WHOLE = (
    '{"error":{"message":"prompt is \\"too\\" long: \\u00e9\\\\","code":400,"more":[1,-2.5e3,{"a":true}],"param":null}}'
)


@pytest.mark.parametrize("end", range(1, len(WHOLE) + 1))
def test_every_beginning_of_an_error_is_read(end: int) -> None:
    value: Any = parse_truncated(WHOLE[:end])
    error = value.get("error")
    assert error is None or isinstance(error, dict)
    message = (error or {}).get("message")
    assert message is None or 'prompt is "too" long: é\\'.startswith(message)
    if end > WHOLE.index('","code'):
        assert message == 'prompt is "too" long: é\\'
    if end > WHOLE.index(',"more'):
        assert error["code"] == 400


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("<html>", None),
        ("null", None),
        ("}", None),
        ("]{", None),
        ("[", []),
        ('["a', ["a"]),
        ("[1,", [1]),
        ("[tr", []),
        ('{"a" ', {"a": None}),
        ('{"a": ', {"a": None}),
        ('{"a":"\\', {"a": ""}),
        ('{"a":"\\u12', {"a": ""}),
        ('{"a":"x\\\\', {"a": "x\\"}),
        ('{"a":1,"b":2,"a', {"a": 1, "b": 2}),
        ('{"a":1,"b', {"a": 1}),
        ("[" * 100_000, None),
    ],
)
def test_what_is_open_at_the_end_is_closed(text: str, value: object) -> None:
    assert parse_truncated(text) == value


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=3), json_values, min_size=1), st.data())
def test_the_beginning_of_any_object_is_an_object_with_its_first_members(value: dict[str, Any], data: Any) -> None:
    text = json.dumps(value, ensure_ascii=data.draw(st.booleans()))
    found = parse_truncated(text[: data.draw(st.integers(1, len(text)))])
    assert isinstance(found, dict)
    assert list(found)[:-1] == list(value)[: max(len(found) - 1, 0)]
    assert all(found[name] == value[name] for name in list(found)[:-1])


@pytest.mark.parametrize("piece", ['"', "\\", '"a":', "[", "{", '{"', "]", "a", ",", '\\"', '"\\'])
def test_the_work_is_in_proportion_to_the_text(piece: str) -> None:
    once, fourfold = (opcodes(lambda size=size: parse_truncated(piece * size)) for size in (2_000, 8_000))
    assert fourfold <= 4.5 * once + 1000
