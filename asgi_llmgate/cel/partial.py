"""Partial evaluation: the results that an expression can have while some of its variables are unknown.

For example, `jwt.team == "x" && llm.model == "y"` is false for a caller of another team, whatever the model will be.
An ordinary evaluation would only raise the error `unknown`.  So each side of a logical operator is evaluated by itself.
cel-go has the same: https://pkg.go.dev/github.com/google/cel-go/cel#PartialVars
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from asgi_llmgate.cel.errors import EvaluationError
from asgi_llmgate.cel.expression import Expression
from asgi_llmgate.cel.nodes import Node
from asgi_llmgate.cel.reference import ReferenceExpression

_NO_BOOL: frozenset[bool] = frozenset()
_ANY_BOOL = frozenset((True, False))
_ONLY: Mapping[bool, frozenset[bool]] = {value: frozenset((value,)) for value in (True, False)}
_PERMANENT_ERRORS = ("missing_key", "type", "value")
"""Errors that an evaluation with all variables has as well."""
# Not `budget`: an evaluation that absorbs the error `unknown` may need more steps than one with all variables.


class PossibleResults(NamedTuple):
    """The bools that are possible; none when the result is certainly not a bool.

    `error` is an error that the evaluation with all variables has as well.
    """

    values: frozenset[bool]
    error: EvaluationError | None = None


def evaluate_partially(expression: Expression | ReferenceExpression, activation: Mapping[str, Any]) -> PossibleResults:
    """The results that the expression can have, over all values of the unknown variables.

    The result with all variables is then one of `values`, or an error.
    """
    if isinstance(expression, ReferenceExpression):
        return _evaluate(expression.evaluate, activation)
    return _evaluate_node(expression, expression.node, activation)


def find_certain_error(expression: Expression | ReferenceExpression) -> EvaluationError | None:
    """The error of a condition that is true or false for no values of its variables, such as `"x"`; else None."""
    result = evaluate_partially(expression, _AllUnknown())
    return None if result.values else result.error


class _AllUnknown(dict[str, Any]):
    """Variables without values."""

    def __missing__(self, name: str) -> Any:
        raise EvaluationError("unknown", f"{name} is not known here", missing=name)


def _evaluate_node(expression: Expression, node: Node, activation: Mapping[str, Any]) -> PossibleResults:
    if node.form not in _LOGIC:
        return _evaluate(node.run, expression.frame(activation))
    parts = [_evaluate_node(expression, part, activation) for part in node.parts]
    error = next((part.error for part in parts if part.error is not None), None)
    return PossibleResults(_LOGIC[node.form]([part.values for part in parts]), error)


def _evaluate(run: Any, variables: Any) -> PossibleResults:
    try:
        value = run(variables)
    except EvaluationError as error:
        return PossibleResults(_NO_BOOL, error) if error.kind in _PERMANENT_ERRORS else PossibleResults(_ANY_BOOL)
    except Exception:  # of a lazily computed variable; with all variables it may not happen
        return PossibleResults(_ANY_BOOL)
    if value is True or value is False:
        return PossibleResults(_ONLY[value])
    return PossibleResults(_NO_BOOL, EvaluationError("type", "the result is not a bool"))


def _and(parts: Sequence[frozenset[bool]]) -> frozenset[bool]:
    return _bools(all(True in part for part in parts), any(False in part for part in parts))


def _or(parts: Sequence[frozenset[bool]]) -> frozenset[bool]:
    return _bools(any(True in part for part in parts), all(False in part for part in parts))


def _not(parts: Sequence[frozenset[bool]]) -> frozenset[bool]:
    return frozenset(not value for value in parts[0])


def _conditional(parts: Sequence[frozenset[bool]]) -> frozenset[bool]:
    condition, then, otherwise = parts
    return (then if True in condition else _NO_BOOL) | (otherwise if False in condition else _NO_BOOL)


def _bools(true: bool, false: bool) -> frozenset[bool]:
    """The set of those bools that are possible."""
    return (_ONLY[True] if true else _NO_BOOL) | (_ONLY[False] if false else _NO_BOOL)


# Logical operator -> the possible results for those of its parts.
_LOGIC = {"&&": _and, "||": _or, "!": _not, "?:": _conditional}
