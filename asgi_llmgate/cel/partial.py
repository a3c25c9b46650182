"""What an expression can still come to while some of its variables are unknown (kind `unknown`).

An evaluation can only say that it does not know.  A decision wants more: `jwt.team == "x" && llm.model == "y"` is not
true of a caller without a team, whatever the model will be.  So the operators of logic are looked into, and each side
is tried by itself.  cel-go calls it partial evaluation: https://pkg.go.dev/github.com/google/cel-go/cel#PartialVars.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from asgi_llmgate.cel.errors import EvaluationError
from asgi_llmgate.cel.expression import Expression
from asgi_llmgate.cel.nodes import Node
from asgi_llmgate.cel.reference import ReferenceExpression

_NEITHER: frozenset[bool] = frozenset()
_EITHER = frozenset((True, False))
_LASTING = ("missing_key", "type", "value")
"""Errors that stay, whatever the unknown will be.  Not `budget`: to go on without what is unknown costs steps."""


class Possible(NamedTuple):
    """The bools that are possible; none where the result is certainly no bool.  `error` is one that stays."""

    values: frozenset[bool]
    error: EvaluationError | None = None


def possible(expression: Expression | ReferenceExpression, activation: Mapping[str, Any]) -> Possible:
    """What the expression can come to, over all that the unknown can be.

    Whatever it really comes to then is one of `values`, or an error.
    """
    if isinstance(expression, ReferenceExpression):
        return _tried(expression.evaluate, activation)
    return _of(expression, expression.node, activation)


def _of(expression: Expression, node: Node, activation: Mapping[str, Any]) -> Possible:
    if node.form not in _LOGIC:
        return _tried(node.run, expression.frame(activation))
    parts = [_of(expression, part, activation) for part in node.parts]
    error = next((part.error for part in parts if part.error is not None), None)
    return Possible(_LOGIC[node.form]([part.values for part in parts]), error)


def _tried(run: Any, variables: Any) -> Possible:
    try:
        value = run(variables)
    except EvaluationError as error:
        return Possible(_NEITHER, error) if error.kind in _LASTING else Possible(_EITHER)
    except Exception:
        return Possible(_EITHER)
    if value is True or value is False:
        return Possible(frozenset((value,)))
    return Possible(_NEITHER, EvaluationError("type", "the result is no bool"))


def _and(parts: Sequence[frozenset[bool]]) -> frozenset[bool]:
    return _bools(all(True in part for part in parts), any(False in part for part in parts))


def _or(parts: Sequence[frozenset[bool]]) -> frozenset[bool]:
    return _bools(any(True in part for part in parts), all(False in part for part in parts))


def _not(parts: Sequence[frozenset[bool]]) -> frozenset[bool]:
    return frozenset(not value for value in parts[0])


def _if(parts: Sequence[frozenset[bool]]) -> frozenset[bool]:
    condition, then, otherwise = parts
    return (then if True in condition else _NEITHER) | (otherwise if False in condition else _NEITHER)


def _bools(true: bool, false: bool) -> frozenset[bool]:
    return frozenset(value for value, there in ((True, true), (False, false)) if there)


_LOGIC = {"&&": _and, "||": _or, "!": _not, "?:": _if}
