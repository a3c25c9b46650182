"""CEL expressions of agentgateway with the names that variables have here.

Names are replaced in the syntax tree's places, so a text that looks like a variable stays as it is.  The table is in
docs/how-to/from-agentgateway.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import lark

from asgi_llmgate.cel import CompileError, compile_rule
from asgi_llmgate.cel.syntax.grammar import parse
from asgi_llmgate.rule_variables import CREDENTIALS, fields_of

RENAMED: Mapping[str, str] = MappingProxyType(
    {
        "json(request.body).model": "llm.requestModel",
        "json(request.body).max_tokens": "llm.maxTokens",
        "json(request.body).stream": "llm.streaming",
        "llmRequest.model": "llm.requestModel",
        "llmRequest.max_tokens": "llm.maxTokens",
        "llmRequest.stream": "llm.streaming",
        "llm.params.max_tokens": "llm.maxTokens",
        "request.startTime": "request.time",
        "request.start_time": "request.time",
        "request.uri": "request.path",
        "request.pathAndQuery": "request.path",
    }
)
"""What agentgateway calls it -> what it is here."""

_WITHOUT_QUERY = frozenset({"request.uri", "request.pathAndQuery"})


@dataclass(frozen=True, slots=True)
class Converted:
    """source   the expression for the settings
    changes  what differs from the original, in words
    problem  why it cannot be used here; "" if it can
    """

    source: str
    changes: tuple[str, ...] = ()
    problem: str = ""


def convert_expression(source: str) -> Converted:
    """The expression with this project's variables, compiled once to see whether it can be used."""
    source = source.strip()
    try:
        tree = parse(source)
    except CompileError as error:
        return Converted(source, problem=_one_line(error))
    places = sorted(_renames(tree, source), reverse=True)
    changes = []
    converted = source
    for start, end, name in places:
        converted = converted[:start] + RENAMED[name] + converted[end:]
        words = f"{name} is {RENAMED[name]} here"
        changes.append(f"{words}, without the query (request.query)" if name in _WITHOUT_QUERY else words)
    try:
        compile_rule(converted, variables=fields_of())
    except CompileError as error:
        return Converted(converted, tuple(changes), _one_line(error))
    problem = next((_unreadable(name) for name in sorted(_headers(converted)) if name in CREDENTIALS), "")
    return Converted(converted, tuple(dict.fromkeys(reversed(changes))), problem)


def _renames(tree: lark.Tree[lark.Token], source: str) -> Iterator[tuple[int, int, str]]:
    """Start, end and name of each variable that has another name here; the longest of those that begin together."""
    for node in tree.iter_subtrees():
        if node.data == "member_dot":
            name = _text(node, source)
            if name in RENAMED:
                yield node.meta.start_pos, node.meta.end_pos, name


def _headers(source: str) -> set[str]:
    """The names of headers that the expression reads as texts: `request.headers["x-team"]`."""
    return {
        _text(node.children[1], source).strip("\"'").lower()
        for node in parse(source).iter_subtrees()
        if node.data == "member_index" and _text(node.children[0], source).strip("()") == "request.headers"
    }


def _text(node: object, source: str) -> str:
    """The source of a tree, without white space.  Not a walk of the tree: it may be deeper than Python recurses."""
    assert isinstance(node, lark.Tree)
    return "".join(source[node.meta.start_pos : node.meta.end_pos].split())


def _unreadable(header: str) -> str:
    return f"the header {header} holds a credential, which no rule can read here; use the claims in jwt"


def _one_line(error: CompileError) -> str:
    line, column = error.place
    return f"{line}:{column}: {error.problem}"
