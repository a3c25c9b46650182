"""CEL outside of rules: conditions for rows of the model table, and additional fields of usage records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from asgi_llmgate.cel import EvaluationError, Expression, compile_rule
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.rule_variables import (
    CALLER,
    LIST_CLAIMS,
    CallerVariables,
    RuleVariables,
    fields_of,
    reads_call,
    reads_only,
)


def condition(source: str, variables: Iterable[str] = ()) -> Callable[[Mapping[str, Any]], bool | None]:
    """The condition of a row of the model table, as a function of the rule variables.

    The function returns True only if the expression is true; None if it reads `llm.*` and there is no call; else False.
    The target is not chosen yet, so the names `llm.model`, `llm.provider` and `llm.backend` are not known here.
    `variables` are the names of the host's own variables.

    Raises SettingsError with a caret.
    """
    expression = compile_rule(source, variables=fields_of(candidate=False, further=variables))

    def holds(values: Mapping[str, Any]) -> bool | None:
        try:
            return expression.evaluate(values) is True
        except EvaluationError as error:
            return None if error.kind == "unknown" else False

    return holds


def field(
    source: str, list_claims: Sequence[str] = LIST_CLAIMS, variables: Iterable[str] = ()
) -> Callable[[Exchange], Any]:
    """An additional field of the usage record, as a function of the exchange.

    `list_claims` as in PolicyMiddleware, `variables` as for `condition`.

    The function raises EvaluationError when there is no value.  Raises SettingsError with a caret.
    """
    expression = compile_rule(source, variables=fields_of(further=variables))
    if reads_only(CALLER, expression):
        return _CallerField(expression, tuple(list_claims))
    needs_target = reads_call(expression)

    def read(exchange: Exchange) -> Any:
        # The record is written after the request, when the scope is gone: `request.path` is the whole path, and
        # `request.scheme` and `request.query` are empty.
        scope = {"path": exchange.path, "scheme": ""}
        values = RuleVariables(scope, exchange, list_claims)
        return expression.evaluate(values.about(exchange.target) if needs_target else values)

    return read


class _CallerField:
    """A field whose value depends on the caller alone: worked out once for each token."""

    def __init__(self, expression: Expression, list_claims: tuple[str, ...]) -> None:
        self._expression, self._list_claims = expression, list_claims

    def __call__(self, exchange: Exchange) -> Any:
        identity = exchange.identity
        if self in identity.cache:
            return identity.cache[self]
        value = identity.cache[self] = self._expression.evaluate(CallerVariables(identity, self._list_claims))
        return value
