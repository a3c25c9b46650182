"""The language, as a table: https://github.com/google/cel-spec/blob/master/doc/langdef.md"""

from __future__ import annotations

import math
from typing import Any

import pytest

from asgi_llmgate.cel import CompileError, EvaluationError
from asgi_llmgate.cel.runtime.values import Uint

TRUE = [
    # comparison across numeric types
    "1 == 1.0",
    "1u == 1",
    "1 < 1.5 && 1.5 < 2u && 2 >= 2u",
    "[1, 2u, 3.0] == [1.0, 2, 3u]",
    "1.0 in [1] && 2u in {2: 'x'}",
    "!(1 == true) && !('1' == 1) && !(null == false)",
    "[] != {} && null == null",
    "{'a': 1, 'b': [2]} == {'b': [2.0], 'a': 1u}",
    "'a' < 'b' && false < true && b'a' < b'b'",
    "9007199254740993 > 9007199254740992",
    "0.0 / 0.0 != 0.0 / 0.0",
    # arithmetic
    "7 / 2 == 3 && -7 / 2 == -3 && 7 / -2 == -3",
    "7 % 3 == 1 && -7 % 3 == -1 && 7 % -3 == 1",
    "7u / 2u == 3u && 7u % 4u == 3u",
    "1.0 / 0.0 > 1.0 && -1.0 / 0.0 < 1.0",
    "-9223372036854775808 < 0 && 0x10 == 16 && 1e3 == 1000.0",
    "1 - -1 == 2 && 2 * 3 + 4 == 10 && -(3) == -3",
    "'a' + 'b' == 'ab' && b'a' + b'b' == b'ab' && [1] + [2] == [1, 2]",
    # logic and its errors
    "true || jwt.missing == 1",
    "jwt.missing == 1 || true",
    "!(false && jwt.missing == 1)",
    "!(jwt.missing == 1 && false)",
    "'text' || true",
    "true ? true : jwt.missing",
    "[1, 0].exists(i, 1 / i == 1)",
    "[0, 1].exists(i, 1 / i == 1)",
    "!([0, 2].all(i, 1 / i == 1))",
    # strings
    r"'\x41\u0042\U00000043\104' == 'ABCD' && '\n\t\"\'\\' != ''",
    r"r'\n' == '\\n' && R'''a'b''' == 'a\'b'",
    r"b'\xff\377' == b'\377\xff' && b'ÿ' == b'\303\277' && size(b'ÿ') == 2",
    "'''a\nb''' == 'a\\nb'",
    "size('🐱🐱') == 2 && 'abc'.size() == 3",
    "'data-platform'.startsWith('data-') && 'x.py'.endsWith('.py') && 'abc'.contains('b')",
    "'abc'.matches('b') && matches('abc', '^a.c$') && !'abc'.matches('^b')",
    "'ÄBC'.lowerAscii() == 'Äbc' && 'äbc'.upperAscii() == 'äBC'",
    "' a '.trim() == 'a'",
    "'a,b,c'.split(',') == ['a', 'b', 'c'] && 'a,b,c'.split(',', 2) == ['a', 'b,c'] && 'a'.split(',', 0) == []",
    "'abc'.split('') == ['a', 'b', 'c'] && 'abc'.split('', 2) == ['a', 'bc']",
    "['a', 'b'].join('-') == 'a-b' && ['a', 'b'].join() == 'ab' && [].join('-') == ''",
    "'aaa'.replace('a', 'b') == 'bbb' && 'aaa'.replace('a', 'b', 2) == 'bba' && 'aaa'.replace('a', 'b', 0) == 'aaa'",
    "['a', 'b'].contains('a') && ![1].contains(true)",
    # lists, maps, macros
    "[1, 2, 3][1] == 2 && [1][0.0] == 1 && {'a': 1}.a == 1 && {'a': 1}['a'] == 1 && {1: 'x'}[1u] == 'x'",
    "[1, 2].all(i, i > 0) && [1, 2].exists_one(i, i > 1) && [1, 2].existsOne(i, i == 1)",
    "[1, 2, 3].filter(i, i > 1) == [2, 3] && [1, 2].map(i, i * 2) == [2, 4] && [1, 2].map(i, i > 1, i * 2) == [4]",
    "{'a': 1, 'b': 2}.exists(k, k == 'b') && {'a': 1}.map(k, k) == ['a']",
    "[].all(i, i == 1) && ![].exists(i, i == 1)",
    "[[1, 2], [3]].exists(outer, outer.exists(i, i == 3) && size(outer) == 1)",
    "[1].exists(i, [2].exists(i, i == 2) && i == 1)",
    "has({'a': 1}.a) && !has({'a': 1}.b)",
    "!(true in {1: 2}) && !(false in {})",
    # conversions and types
    "int('-7') == -7 && int(7.9) == 7 && int(-7.9) == -7 && int(7u) == 7",
    "uint(7) == 7u && uint('7') == 7u && double('1.5') == 1.5 && double(1) == 1.0",
    "string(1) == '1' && string(1.5) == '1.5' && string(true) == 'true' && string(b'a') == 'a' && bytes('a') == b'a'",
    "bool('true') && !bool('0')",
    "type(1) == int && type(1u) == uint && type('') == string && type([]) == list && type({}) == map",
    "type(null) == null_type && type(type(1)) == type && type(timestamp(0)) == google.protobuf.Timestamp",
    "dyn(1) == 1",
    # time
    "timestamp('2026-01-02T03:04:05.5Z') == timestamp('2026-01-02T05:04:05.500+02:00')",
    "timestamp(0) + duration('1h30m') == timestamp('1970-01-01T01:30:00Z')",
    "timestamp(90) - timestamp(0) == duration('1m30s') && timestamp(90) - duration('90s') == timestamp(0)",
    "duration('1.5s') == duration('1500ms') && duration('-1us') < duration('0') && duration('1ns') > duration('0s')",
    "string(duration('90m')) == '5400s' && string(duration('-1500ms')) == '-1.5s'",
    "string(timestamp('0001-01-01T00:00:00Z')) == '0001-01-01T00:00:00Z' && int(timestamp(7)) == 7",
    "timestamp('2026-02-28T23:30:00Z').getDayOfMonth('Europe/Berlin') == 0",
    "timestamp('2026-11-22T12:00:00Z').getDayOfWeek() == 0 && timestamp(0).getHours('+05:30') == 5",
    "timestamp('2026-11-22T12:13:14.015Z').getMilliseconds() == 15 && duration('3h').getMinutes() == 180",
    # names
    "jwt['team'] == jwt.team && .jwt.team == 'data' && ['x'].exists(jwt, .jwt.team == 'data' && jwt == 'x')",
]


