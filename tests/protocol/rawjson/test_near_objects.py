from __future__ import annotations

import json

import pytest

from asgi_llmgate.protocol.rawjson.near_objects import repair_object


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"x":1}', {"x": 1}),
        (' {"x":1}\n', {"x": 1}),
        ('"{\\"x\\":1}"', {"x": 1}),
        ('"\\"{\\\\\\"x\\\\\\":1}\\""', {"x": 1}),
        ('```json\n{"x":1}\n```', {"x": 1}),
        ("```\n{'x': 1}```", {"x": 1}),
        ('"```json\\n{\\"x\\":1}\\n```"', {"x": 1}),
        ("{'x': 1}", {"x": 1}),
        ("{'x': True, 'y': False, 'z': None}", {"x": True, "y": False, "z": None}),
        ('{"x": true, "y": [1, 2,], }', {"x": True, "y": [1, 2]}),
        ("{'x': 'it\\'s'}", {"x": "it's"}),
        ("{'x': 'say \"hi\"'}", {"x": 'say "hi"'}),
        ('{"x": "it\'s"}', {"x": "it's"}),
        ("{'x': '\\x41\\u00e9\\n\\\\'}", {"x": "Aé\n\\"}),
        ('{"x": "a\nb\tc"}', {"x": "a\nb\tc"}),
        ("{x: 1, y_2 : 'b'}", {"x": 1, "y_2": "b"}),
        ("{'x': -1.5e3}", {"x": -1500.0}),
        ("{'x': {'y': ['}', \"{\"]}}", {"x": {"y": ["}", "{"]}}),
        ("null", {}),
        ("None", {}),
        ('""', {}),
        ('"null"', {}),
        ("", {}),
    ],
)
def test_an_object_that_has_one_meaning(text: str, value: object) -> None:
    found = repair_object(text)
    assert found is not None
    assert json.loads(found) == value


@pytest.mark.parametrize(
    "text",
    [
        "[1]",
        "7",
        "true",
        "Bash(ls)",
        "x: 1",
        '{"x":',
        '{"x":1',
        "{'x': 1",
        "{'x': 'a}",
        '{"x": "a" "b"}',
        "{'x': 1}}",
        "{'x': (1, 2)}",
        "{'x': b'a'}",
        "{'x': undefined}",
        "{'x': NaN}",
        "{'x': '\\d'}",
        "{1: 2}",
        "{,,}",
        "{'x': 1,,}",
        '"{\\"x\\":"',
        '"[1]"',
        '"a" {"x":1}',
        '```json\n{"x":1}\n``` and so on',
        '"' * 9,
        "{'x': 1}" + " " * 2**20,
        "{\"\\ud83d\": 'a'}x",
    ],
    ids=lambda text: text[:20],
)
def test_what_could_be_read_in_two_ways_is_left_as_it_is(text: str) -> None:
    assert repair_object(text) is None


def test_a_text_is_unwrapped_three_times() -> None:
    text = '{"x":1}'
    for _ in range(3):
        text = json.dumps(text)
        assert repair_object(text) == '{"x":1}'
    assert repair_object(json.dumps(text)) is None


def test_a_repair_is_linear() -> None:
    for text in ("{" + "'a': 'b'," * 50_000, "{" * 100_000, "{'" + "\\'" * 100_000, "{'a': '" + '"' * 100_000 + "'}"):
        repair_object(text)
    assert repair_object("{'a': '" + '"' * 1000 + "'}") == '{"a":"' + '\\"' * 1000 + '"}'
