"""YAML: each key once, bounded work, and errors that say where."""

from __future__ import annotations

import re
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import asgi_llmgate
from asgi_llmgate import SettingsError
from asgi_llmgate.config import yaml_text
from asgi_llmgate.config.yaml_text import DEEPEST, read_yaml


def read(text: str) -> Any:
    return read_yaml(text.encode(), "file")


REPEATED = [
    ("policy: {rules: [a]}\nauth: {}\npolicy: {default: allow}\n", 1, 3),
    ("policy:\n  rules: [a]\n  default: deny\n  rules: [b]\n", 2, 4),
    ("a:\n  - b: 1\n    c: 2\n    b: 3\n", 2, 4),
    ("a: {b: 1,\n  b: 2}\n", 1, 2),
    ("a: [[{b: {c: {d: 1,\n d: 2}}}]]\n", 1, 2),
    ('a: 1\n"a": 2\n', 1, 2),
    ("a: 1\n'a': 2\n", 1, 2),
    ('a: 1\n"\\x61": 2\n', 1, 2),
    ("a: 1\n? a\n: 2\n", 1, 2),
    ("a: 1\n? |-\n  a\n: 2\n", 1, 2),
    ("a: 1\n!!str a: 2\n", 1, 2),
    ("a: 1\na:\n", 1, 2),
    ("a:\na:\n", 1, 2),
    ('1: a\n"1": b\n', 1, 2),
    ("1: a\n0x1: b\n", 1, 2),
    ("1: a\n1.0: b\n", 1, 2),
    ("1: a\ntrue: b\n", 1, 2),
    ("8: a\n010: b\n", 1, 2),
    ("60: a\n1:0: b\n", 1, 2),
    ("on: a\ntrue: b\n", 1, 2),
    ("on: a\n\"on\": b\n", 1, 2),
    ('true: a\n"true": b\n', 1, 2),
    ('yes: a\n"true": b\n', 1, 2),
    ("no: a\noff: b\n", 1, 2),
    ("null: a\n~: b\n", 1, 2),
    ('null: a\n"null": b\n', 1, 2),
    ("~: a\n? \n: b\n", 1, 2),
    ("false: a\n0: b\n", 1, 2),
    ('? ""\n: a\n? \'\'\n: b\n', 1, 3),
    ("2026-01-01: a\n\"2026-01-01\": b\n", 1, 2),
    ("a: &x {k: 1}\nb: {<<: *x,\n  <<: *x}\n", 2, 3),
    ("a: &x {k: 1}\nb:\n  <<: *x\n  k: 2\n  k: 3\n", 4, 5),
    ("a: &x {k: 1,\n  k: 2}\nb: {<<: *x}\n", 1, 2),
    ("a: &k b\n*k : 1\n*k : 2\n", 1, 1),
    ("a: !!set {x,\n  x}\n", 1, 2),
    ("a: !!omap\n  - {x: 1,\n    x: 2}\n", 2, 3),
    ("? a\n? a\n", 1, 2),
    ("--- {a: 1,\n a: 2}\n...\n", 1, 2),
    ("\ufeffa: 1\na: 2\n", 1, 2),
    ("a: 1\r\na: 2\r\n", 1, 2),
]  # fmt: skip


@pytest.mark.parametrize(("text", "first", "second"), REPEATED, ids=[ascii(text) for text, *_ in REPEATED])
def test_a_repeated_key_is_refused_with_both_lines(text: str, first: int, second: int) -> None:
    with pytest.raises(SettingsError) as caught:
        read(text)
    assert f"file is not valid YAML: line {second}, column " in caught.value.message
    assert f"is repeated, it is in line {first} too" in caught.value.message


KEPT = [
    "a: 1\nA: 2\n",
    "a: {b: 1}\nc: {b: 1}\n",
    "[{a: 1}, {a: 2}]",
    "a: &x {k: 1, l: 2}\nb: {<<: *x, k: 3}\n",
    "a: &x {k: 1}\nb: &y {k: 2}\nc: {<<: [*x, *y]}\n",
    "a: &x {k: 1}\nb: &y {<<: *x, m: 1}\nc: {<<: *y}\n",
    '1: a\n"2": b\n',
    "true: a\nfalse: b\n",
    "null: a\nfalse: b\n1: c\n",
    '"<": a\n">": b\n',
    "a: [&x 1, *x, *x]\n",
    "a: |\n  b: 1\n  b: 2\n",
    "a: 'b: 1, b: 2'\n",
    "rules: ['a == 1', 'a == 1']\n",
    "",
    "~",
    "a",
    "{}",
    '{"a": {"b": [1, 2.5, true, null]}}',
    "a: 2026-01-01\n",
]


@pytest.mark.parametrize("text", KEPT, ids=ascii)
def test_what_repeats_no_key_is_read_as_pyyaml_reads_it(text: str) -> None:
    assert read(text) == yaml.safe_load(text)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8) | st.dates()
TREES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
)


@settings(deadline=None, max_examples=30)
@given(TREES, st.booleans())
def test_whatever_is_written_is_read_again(tree: Any, flow: bool) -> None:
    text = yaml.safe_dump(tree, default_flow_style=flow, allow_unicode=True)
    assert read(text) == yaml.safe_load(text)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text(st.characters(codec="ascii"), max_size=3), min_size=1, max_size=8), st.data())