@pytest.mark.parametrize("source", TRUE)
def test_the_expression_is_true(evaluate: Any, source: str) -> None:
    assert evaluate(source, jwt={"team": "data"}) is True


ERRORS = [
    "9223372036854775807 + 1",
    "-9223372036854775808 - 1",
    "9223372036854775807 * 2",
    "-(-9223372036854775807 - 1)",
    "(-9223372036854775807 - 1) / -1",
    "1 / 0",
    "1 % 0",
    "0u - 1u",
    "1 + 1u",
    "1 + 1.0",
    "1.0 % 1.0",
    "-1u",
    "-'a'",
    "'a' + 1",
    "1 < 'a'",
    "[1] < [2]",
    "null < null",
    "!1",
    "1 ? true : false",
    "jwt.missing == 1 && true",
    "false || jwt.missing == 1",
    "false || 'text'",
    "[0].exists(i, 1 / i == 1)",
    "[0, 1].exists_one(i, 1 / i == 1)",
    "[1].filter(i, i)",
    "'abc'.exists(c, c == 'a')",
    "5.map(i, i)",
    "'a' in 'abc'",
    "'a' in null",
    "[1][1]",
    "[1][-1]",
    "[1][0.5]",
    "[1]['a']",
    "{'a': 1}['b']",
    "{'a': 1}.b",
    "{'a': 1, 'a': 2}",
    "{1: 1, 1u: 2}",
    "{1.0: 1}",
    "{null: 1}",
    "{true: 1}",
    "{1: 2}[true]",
    "null in {}",
    "[1] in {1: 2}",
    "'a'.b",
    "size(1)",
    "size(null)",
    "['a', 1].join()",
    "int('1.5')",
    "int(' 1')",
    "int('')",
    "int(1e19)",
    "int(0.0 / 0.0)",
    "int(true)",
    "uint(-1)",
    "double('1_0')",
    "string(b'\\xff')",
    "string([1])",
    "bool('TrUe')",
    "timestamp('2026-01-01')",
    "timestamp('2026-13-01T00:00:00Z')",
    "timestamp('0000-01-01T00:00:00Z')",
    "timestamp(253402300800)",
    "timestamp('9999-12-31T23:59:59Z') + duration('1s')",
    "duration('320000000000s')",
    "duration('')",
    "duration('1')",
    "duration('1h1')",
    "duration('--1s')",
    "timestamp(0) + timestamp(0)",
    "timestamp(0).getHours() + duration('1h')",
    "x == 1",
]


