"""What an expression can still come to while the model is unknown, and that it then comes to nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from asgi_llmgate.cel import EvaluationError, Expression, ReferenceExpression, evaluate_partially, find_certain_error
from tests.cel.conftest import OPEN

JWT = {"team": "data", "level": 2, "groups": ["a", "b"], "many": [str(number) for number in range(600)]}


class Unknown(dict[str, Any]):
    def __missing__(self, name: str) -> Any:
        raise EvaluationError("unknown", f"llm.{name} is not known here", missing=f"llm.{name}")

    def __contains__(self, name: object) -> bool:
        return True


UNKNOWN = {"jwt": JWT, "llm": Unknown()}
T, F = True, False

TABLE: list[tuple[str, set[bool]]] = [
    ("jwt.team == 'data'", {T}),
    ("jwt.team == 'x'", {F}),
    ("jwt.team", set()),
    ("jwt.none == 'x'", set()),
    ("jwt.level > 'x'", set()),
    ("llm.model == 'x'", {T, F}),
    ("!(llm.model == 'x')", {T, F}),
    ("jwt.team == 'data' && llm.model == 'x'", {T, F}),
    ("jwt.team == 'x' && llm.model == 'x'", {F}),
    ("llm.model == 'x' && jwt.team == 'x'", {F}),
    ("jwt.none == 'x' && llm.model == 'x'", {F}),
    ("llm.model == 'x' && jwt.none == 'x'", {F}),
    ("jwt.none == 'x' && jwt.team == 'data'", set()),
    ("jwt.none == 'x' && jwt.team == 'x'", {F}),
    ("jwt.team == 'data' || llm.model == 'x'", {T}),
    ("jwt.team == 'x' || llm.model == 'x'", {T, F}),
    ("jwt.none == 'x' || llm.model == 'x'", {T}),
    ("!(jwt.none == 'x' || llm.model == 'x')", {F}),
    ("!(jwt.none == 'x' && llm.model == 'x') && jwt.team == 'data'", {T}),
    ("(jwt.none == 'x' && llm.model == 'x') == false", {T, F}),
    ("llm.model == 'x' ? jwt.team == 'x' : jwt.level > 3", {F}),
    ("llm.model == 'x' ? jwt.team == 'x' : jwt.none", {F}),
    ("llm.model == 'x' ? jwt.team == 'data' : jwt.level > 3", {T, F}),
    ("jwt.team == 'x' ? llm.model == 'x' : jwt.level == 2", {T}),
    ("jwt.none ? llm.model == 'x' : true", set()),
    ("jwt.groups.exists(g, g == 'a' || g == llm.model)", {T}),
    ("jwt.groups.exists(g, g == llm.model)", {T, F}),
    ("jwt.groups.all(g, g == 'a' && g == llm.model)", {F}),
    ("jwt.many.exists(g, g == llm.model)", {T, F}),
    ("jwt.many.exists(g, jwt.many.exists(h, h == g + 'x'))", {T, F}),
]


@pytest.mark.parametrize(("source", "values"), TABLE, ids=[row[0] for row in TABLE])
def test_what_is_possible(rule: Callable[[str], Expression], source: str, values: set[bool]) -> None:
    assert evaluate_partially(rule(source), UNKNOWN).values == values


@pytest.mark.parametrize("source", [row[0] for row in TABLE])
@pytest.mark.parametrize("model", ["x", "a", "599", "y"])
def test_whatever_the_model_turns_out_to_be_was_possible(
    rule: Callable[[str], Expression], source: str, model: str
) -> None:
    expression = rule(source)
    try:
        value = expression.evaluate({"jwt": JWT, "llm": {"model": model}})
    except EvaluationError:
        return
    assert value in evaluate_partially(expression, UNKNOWN).values or not isinstance(value, bool)


def test_the_error_that_stays_is_told(rule: Callable[[str], Expression]) -> None:
    found = evaluate_partially(rule("llm.model == 'x' && jwt.none == 'x'"), UNKNOWN)
    assert found.error is not None
    assert found.error.missing == "jwt.none"
    assert evaluate_partially(rule("llm.model == 'x'"), UNKNOWN).error is None


def test_an_expression_of_the_reference_engine_is_not_looked_into() -> None:
    def of(source: str) -> frozenset[bool]:
        return evaluate_partially(ReferenceExpression(source, variables=OPEN), UNKNOWN).values

    assert of("jwt.team == 'x' && llm.model == 'x'") == {True, False}
    assert of("jwt.team == 'data'") == {True}


def test_a_variable_that_cannot_be_worked_out_may_be_anything(rule: Callable[[str], Expression]) -> None:
    class Broken(dict[str, Any]):
        def __missing__(self, name: str) -> Any:
            raise RuntimeError

    assert evaluate_partially(rule("jwt.team == 'x'"), {"jwt": Broken()}).values == {True, False}


CERTAIN = [
    ("'x'", "the result is not a bool"),
    ("1 + 1", "the result is not a bool"),
    ("true && 'x'", "the result is not a bool"),
    ("jwt.team == 'x' ? 'yes' : 'no'", "the result is not a bool"),
    ("1 / 0 == 1", "division by zero"),
    ("true", None),
    ("false && 'x'", None),
    ("jwt.team == 'x' || 'x'", None),
    ("jwt.team", None),
    ("jwt", None),
    ("has(jwt.team)", None),
    ("jwt.team == 'x' ? true : 'no'", None),
    ("jwt.groups.exists(g, g == 'a')", None),
]


@pytest.mark.parametrize(("source", "message"), CERTAIN, ids=[row[0] for row in CERTAIN])
def test_what_no_variables_can_make_true_or_false(
    rule: Callable[[str], Expression], source: str, message: str | None
) -> None:
    found = find_certain_error(rule(source))
    assert (found and found.message) == message


def test_a_constant_of_the_reference_engine_that_is_no_bool() -> None:
    assert find_certain_error(ReferenceExpression("'x'", variables=OPEN)) is not None
    assert find_certain_error(ReferenceExpression("jwt.team", variables=OPEN)) is None
