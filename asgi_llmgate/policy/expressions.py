"""CEL outside of rules: conditions for rows of the model table, and additional fields of usage records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from asgi_llmgate.cel import EvaluationError, compile_rule
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.rule_variables import LIST_CLAIMS, RuleVariables, fields_of


def condition(source: str) -> Callable[[Mapping[str, Any]], bool | None]:
    """The condition of a row of the model table, as a function of the rule variables.

    The function returns True only if the expression is true; None if it reads `llm.*` and there is no call; else False.
    The target is not chosen yet, so the names `llm.model`, `llm.provider` and `llm.backend` are not known here.

    Raises SettingsError with a caret.
    """
    expression = compile_rule(source, variables=fields_of(candidate=False))

    def holds(variables: Mapping[str, Any]) -> bool | None:
        try:
            return expression.evaluate(variables) is True
        except EvaluationError as error:
            return None if error.kind == "unknown" else False

    return holds


def field(source: str, list_claims: Sequence[str] = LIST_CLAIMS) -> Callable[[Exchange], Any]:
    """An additional field of the usage record, as a function of the exchange.  `list_claims` as in PolicyMiddleware.

    The function raises EvaluationError when there is no value.  Raises SettingsError with a caret.
    """
    expression = compile_rule(source, variables=fields_of())

    def read(exchange: Exchange) -> Any:
        # The record is written after the request, when the scope is gone: `request.path` is the whole path, and
        # `request.scheme` and `request.query` are empty.
        scope = {"path": exchange.path, "scheme": ""}
        return expression.evaluate(RuleVariables(scope, exchange, list_claims).about(exchange.target))

    return read
