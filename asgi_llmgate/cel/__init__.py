"""CEL, the Common Expression Language, for rules over what a request is and who sends it."""

from __future__ import annotations

from asgi_llmgate.cel.cautions import Caution
from asgi_llmgate.cel.explain import Part, explain
from asgi_llmgate.cel.faults import BudgetExceeded, CompileError, EvaluationError
from asgi_llmgate.cel.nodes import Fields
from asgi_llmgate.cel.partial import Possible, possible
from asgi_llmgate.cel.reference import ReferenceExpression
from asgi_llmgate.cel.runner import BUDGET, Expression, compile_rule
from asgi_llmgate.cel.values import Timestamp

__all__ = [
    "BUDGET",
    "BudgetExceeded",
    "Caution",
    "CompileError",
    "EvaluationError",
    "Expression",
    "Fields",
    "Part",
    "Possible",
    "ReferenceExpression",
    "Timestamp",
    "compile_rule",
    "explain",
    "possible",
]
