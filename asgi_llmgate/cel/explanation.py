"""Shows the value of each part of an expression, to explain why a rule denies.

It shows claims, so it is for an operator's terminal, never for a log or a response.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from asgi_llmgate.cel.errors import EvaluationError
from asgi_llmgate.cel.expression import Expression
from asgi_llmgate.cel.nodes import NOT_CONSTANT, Node


@dataclass(frozen=True, slots=True)
class Part:
    """One sub-expression: its text, its value or its error, and its own parts except literals."""

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
    """Evaluate every part by itself.  Of a macro the list or map is shown, not its body for each member."""
    return _explain_node(expression, expression.node, activation)


def _explain_node(expression: Expression, node: Node, activation: Mapping[str, Any]) -> Part:
    """Never raises: an error of a part is what is to be shown."""
    value, failure = None, ""
    try:
        value = node.run(expression.frame(activation))
    except EvaluationError as error:
        failure = str(error)
    except Exception as error:  # of a lazily computed variable
        failure = type(error).__name__
    parts = tuple(_explain_node(expression, part, activation) for part in node.parts if part.constant is NOT_CONSTANT)
    return Part(expression.source[slice(*node.span)], value, failure, parts)


def _shorten(text: str) -> str:
    return text if len(text) <= 120 else text[:119] + "…"