def test_any_key_that_comes_twice_is_refused_and_no_other(keys: list[str], data: Any) -> None:
    pairs = [(key, data.draw(st.integers(0, 9))) for key in keys]
    text = "".join(f"? {yaml.safe_dump(key, default_style=chr(34)).strip()}\n: {value}\n" for key, value in pairs)
    if len(set(keys)) == len(keys):
        assert read(text) == dict(pairs)
    else:
        with pytest.raises(SettingsError, match="is repeated"):
            read(text)


def bomb(width: int, levels: int) -> str:
    lines = ["a0: &a0 [1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, levels)]
    return "\n".join(lines)


def merge_bomb(width: int, levels: int) -> str:
    lines = ["a0: &a0 {k: 1}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * width)}]}}" for n in range(1, levels)]
    return "\n".join(lines)


def map_bomb(width: int, levels: int) -> str:
    lines = ["a0: &a0 {k: 1}"]
    for n in range(1, levels):
        lines.append(f"a{n}: &a{n} {{{', '.join(f'k{i}: *a{n - 1}' for i in range(width))}}}")
    return "\n".join(lines)


BOMBS = [
    *(make(width, levels) for make in (bomb, merge_bomb, map_bomb) for width, levels in ((10, 10), (2, 60), (100, 4))),
    *(make(1, 2000) for make in (bomb, merge_bomb, map_bomb)),
    "a: &a [*a]",
    "a: &a {b: *a}",
    "a: &a {<<: *a}",
    "&a [[[*a]]]",
    "[" * 500,
    "{a: " * 500,
    "- " * 2000,
    "? " * 2000,
    "[" * (DEEPEST + 1) + "]" * (DEEPEST + 1),
]


@pytest.mark.parametrize("text", BOMBS, ids=[f"{text[:30]!a} ({len(text)})" for text in BOMBS])
def test_what_would_be_more_than_it_looks_is_refused_before_it_is_built(text: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(SettingsError, match=r"more than|within what it stands for"):
            read(text)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10 * 2**20


def test_as_much_as_allowed_is_read_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_text, "MOST", 500)
    monkeypatch.setattr(yaml_text, "LARGEST", 5000)
    assert len(read("[" + "1," * 499 + "]")) == 499
    with pytest.raises(SettingsError, match="more than 500 values, aliases counted each time"):
        read("[" + "1," * 500 + "]")
    assert read("[" * DEEPEST + "]" * DEEPEST)
    assert read("x" * 5000) == "x" * 5000
    with pytest.raises(SettingsError, match="file is larger than"):
        read("x" * 5001)


BROKEN = [
    ("a: !!int x\n", "line 1, column 4: not a value of !!int"),
    ("a: !!int ''\n", "line 1, column 4: not a value of !!int"),
    ("a: !!float x\n", "line 1, column 4: not a value of !!float"),
    ("a: !!bool maybe\n", "line 1, column 4: not a value of !!bool"),
    ("a: !!timestamp x\n", "line 1, column 4: not a value of !!timestamp"),
    ("a: 2026-13-45\n", "line 1, column 4: not a value of !!timestamp"),
    ("a: " + "1" * 5000, "line 1, column 4: not a value of !!int"),
    ("2026-13-45: a\n", "line 1, column 1: not a value of !!timestamp"),
    ("a: !!python/object/apply:os.system [x]\n", "line 1, column 4: could not determine a constructor"),
    ("a: !secret x\n", "line 1, column 4: could not determine a constructor"),
    ("? [a, b]\n: c\n", "line 1, column 3: a key must be a text"),
    ("? {a: b}\n: c\n", "line 1, column 3: a key must be a text"),
    ("a: *nobody\n", "line 1, column 4: found undefined alias"),
    ("a: &x 1\nb: &x 2\n", "line 2, column 4: second occurrence"),
    ("a: 1\n--- \nb: 1\n", "line 2, column 1: but found another document"),
    ("a: {<<: 1}\n", "line 1, column 9: expected a mapping"),
    ("a:\n\tb: 1\n", "line 2, column 1: found character"),
    ("a: '\n", "line 2, column 1: found unexpected end of stream"),
    ("a: 1\nb: \x07\n", "line 2, column 4: special characters are not allowed"),
    ("%YAML 3.0\n---\na: 1\n", "line 1, column 1: found incompatible YAML document"),
]


@pytest.mark.parametrize(("text", "why"), BROKEN, ids=[why for _, why in BROKEN])
def test_an_error_names_the_place(text: str, why: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(text)
    assert caught.value.message.startswith(f"file is not valid YAML: {why}")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("a: 1".encode("utf-16"), "file is UTF-16; save it as UTF-8"),
        (b"a: 1\nb: \xff\n", "file is not UTF-8: line 2"),
    ],
)
def test_other_encodings_are_refused(data: bytes, why: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_yaml(data, "file")
    assert caught.value.message == why


@settings(deadline=None)
@given(st.text(st.sampled_from("ab:-?[]{}&*!|>'\"#%@`, \n\t<=~1"), max_size=60))
def test_no_text_makes_anything_but_a_settings_error(text: str) -> None:
    said = "file is not valid YAML: "
    try:
        read(text)
    except SettingsError as error:
        said = error.message
    assert said.startswith("file is not valid YAML: ")


def test_no_other_module_reads_yaml() -> None:
    package = Path(asgi_llmgate.__file__).parent
    files = [*package.rglob("*.py"), *(package.parent / "integrations").rglob("*.py")]
    imports = re.compile(r"^\s*(import|from) (yaml|ruamel)\b", re.MULTILINE)
    assert [file.name for file in files if imports.search(file.read_text("utf-8"))] == ["yaml_text.py"]