@pytest.mark.parametrize("source", ERRORS)
def test_the_expression_has_no_value(evaluate: Any, source: str) -> None:
    with pytest.raises((EvaluationError, CompileError)):
        evaluate(source, jwt={})


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("1u", Uint(1)),
        ("[1, 'a', null, true]", [1, "a", None, True]),
        ("{'a': 1.5}", {"a": 1.5}),
        ("b'a'", b"a"),
        ("jwt.groups", ["x"]),
        ("1.0 / 0.0", math.inf),
        ("true && 'text' == 'text'", True),
    ],
)
def test_the_value_is_plain(evaluate: Any, source: str, value: Any) -> None:
    found = evaluate(source, jwt={"groups": ["x"]})
    assert found == value
    assert type(found) is type(value)


MISTAKES = [
    ("jtw.team == 'x'", (1, 1), "unknown variable 'jtw', did you mean 'jwt'?"),
    ("jwt.team == 'x' &&\n  jtw.org == 'y'", (2, 3), "unknown variable 'jtw'"),
    ("llm.Model == 'x'", (1, 5), "'llm' has no field 'Model', did you mean 'model'?"),
    ("has(llm.modle)", (1, 9), "did you mean 'model'?"),
    ("llm['modle'] == 'x'", (1, 5), "did you mean 'model'?"),
    ("llm == jwt", (1, 1), "'llm' is not a value; name one of its fields: model"),
    ("llm[jwt.x] == 'y'", (1, 5), "name one of them"),
    ("llm.exists(k, k == 'x')", (1, 1), "is not a value"),
    ("jwt.team.lower() == 'x'", (1, 10), "unknown function 'lower', did you mean 'lowerAscii'?"),
    ("startsWith(jwt.team, 'x')", (1, 1), "called as x.startsWith(...)"),
    ("jwt.team.int() == 1", (1, 10), "called as int(x)"),
    ("jwt.team.startsWith() ", (1, 10), "does not take 0 arguments"),
    ("size(1, 2)", (1, 1), "does not take 2 arguments"),
    ("jwt.groups.exists(g == 'x')", (1, 12), "takes a variable and an expression"),
    ("jwt.groups.exists(g.h, true)", (1, 12), "takes a variable and an expression"),
    ("jwt.groups.exists(for, true)", (1, 19), "reserved word"),
    ("has(jwt)", (1, 1), "one selection"),
    ("has(jwt['a'])", (1, 1), "one selection"),
    ("'x' in 'xyz'", (1, 5), "contains()"),
    ("jwt.x.matches('(')", (1, 15), "bad regular expression"),
    ("jwt.x.matches(jwt.y)", (1, 15), "string literal"),
    ("timestamp(0).getHours('Mars/Olympus')", (1, 23), "unknown time zone"),
    ("9223372036854775808 == 1", (1, 1), "into a 64-bit integer"),
    ("18446744073709551616u == 1u", (1, 1), "unsigned 64-bit"),
    (r"'\q' == ''", (1, 1), "unknown escape"),
    (r"'\ud800' == ''", (1, 1), "not a character"),
    (r"b'\u0041' == b''", (1, 1), "a bytes literal cannot have an escape"),
    ("Message{a: 1}", (1, 1), "messages"),
    ("google.protobuf.Nothing == 1", (1, 1), "unknown variable 'google'"),
    ("{'a': 1, true: 2}.a == 1", (1, 10), "a string or a whole number"),
    ("{1.5: 2} == {}", (1, 2), "a string or a whole number"),
    ("jwt.x.matches(true)", (1, 15), "string literal"),
]


