"""What each part of an expression comes to: for people who wonder why a rule says no.

Shows values, so it is for the command line of an operator who holds the claims anyway, never for a log or an answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from asgi_llmgate.cel.errors import EvaluationError
from asgi_llmgate.cel.expression import Expression
from asgi_llmgate.cel.nodes import ABSENT, Node


@dataclass(frozen=True, slots=True)
class Part:
    """One sub-expression: its text, its value or what went wrong, and the parts of it that are no literals."""

    text: str
    value: Any
    error: str
    parts: tuple[Part, ...]

    def lines(self, depth: int = 0) -> Iterator[str]:
        """The tree as text, an indented line for each part."""
        shown = f"error: {self.error}" if self.error else _shorten(repr(self.value))
        yield f"{'  ' * depth}{_shorten(' '.join(self.text.split()))}  ->  {shown}"
        for part in self.parts:
            yield from part.lines(depth + 1)


def explain(expression: Expression, activation: Mapping[str, Any]) -> Part:
    """Evaluate every part by itself.  What a macro does per member is not shown, only what it walks over."""
    return _part(expression, expression.node, activation)


def _part(expression: Expression, node: Node, activation: Mapping[str, Any]) -> Part:
    value, failure = None, ""
    try:
        value = node.run(expression.frame(activation))
    except EvaluationError as error:
        failure = str(error)
    except Exception as error:
        failure = type(error).__name__
    parts = tuple(_part(expression, part, activation) for part in node.parts if part.constant is ABSENT)
    return Part(expression.source[slice(*node.span)], value, failure, parts)


def _shorten(text: str) -> str:
    return text if len(text) <= 120 else text[:119] + "…"
