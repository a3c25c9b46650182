"""CEL outside of rules: which row of the model table counts, and what else a usage record holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from asgi_llmgate.cel import EvaluationError, compile_rule
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.rule_variables import LIST_CLAIMS, RuleVariables, fields_of


def condition(source: str) -> Callable[[Mapping[str, Any]], bool | None]:
    """A test over the rule variables for a row of the model table: true only where the expression is exactly true.

    None where it reads what only a call says, and there is none.  The target is not chosen yet, so `llm.model`,
    `llm.provider` and `llm.backend` are unknown names.  Raises SettingsError with a caret.
    """
    expression = compile_rule(source, variables=fields_of(candidate=False))

    def holds(facts: Mapping[str, Any]) -> bool | None:
        try:
            return expression.evaluate(facts) is True
        except EvaluationError as error:
            return None if error.kind == "unknown" else False

    return holds


def field(source: str, list_claims: Sequence[str] = LIST_CLAIMS) -> Callable[[Exchange], Any]:
    """A value for the usage record; `list_claims` as in PolicyMiddleware.

    What the function raises (EvaluationError) means that there is none.  The scope is gone by then: `request.path` is
    the whole path, `request.scheme` and `request.query` are empty.  Raises SettingsError with a caret.
    """
    expression = compile_rule(source, variables=fields_of())

    def read(exchange: Exchange) -> Any:
        scope = {"path": exchange.path, "scheme": ""}
        return expression.evaluate(RuleVariables(scope, exchange, list_claims).about(exchange.target))

    return read
