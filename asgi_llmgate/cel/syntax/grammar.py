"""Source text to syntax tree: cel-python's grammar, in a parser of our own.

The grammar is read as a file, and the package `celpy` is not imported: that would load 54 modules more (pendulum and
dateutil for its own evaluation), and its parser is one for the whole process, shaped for whichever runner came first,
which the host may need in another shape.  `tests/cel/syntax/test_grammar.py` pins the shapes of the tree that
`compiler.py` relies on, and compares this parser with celpy's.
"""

from __future__ import annotations

import functools
import os
import re
from importlib.util import find_spec

import lark

from asgi_llmgate.cel.errors import CompileError, Place

MAX_SOURCE = 16_384
"""Characters of one expression; agentgateway's own limit."""

_OPENING = re.compile(r"""//[^\n]*|([bB]?[rR]?)(\"\"\"|'''|"|')""")
_COOKED = {
    '"': re.compile(r'(?:[^"\\\r\n]|\\[^\r\n])*+"'),
    "'": re.compile(r"(?:[^'\\\r\n]|\\[^\r\n])*+'"),
    '"""': re.compile(r'(?:[^"\\]|\\.|"(?!""))*+"""', re.S),
    "'''": re.compile(r"(?:[^'\\]|\\.|'(?!''))*+'''", re.S),
}
_SLIPS = {"=": "==", "&": "&&", "|": "||", "and": "&&", "or": "||", "not": "!"}


def parse(source: str) -> lark.Tree[lark.Token]:
    """The syntax tree.  Raises CompileError."""
    if len(source) > MAX_SOURCE:
        raise CompileError(f"longer than {MAX_SOURCE} characters", (1, 1))
    _check_strings(source)
    try:
        return _parser().parse(source)
    except lark.UnexpectedInput as error:
        raise _syntax_error(source, error) from None


@functools.cache
def _parser() -> lark.Lark:
    return lark.Lark(
        _read_grammar(),
        parser="lalr",
        start="expr",
        g_regex_flags=re.M,
        lexer_callbacks={"IDENT": _word},
        propagate_positions=True,
        maybe_placeholders=False,
        priority="invert",
    )


def _read_grammar() -> str:
    # importlib.resources would import the package.
    found = find_spec("celpy")
    assert found is not None
    assert found.loader is not None
    folder = next(iter(found.submodule_search_locations or ()))
    data: bytes = found.loader.get_data(os.path.join(folder, "cel.lark"))  # type: ignore[attr-defined]
    return data.decode()


def _word(token: lark.Token) -> lark.Token:
    """`true` and `false` are literals and not names, as in celpy.celparser.CELParser.ambiguous_literals."""
    kind = "BOOL_LIT" if token in ("true", "false") else token.type
    return lark.Token.new_borrow_pos(kind, str(token), token)


def _check_strings(source: str) -> None:
    """Find each string's end as the specification has it, in linear time.

    The grammar's own expression for strings takes exponential time over an unterminated one with backslashes in it, and
    sees an escape in `r"\\"` where there is none.
    """
    position = 0
    while opening := _OPENING.search(source, position):
        position = opening.end()
        quote = opening[2]
        if quote is None:
            continue
        if "r" in opening[1].lower():
            end = source.find(quote, position)
            if end > 0 and source[end - 1] == "\\":
                raise CompileError("a raw string cannot have a backslash before a quote", place_of(source, end - 1))
            position = end + len(quote)
        else:
            closing = _COOKED[quote].match(source, position)
            end = position = closing.end() if closing else -1
        if end < 0:
            raise CompileError("the string is not closed", place_of(source, opening.start()))


def _syntax_error(source: str, error: lark.UnexpectedInput) -> CompileError:
    position: int | None = getattr(error, "pos_in_stream", None)
    if position is None or (isinstance(error, lark.UnexpectedToken) and error.token.type == "$END"):
        return CompileError("the expression ends too early", place_of(source, len(source.rstrip())))
    word = re.compile(r"\w+|.", re.S).match(source, position)
    text = word[0] if word else ""
    before = source[:position].rstrip()[-1:]
    if text == "?" and before in (".", "["):
        problem = "optional syntax is not available: test with has(a.b) first, as in has(a.b) && a.b == 1"
    elif text == "`":
        problem = 'quoted names are not available: write a["b"] for a.`b`'
    elif text in _SLIPS:
        problem = f"unexpected {text!r}, did you mean {_SLIPS[text]!r}?"
    else:
        problem = f"unexpected {text!r}"
    return CompileError(problem, place_of(source, position))


def place_of(source: str, position: int) -> Place:
    """Line and column, both from 1, of a position in the source."""
    return source.count("\n", 0, position) + 1, position - source.rfind("\n", 0, position)
