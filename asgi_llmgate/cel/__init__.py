"""CEL, the Common Expression Language (https://cel.dev), for rules about requests and callers."""

from __future__ import annotations

from asgi_llmgate.cel.errors import BudgetExceeded, CompileError, EvaluationError
from asgi_llmgate.cel.expression import BUDGET, Expression, compile_rule
from asgi_llmgate.cel.nodes import Fields
from asgi_llmgate.cel.partial import PossibleResults, evaluate_partially, find_certain_error
from asgi_llmgate.cel.reference import ReferenceExpression
from asgi_llmgate.cel.runtime.values import Timestamp
from asgi_llmgate.cel.warnings import CompileWarning

__all__ = [
    "BUDGET",
    "BudgetExceeded",
    "CompileError",
    "CompileWarning",
    "EvaluationError",
    "Expression",
    "Fields",
    "PossibleResults",
    "ReferenceExpression",
    "Timestamp",
    "compile_rule",
    "evaluate_partially",
    "find_certain_error",
]
