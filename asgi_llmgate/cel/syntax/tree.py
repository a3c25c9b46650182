"""Reads lark's trees: children, places, and the rules that can be skipped."""
# Only `data`, `children` and `meta` are used: they are the same in every tree class that celpy configures lark with.

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
    """The tree without the rules around it that have only this child, and without parentheses."""
    while tree.data in _WRAPPERS and len(tree.children) == 1:
        tree = as_tree(tree.children[0])
    return tree


def arguments_of(rest: list[Any]) -> list[Tree]:
    """The expressions of an optional `exprlist` or `mapinits`."""
    return trees(as_tree(rest[0])) if rest else []


def trees(tree: Tree) -> list[Tree]:
    return [as_tree(child) for child in tree.children]


def as_tree(child: Any) -> Tree:
    """The child, which is known to be a tree: a cast for the type checker."""
    return child  # type: ignore[no-any-return]


def as_token(child: Any) -> lark.Token:
    """The child, which is known to be a token: a cast for the type checker."""
    return child  # type: ignore[no-any-return]


def place_of(tree: Tree) -> Place:
    return tree.meta.line, tree.meta.column


def operator_place(tree: Tree, symbol: str) -> Place:
    """The place of a binary operator; in the grammar it is the end of the tree of its left side (`relation "=="`)."""
    return tree.meta.end_line, tree.meta.end_column - len(symbol)


def token_place(token: lark.Token) -> Place:
    return token.line or 1, token.column or 1
