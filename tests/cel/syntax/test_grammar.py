"""celpy's grammar as we rely on it, and that the host's own celpy is left alone."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import lark
import pytest
from celpy.celparser import CELParser

from asgi_llmgate.cel import CompileError
from asgi_llmgate.cel.syntax import grammar
from asgi_llmgate.cel.syntax.grammar import MAX_SOURCE, parse
from asgi_llmgate.cel.syntax.tree import unwrap


def shape(node: Any) -> Any:
    """The tree without the rules that say nothing: (rule, child, ...)."""
    if isinstance(node, lark.Token):
        return str(node.type)
    tree = unwrap(node)
    return (str(tree.data), *map(shape, tree.children))


ATOM = ("ident", "IDENT")
ONE = ("literal", "INT_LIT")

SHAPES = [
    ("a", ATOM),
    (".a", ("dot_ident", "IDENT")),
    ("(a)", ATOM),
    ("a || b || c", ("conditionalor", ("conditionalor", ATOM, ATOM), ATOM)),
    ("a && b", ("conditionaland", ATOM, ATOM)),
    ("a ? b : c", ("expr", ATOM, ATOM, ATOM)),
    ("a == 1", ("relation", ("relation_eq", ATOM), ONE)),
    ("a != 1", ("relation", ("relation_ne", ATOM), ONE)),
    ("a < 1", ("relation", ("relation_lt", ATOM), ONE)),
    ("a <= 1", ("relation", ("relation_le", ATOM), ONE)),
    ("a > 1", ("relation", ("relation_gt", ATOM), ONE)),
    ("a >= 1", ("relation", ("relation_ge", ATOM), ONE)),
    ("a in b", ("relation", ("relation_in", ATOM), ATOM)),
    ("a + 1", ("addition", ("addition_add", ATOM), ONE)),
    ("a -1", ("addition", ("addition_sub", ATOM), ONE)),
    ("a * 1", ("multiplication", ("multiplication_mul", ATOM), ONE)),
    ("a / 1", ("multiplication", ("multiplication_div", ATOM), ONE)),
    ("a % 1", ("multiplication", ("multiplication_mod", ATOM), ONE)),
    ("!a", ("unary", ("unary_not",), ATOM)),
    ("-a", ("unary", ("unary_neg",), ATOM)),
    ("a.b", ("member_dot", ATOM, "IDENT")),
    ("a.b(c)", ("member_dot_arg", ATOM, "IDENT", ("exprlist", ATOM))),
    ("a.b()", ("member_dot_arg", ATOM, "IDENT")),
    ("a[1]", ("member_index", ATOM, ONE)),
    ("a(1, b)", ("ident_arg", "IDENT", ("exprlist", ONE, ATOM))),
    (".a(b)", ("dot_ident_arg", "IDENT", ("exprlist", ATOM))),
    ("[1, a]", ("list_lit", ("exprlist", ONE, ATOM))),
    ("[]", ("list_lit",)),
    ("{a: 1}", ("map_lit", ("mapinits", ATOM, ONE))),
    ("A{b: 1}", ("member_object", ATOM, ("fieldinits", "IDENT", ONE))),
    ("true", ("literal", "BOOL_LIT")),
    ("trueish", ATOM),
    ("null", ("literal", "NULL_LIT")),
    ("nullable", ATOM),
    ("1u", ("literal", "UINT_LIT")),
    ("-1", ("literal", "INT_LIT")),
    ("1.5", ("literal", "FLOAT_LIT")),
    ("'a'", ("literal", "STRING_LIT")),
    ("'''a'''", ("literal", "MLSTRING_LIT")),
    ("b'a'", ("literal", "BYTES_LIT")),
]


@pytest.mark.parametrize(("source", "expected"), SHAPES, ids=[source for source, _ in SHAPES])
def test_the_tree_has_the_shape_that_the_compiler_relies_on(source: str, expected: Any) -> None:
    assert shape(parse(source)) == expected


@pytest.mark.parametrize(
    ("source", "place", "problem"),
    [
        ("a.?b", (1, 3), "has(a.b)"),
        ("a[?b]", (1, 3), "has(a.b)"),
        ("a.`b-c`", (1, 3), 'a["b"]'),
        ("a = 1", (1, 3), "'=='"),
        ("a and b", (1, 3), "'&&'"),
        ("a or b", (1, 3), "'||'"),
        ("a & b", (1, 3), "'&&'"),
        ("a ==", (1, 5), "ends too early"),
        ("", (1, 1), "ends too early"),
        ("a ==\n  $", (2, 3), "unexpected '$'"),
        ("a == 'b", (1, 6), "not closed"),
        ('a == "b\\"', (1, 6), "not closed"),
        ("a == '''b''", (1, 6), "not closed"),
        ("a == 'b\n'", (1, 6), "not closed"),
        (r'a == r"\"', (1, 8), "raw string"),
        ("a" * (MAX_SOURCE + 1), (1, 1), "longer than"),
    ],
)
def test_a_syntax_error_has_a_place_and_a_way_out(source: str, place: tuple[int, int], problem: str) -> None:
    with pytest.raises(CompileError) as raised:
        parse(source)
    assert raised.value.place == place
    assert problem in raised.value.problem


def test_an_unclosed_string_full_of_backslashes_is_refused_at_once() -> None:
    with pytest.raises(CompileError, match="not closed"):
        parse("jwt.x.matches('" + r"\\w" * 4000)


def test_comments_and_strings_may_hold_each_other() -> None:
    assert shape(parse("a // it's a comment\n == '// none'"))[0] == "relation"


def test_literals_are_told_from_names_as_celpy_does_it() -> None:
    words = ["true", "false", "null", "a", "truth", "TRUE", "in"]
    ours = [grammar._classify_identifier(lark.Token("IDENT", word)) for word in words]
    assert ours == words
    assert [token.type for token in ours] == [
        CELParser.ambiguous_literals(lark.Token("IDENT", word)).type for word in words
    ]


PROCESS = """
import sys, threading
sys.setrecursionlimit(10_000)
import celpy
{first}
{second}
assert sys.getrecursionlimit() == {limit}, sys.getrecursionlimit()
"""
OURS = (
    "from asgi_llmgate.cel import compile_rule;"
    "assert compile_rule('x == 1', variables=dict(x=None)).evaluate(dict(x=1)) is True"
)
REFERENCE = (
    "from asgi_llmgate.cel import ReferenceExpression;"
    "assert ReferenceExpression('x == 1', variables=dict(x=None)).evaluate(dict(x=1)) is True"
)
THEIRS = """
host = celpy.Environment(runner_class=celpy.CompiledRunner)
assert host.program(host.compile('1 + 1 == 2')).evaluate({})
"""


@pytest.mark.parametrize(
    ("first", "second", "limit"),
    [
        pytest.param(OURS, REFERENCE, 10_000, id="ours leaves the recursion limit"),
        pytest.param(OURS, THEIRS, 2500, id="the host's compiled runner after ours"),
        pytest.param(REFERENCE, THEIRS, 2500, id="the host's compiled runner after engine: celpy"),
        pytest.param(THEIRS, OURS, 2500, id="ours after the host's compiled runner"),
        pytest.param(THEIRS, REFERENCE, 2500, id="engine: celpy after the host's compiled runner"),
    ],
)
def test_the_host_may_use_celpy_too(first: str, second: str, limit: int) -> None:
    script = PROCESS.format(first=first, second=second, limit=limit)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_expression_is_a_runner_at_celpys_extension_point() -> None:
    script = """
import celpy
from asgi_llmgate.cel import Expression
host = celpy.Environment(runner_class=Expression)
assert host.program(host.compile('x.y in [1, 2]')).evaluate({'x': {'y': 2}}) is True
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
