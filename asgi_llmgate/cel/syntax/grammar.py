"""Parses source text to a syntax tree, with the grammar of celpy (cel-python).

`tests/cel/syntax/test_grammar.py` tests the shapes of the tree that compiler.py relies on, and compares this parser
with celpy's.
"""

from __future__ import annotations

import functools
import os
import re
from importlib.util import find_spec

import lark

from asgi_llmgate.cel.errors import CompileError, Place
from asgi_llmgate.cel.syntax.parse_table import Callbacks, read_parser

MAX_SOURCE = 16_384
"""Characters of one expression, as in agentgateway."""

# A comment, or the prefix and the quotes that open a string.
_STRING_START = re.compile(r"""//[^\n]*|([bB]?[rR]?)(\"\"\"|'''|"|')""")
# Opening quotes -> the rest of a string.  The possessive `*+` keeps the search linear.
_STRING_END = {
    '"': re.compile(r'(?:[^"\\\r\n]|\\[^\r\n])*+"'),
    "'": re.compile(r"(?:[^'\\\r\n]|\\[^\r\n])*+'"),
    '"""': re.compile(r'(?:[^"\\]|\\.|"(?!""))*+"""', re.S),
    "'''": re.compile(r"(?:[^'\\]|\\.|'(?!''))*+'''", re.S),
}
# What people write by mistake -> what CEL has in its place.
_COMMON_MISTAKES = {"=": "==", "&": "&&", "|": "||", "and": "&&", "or": "||", "not": "!"}


def parse(source: str) -> lark.Tree[lark.Token]:
    """The syntax tree.  Raises CompileError without the source line."""
    if len(source) > MAX_SOURCE:
        raise CompileError(f"longer than {MAX_SOURCE} characters", (1, 1))
    _check_strings(source)
    try:
        return _parser().parse(source)
    except lark.UnexpectedInput as error:
        raise _syntax_error(source, error) from None


@functools.cache
def _parser() -> lark.Lark:
    # Not celpy's own parser: there is one for the whole process, in the shape that the first runner asked for, and the
    # host may need another shape.
    grammar = read_grammar()
    return read_parser(grammar, _CALLBACKS) or make_parser(grammar)


def make_parser(grammar: str) -> lark.Lark:
    """The parser of a grammar, which lark computes."""
    return lark.Lark(
        grammar,
        parser="lalr",
        start="expr",
        g_regex_flags=re.M,
        lexer_callbacks=_CALLBACKS,
        propagate_positions=True,
        maybe_placeholders=False,
        priority="invert",
    )


def read_grammar() -> str:
    """The text of celpy's grammar."""
    # As a file: importlib.resources would import `celpy`, and with it 54 modules for celpy's own evaluation.
    found = find_spec("celpy")
    assert found is not None
    assert found.loader is not None
    folder = next(iter(found.submodule_search_locations or ()))
    data: bytes = found.loader.get_data(os.path.join(folder, "cel.lark"))  # type: ignore[attr-defined]
    return data.decode()


def _classify_identifier(token: lark.Token) -> lark.Token:
    """The token, with the type of a literal for `true` and `false` (celpy: CELParser.ambiguous_literals)."""
    kind = "BOOL_LIT" if token in ("true", "false") else token.type
    return lark.Token.new_borrow_pos(kind, str(token), token)


_CALLBACKS: Callbacks = {"IDENT": _classify_identifier}


def _check_strings(source: str) -> None:
    """Check that every string is closed, in linear time.  Raises CompileError."""
    # The grammar's regular expression for strings takes exponential time for one that is not closed and contains
    # backslashes, and it sees an escape in a raw string such as r"\\", where there is none.
    position = 0
    while opening := _STRING_START.search(source, position):
        position = opening.end()
        quote = opening[2]
        if quote is None:
            continue
        if "r" in opening[1].lower():
            end = source.find(quote, position)
            if end > 0 and source[end - 1] == "\\":
                raise CompileError("a raw string cannot have a backslash before a quote", place_in(source, end - 1))
            position = end + len(quote)
        else:
            closing = _STRING_END[quote].match(source, position)
            end = position = closing.end() if closing else -1
        if end < 0:
            raise CompileError("the string is not closed", place_in(source, opening.start()))


def _syntax_error(source: str, error: lark.UnexpectedInput) -> CompileError:
    position: int | None = getattr(error, "pos_in_stream", None)
    if position is None or (isinstance(error, lark.UnexpectedToken) and error.token.type == "$END"):
        return CompileError("the expression ends too early", place_in(source, len(source.rstrip())))
    word = re.compile(r"\w+|.", re.S).match(source, position)
    text = word[0] if word else ""
    before = source[:position].rstrip()[-1:]
    if text == "?" and before in (".", "["):
        problem = "optional syntax is not available; test with has() first, as in has(a.b) && a.b == 1"
    elif text == "`":
        problem = 'quoted names are not available; write a["b"] for a.`b`'
    elif text in _COMMON_MISTAKES:
        problem = f"unexpected {text!r}, did you mean {_COMMON_MISTAKES[text]!r}?"
    else:
        problem = f"unexpected {text!r}"
    return CompileError(problem, place_in(source, position))


def place_in(source: str, position: int) -> Place:
    """Line and column, both from 1, of a position in the source."""
    return source.count("\n", 0, position) + 1, position - source.rfind("\n", 0, position)
