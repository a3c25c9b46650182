"""The specification's own examples, tests/simple of https://github.com/google/cel-spec, that need no messages.

They come as data in the npm package @bufbuild/cel-spec.  `refused.txt` beside this file lists those that we do not
take: each is refused when the rule is compiled, none has another value than the specification gives it, and every
example that is not in the list passes.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import pytest

from asgi_llmgate.cel import CompileError, EvaluationError, Expression, compile_rule
from asgi_llmgate.cel.runtime.times import parse_duration, parse_timestamp
from asgi_llmgate.cel.runtime.values import CelType, Uint, equal
from asgi_llmgate.cel.syntax.grammar import parse
from tests.helpers.installation import npm_packages, run

CEL_SPEC = "@bufbuild/cel-spec@0.6.1"
"""cel-spec v0.25.1."""

FILES = (
    *("basic", "comparisons", "conversions", "fields", "fp_math", "integer_math", "lists", "logic", "macros"),
    *("namespace", "parse", "plumbing", "string", "timestamps"),
)
MESSAGES = re.compile(
    r"TestAllTypes|google\.protobuf\.(?!Timestamp|Duration)|google\.protobuf\.\w+\s*\{|cel\.expr|GlobalEnum"
)
REFUSED = frozenset((Path(__file__).parent / "refused.txt").read_text().split("\n")) - {""}

DUMP = """
import(process.argv[1] + "/@bufbuild/cel-spec/dist/esm/testdata/conformance.js")
  .then(({tests}) => process.stdout.write(JSON.stringify(tests)))
"""


class Example(NamedTuple):
    """`container` is a namespace for names, `expected` the value; `fails` says that there must be none."""

    name: str
    source: str
    container: str
    bindings: dict[str, Any]
    expected: Any
    fails: bool


class NeedsMessages(Exception):
    """The example's values are protobuf messages."""


def read_value(message: dict[str, Any]) -> Any:
    """A cel.expr.Value, in protobuf's JSON, as we have it."""
    ((kind, value),) = message.items()
    match kind:
        case "int64Value":
            return int(value)
        case "uint64Value":
            return Uint(value)
        case "doubleValue":
            return float(value)
        case "boolValue" | "stringValue" | "nullValue":
            return value
        case "bytesValue":
            return base64.b64decode(value)
        case "typeValue":
            return CelType(value)
        case "listValue":
            return [read_value(member) for member in value.get("values", ())]
        case "mapValue":
            return {read_value(entry["key"]): read_value(entry["value"]) for entry in value.get("entries", ())}
        case "objectValue" if value["@type"].endswith("google.protobuf.Duration"):
            return parse_duration(value["value"])
        case "objectValue" if value["@type"].endswith("google.protobuf.Timestamp"):
            return parse_timestamp(value["value"])
    raise NeedsMessages(kind)


def examples() -> Iterator[Example]:
    packages = npm_packages("cel-spec", CEL_SPEC)
    suites = {suite["name"]: suite for suite in json.loads(run("node", "-e", DUMP, packages.resolve()))["suites"]}
    for file in FILES:
        for section in suites[file]["suites"]:
            for test in (each["original"] for each in section.get("tests", ())):
                if MESSAGES.search(test["expr"]):
                    continue
                try:
                    bindings = {name: read_value(found["value"]) for name, found in test.get("bindings", {}).items()}
                    expected = read_value(test.get("value", {"boolValue": True}))
                except NeedsMessages:
                    continue
                name = f"{file}/{section['name']}/{test['name']}"
                yield Example(name, test["expr"], test.get("container", ""), bindings, expected, "evalError" in test)


def outcome(example: Example) -> str:
    if example.container:
        with pytest.raises(TypeError, match="package"):
            Expression(cast(Any, SimpleNamespace(package=example.container)), parse(example.source))
        return "refused"
    try:
        expression = compile_rule(example.source, variables=dict.fromkeys(example.bindings))
    except CompileError:
        return "as expected" if example.fails else "refused"
    try:
        value = expression.evaluate(example.bindings)
    except EvaluationError:
        return "as expected" if example.fails else "without a value"
    if example.fails or not same(value, example.expected):
        return "wrong"
    return "as expected"


def same(value: Any, expected: Any) -> bool:
    if type(value) is float and type(expected) is float and math.isnan(expected):
        return math.isnan(value)
    return type(value) is type(expected) and equal([None, 10**6], value, expected)


def test_the_specifications_examples_come_out_as_it_says_or_are_refused_at_start() -> None:
    found = {example.name: outcome(example) for example in examples()}
    assert {name: result for name, result in found.items() if result not in ("as expected", "refused")} == {}
    assert {name for name, result in found.items() if result == "refused"} == REFUSED
    assert len(found) > 1000
    assert len(REFUSED) / len(found) < 0.05