@pytest.mark.parametrize(("source", "place", "problem"), MISTAKES, ids=[source for source, _, _ in MISTAKES])
def test_a_mistake_is_shown_with_its_place(rule: Any, source: str, place: tuple[int, int], problem: str) -> None:
    with pytest.raises(CompileError) as raised:
        rule(source)
    assert problem in raised.value.problem
    assert raised.value.place == place


def test_a_claim_may_have_any_name(evaluate: Any) -> None:
    assert evaluate("has(jwt.taem)", jwt={"team": "x"}) is False


def test_the_message_has_a_caret_under_the_mistake(rule: Any) -> None:
    with pytest.raises(CompileError) as raised:
        rule('jwt.org == "acme" &&\n  jtw.team == "x"')
    assert str(raised.value) == (
        "2:3: unknown variable 'jtw', did you mean 'jwt'?\n"
        '      jtw.team == "x"\n'
        "      ^"
    )  # fmt: skip


@pytest.mark.parametrize("before", [0, 10, 60, 61, 62, 8000])
def test_the_caret_is_under_the_mistake_in_a_long_line_too(rule: Any, before: int) -> None:
    source = f"'{'x' * before}' == jtw.team || jwt.team == '{'y' * 8000}'"
    with pytest.raises(CompileError) as raised:
        rule(source)
    _, shown, caret = str(raised.value).split("\n")
    assert shown[caret.index("^") :].startswith("jtw.team")
    assert len(shown) < 140


@pytest.mark.parametrize(
    ("source", "references"),
    [
        ("jwt.team == 'x'", {"jwt.team"}),
        ("llm.model in jwt.llms.openai", {"llm.model", "jwt.llms.openai"}),
        ("jwt['a'].b == 1 && jwt.groups[0] == 'x'", {"jwt.a.b", "jwt.groups"}),
        ("has(jwt.a.b)", {"jwt.a.b"}),
        ("jwt.groups.exists(g, g == jwt.team)", {"jwt.groups", "jwt.team"}),
        ("jwt == x", {"jwt", "x"}),
        ("request.headers['x-team'] == 'a'", {"request.headers.x-team"}),
        ("jwt[x.y] == 1", {"jwt", "x.y"}),
        ("['a'].exists(jwt, jwt == 'a')", set()),
    ],
)
def test_what_an_expression_reads_is_known(rule: Any, source: str, references: set[str]) -> None:
    assert rule(source).references == references


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("jwt.team == 'x'", []),
        ("jwt.team != 'x'", ["'!='"]),
        ("!has(jwt.blocked)", ["'has'"]),
        ("!(jwt.team in ['x'])", ["'in'"]),
        ("!jwt.groups.exists(g, g == 'x')", ["'exists'"]),
        ("!(jwt.a == 1)", []),
        ("jwt.x.matches('acme')", ["'matches'"]),
        ("jwt.x.matches('^acme')", ["'matches'"]),
        ("jwt.x.matches('(?i)^acme$')", []),
        ("!jwt.x.matches('a') && jwt.y != 1", ["'matches' finds", "'matches'", "'!='"]),
    ],
)
def test_what_means_less_than_it_seems_is_said(rule: Any, source: str, said: list[str]) -> None:
    texts = [warning.text for warning in rule(source).warnings]
    assert len(texts) == len(said)
    for text, part in zip(texts, said, strict=True):
        assert part in text
