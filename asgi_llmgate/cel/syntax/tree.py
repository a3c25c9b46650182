"""Reading lark's tree: children by kind, places, and the rules that say nothing.

Only `data`, `children` and `meta` are used: they are the same in every tree class that celpy makes lark use.
"""

from __future__ import annotations

from typing import Any

import lark

from asgi_llmgate.cel.errors import Place

Tree = lark.Tree[lark.Token]

_WRAPPERS = frozenset(
    {"expr", "conditionalor", "conditionaland", "relation", "addition", "multiplication", "unary", "member", "primary"}
    | {"paren_expr"}
)


def unwrap(tree: Tree) -> Tree:
    while tree.data in _WRAPPERS and len(tree.children) == 1:
        tree = tree_at(tree.children[0])
    return tree


def arguments_of(rest: list[Any]) -> list[Tree]:
    """The expressions of an optional `exprlist` or `mapinits`."""
    return trees(tree_at(rest[0])) if rest else []


def trees(tree: Tree) -> list[Tree]:
    return [tree_at(child) for child in tree.children]


def tree_at(child: Any) -> Tree:
    return child  # type: ignore[no-any-return]


def token_at(child: Any) -> lark.Token:
    return child  # type: ignore[no-any-return]


def place_of(tree: Tree) -> Place:
    return tree.meta.line, tree.meta.column


def end_place(tree: Tree, symbol: str) -> Place:
    """Where an infix operator stands: it ends the tree of its left side (`relation "=="`)."""
    return tree.meta.end_line, tree.meta.end_column - len(symbol)


def token_place(token: lark.Token) -> Place:
    return token.line or 1, token.column or 1
