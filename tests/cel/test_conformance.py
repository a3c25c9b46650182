"""The specification's own examples, tests/simple of https://github.com/google/cel-spec, that need no messages.

Runs where CEL_SPEC names a checkout of it.  `refused.txt` beside this file lists those that we do not take: each is an
error here, at start or in the evaluation; none has another value than the specification gives it.  Examples that need
a container (a namespace for names) are left out: we offer none.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from asgi_llmgate.cel import CompileError, EvaluationError, Expression
from asgi_llmgate.cel.grammar import parse
from asgi_llmgate.cel.values import CelType, Duration, Timestamp, Uint, equal

FILES = (
    *("basic", "comparisons", "conversions", "fields", "fp_math", "integer_math", "lists", "logic", "macros"),
    *("namespace", "parse", "plumbing", "string", "timestamps"),
)
MESSAGES = re.compile(
    r"TestAllTypes|google\.protobuf\.(?!Timestamp|Duration)|google\.protobuf\.\w+\s*\{|cel\.expr|GlobalEnum"
)
REFUSED = frozenset((Path(__file__).parent / "refused.txt").read_text().split("\n")) - {""}

TOKEN = re.compile(
    r"""\s+|\#[^\n]*|(?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|(?P<mark>[{}\[\]:])"""
    r"""|(?P<word>[^\s{}\[\]:"'#]+)""",
    re.S,
)
ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{1,2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{1,3}|.)", re.S)
LETTERS = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"a": b"\a", b"b": b"\b", b"f": b"\f", b"v": b"\v"}

Message = dict[str, list[Any]]


class Example(NamedTuple):
    name: str
    source: str
    bindings: dict[str, Any]
    expected: Any
    fails: bool


class NeedsMessages(Exception):
    """The example's values are protobuf messages."""


def read_textproto(text: str) -> Message:
    """A message of protobuf's text format: field -> its values, each bytes, a word or a message."""
    tokens = iter([(found.lastgroup, found[0]) for found in TOKEN.finditer(text) if found.lastgroup] + [("end", "")])
    pending: list[tuple[str | None, str]] = []

    def take() -> tuple[str | None, str]:
        return pending.pop() if pending else next(tokens)

    def message(closing: str) -> Message:
        found: Message = {}
        while (token := take())[1] != closing:
            name = token[1]
            if name == "[":
                name = take()[1]
                assert take()[1] == "]"
            token = take()
            found.setdefault(name, []).append(value(take() if token[1] == ":" else token))
        return found

    def value(token: tuple[str | None, str]) -> Any:
        kind, text = token
        if text == "{":
            return message("}")
        if kind != "string":
            return text
        whole = b""
        while kind == "string":
            whole += ESCAPE.sub(unescape, text[1:-1].encode())
            kind, text = take()
        pending.append((kind, text))
        return whole

    return message("")


def unescape(found: re.Match[bytes]) -> bytes:
    code = found[1]
    if code[:1] in b"uU" and len(code) > 1:
        return chr(int(code[1:], 16)).encode()
    if code[:1] == b"x" and len(code) > 1:
        return bytes([int(code[1:], 16)])
    return bytes([int(code, 8) & 255]) if code.isdigit() else LETTERS.get(code, code)


def read_value(message: Message) -> Any:
    """A cel.expr.Value as we have it."""
    kind, (value, *_) = next(iter(message.items()))
    match kind:
        case "int64_value":
            return int(value)
        case "uint64_value":
            return Uint(value)
        case "double_value":
            return float(value)
        case "bool_value":
            return value == "true"
        case "null_value":
            return None
        case "string_value":
            return value.decode()
        case "bytes_value":
            return value
        case "type_value":
            return CelType(value.decode())
        case "list_value":
            return [read_value(member) for member in value.get("values", ())]
        case "map_value":
            return {read_value(entry["key"][0]): read_value(entry["value"][0]) for entry in value.get("entries", ())}
        case "object_value":
            ((url, (inner,)),) = value.items()
            nanos = int(inner.get("seconds", "0")[0]) * 10**9 + int(inner.get("nanos", "0")[0])
            if url.endswith("google.protobuf.Duration"):
                return Duration(nanos)
            if url.endswith("google.protobuf.Timestamp"):
                return Timestamp(nanos)
    raise NeedsMessages(kind)


def examples(root: Path) -> Iterator[Example]:
    for file in FILES:
        document = read_textproto((root / "tests/simple/testdata" / f"{file}.textproto").read_text(encoding="utf-8"))
        for section in document["section"]:
            for test in section.get("test", ()):
                source = test["expr"][0].decode()
                if "container" in test or MESSAGES.search(source):
                    continue
                try:
                    bindings = {
                        entry["key"][0].decode(): read_value(entry["value"][0]["value"][0])
                        for entry in test.get("bindings", ())
                    }
                    expected = read_value(test["value"][0]) if "value" in test else True
                except NeedsMessages:
                    continue
                name = "/".join([file, section["name"][0].decode(), test["name"][0].decode()])
                yield Example(name, source, bindings, expected, "eval_error" in test)


def outcome(example: Example) -> str:
    try:
        value = Expression(None, parse(example.source)).evaluate(example.bindings)
    except (CompileError, EvaluationError):
        return "as expected" if example.fails else "refused"
    if example.fails or not same(value, example.expected):
        return "wrong"
    return "as expected"


def same(value: Any, expected: Any) -> bool:
    if type(value) is float and type(expected) is float and math.isnan(expected):
        return math.isnan(value)
    return type(value) is type(expected) and equal([None, 10**6], value, expected)


@pytest.mark.skipif("CEL_SPEC" not in os.environ, reason="CEL_SPEC names no checkout of cel-spec")
def test_the_specifications_examples_come_out_as_it_says() -> None:
    found = {
        example.name: outcome(example)
        for example in examples(Path(os.environ["CEL_SPEC"]))
        if " in " not in example.name
    }
    assert [name for name, result in found.items() if result == "wrong"] == []
    assert {name for name, result in found.items() if result == "refused"} == REFUSED
    assert len(found) > 1000
    assert len(REFUSED) / len(found) < 0.05
