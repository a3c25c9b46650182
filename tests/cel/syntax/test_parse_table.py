from __future__ import annotations

import json

import pytest

from asgi_llmgate.cel.syntax import grammar, parse_table
from tests.cel.syntax.parse_table import PATH, make_table
from tests.cel.syntax.test_grammar import SHAPES


def test_the_table_in_the_package_is_the_one_of_celpys_grammar() -> None:
    """After an update of celpy or lark: `python -m tests.cel.syntax.parse_table`."""
    packaged, made = json.loads(PATH.read_text()), make_table()
    for table in (packaged, made):
        assert len(table["data"]["parser"].pop("parser")["states"]) > 100  # numbered by chance
    assert packaged == made


def test_the_parser_of_the_table_parses_as_the_one_that_lark_makes() -> None:
    text = grammar.read_grammar()
    read, made = parse_table.read_parser(text, grammar._CALLBACKS), grammar.make_parser(text)
    assert read is not None
    for source, _ in SHAPES:
        assert read.parse(source) == made.parse(source)
    tree = read.parse("a ||\n true")
    assert (tree.meta.line, tree.meta.end_line) == (1, 2)
    assert [token.type for token in tree.scan_values(lambda token: True)] == ["IDENT", "BOOL_LIT"]


@pytest.mark.parametrize("other", ["grammar", "lark"])
def test_of_another_grammar_or_lark_no_table_is_used(other: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = grammar.read_grammar()
    if other == "lark":
        monkeypatch.setattr("lark.__version__", "9.9")
    else:
        text += "\n"
    assert parse_table.read_parser(text, grammar._CALLBACKS) is None
    grammar._parser.cache_clear()
    monkeypatch.setattr(grammar, "read_grammar", lambda: text)
    try:
        assert grammar.parse("a").data == "expr"
    finally:
        grammar._parser.cache_clear()
