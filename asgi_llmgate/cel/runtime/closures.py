"""The closures behind operators, selection and calls: one factory for each form of expression.

Each adds its own place to an error that passes without one.  `&&` and `||` are commutative over errors
(langdef.md#logical-operators): an error counts only where the other side does not decide.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from asgi_llmgate.cel.errors import BudgetExceeded, EvaluationError, Place, mistyped
from asgi_llmgate.cel.nodes import Run
from asgi_llmgate.cel.runtime import operators, values
from asgi_llmgate.cel.runtime.values import ABSORBED, ACTIVATION, Frame, kind_of, spend


def constant(value: Any) -> Run:
    return lambda frame: value


def variable(name: str, place: Place) -> Run:
    def run(frame: Frame) -> Any:
        try:
            return frame[ACTIVATION][name]
        except KeyError:
            raise EvaluationError("missing_key", "a variable has no value", missing=name).at(place) from None

    return run


def select(operand: Run, name: str, path: str, place: Place) -> Run:
    """`operand.name`.  Of all values only a map takes a string as index, so a TypeError says that it is none."""

    def run(frame: Frame) -> Any:
        value = operand(frame)
        try:
            return value[name]
        except KeyError:
            raise EvaluationError("missing_key", f"{path} is missing", missing=path).at(place) from None
        except TypeError:
            raise EvaluationError("type", f"{name} is asked of what is no map").at(place) from None

    return run


def has(operand: Run, name: str, place: Place) -> Run:
    """`has(operand.name)`: false only when the name is missing from a map that is there; any error stays one."""

    def run(frame: Frame) -> bool:
        value = operand(frame)
        if kind_of(value) != "map":
            raise mistyped().at(place)
        return name in value

    return run


def index(operand: Run, key: Run, place: Place) -> Run:
    def run(frame: Frame) -> Any:
        try:
            return operators.index(operand(frame), key(frame))
        except EvaluationError as error:
            raise error.at(place) from None

    return run


def both(left: Run, right: Run, apply: Callable[[Any, Any], Any], place: Place) -> Run:
    """An operator that costs nothing to speak of."""

    def run(frame: Frame) -> Any:
        try:
            return apply(left(frame), right(frame))
        except EvaluationError as error:
            raise error.at(place) from None

    return run


def call(function: Callable[..., Any], arguments: Sequence[Run], place: Place) -> Run:
    """A function, or an operator whose cost depends on its operands: it gets the frame to pay from."""

    def run(frame: Frame) -> Any:
        try:
            return function(frame, *[argument(frame) for argument in arguments])
        except EvaluationError as error:
            raise error.at(place) from None

    return run


def equals(left: Run, right: Run, place: Place) -> Run:
    return call(values.equal, (left, right), place)


def equals_string(operand: Run, literal: str) -> Run:
    """The commonest comparison.  Nothing but a str equals a str in Python either."""
    return lambda frame: operand(frame) == literal


def differs(left: Run, right: Run, place: Place) -> Run:
    same = equals(left, right, place)
    return lambda frame: not same(frame)


def differs_string(operand: Run, literal: str) -> Run:
    return lambda frame: operand(frame) != literal


def negation(operand: Run, place: Place) -> Run:
    def run(frame: Frame) -> bool:
        value = operand(frame)
        if value is True:
            return False
        if value is False:
            return True
        raise mistyped().at(place)

    return run


def minus(operand: Run, place: Place) -> Run:
    def run(frame: Frame) -> Any:
        try:
            return operators.negate(operand(frame))
        except EvaluationError as error:
            raise error.at(place) from None

    return run


def junction(terms: Sequence[Run], decisive: bool, place: Place) -> Run:
    """`||` (true decides) or `&&` (false decides) over any number of terms, left to right."""
    neutral = not decisive

    def run(frame: Frame) -> bool:
        failure: EvaluationError | None = None
        for term in terms:
            try:
                value = term(frame)
            except BudgetExceeded:
                raise
            except EvaluationError as error:
                spend(frame, ABSORBED)
                if failure is None or error.kind == "unknown":
                    failure = error
                continue
            if value is decisive:
                return not neutral
            if value is not neutral:
                failure = failure or mistyped().at(place)
        if failure is not None:
            raise failure
        return neutral

    return run


def conditional(condition: Run, then: Run, otherwise: Run, place: Place) -> Run:
    def run(frame: Frame) -> Any:
        value = condition(frame)
        if value is True:
            return then(frame)
        if value is False:
            return otherwise(frame)
        raise mistyped().at(place)

    return run


def list_of(members: Sequence[Run]) -> Run:
    return lambda frame: [member(frame) for member in members]


def map_of(entries: Sequence[tuple[Run, Run]], place: Place) -> Run:
    def run(frame: Frame) -> dict[Any, Any]:
        made: dict[Any, Any] = {}
        for key, value in entries:
            name = key(frame)
            try:
                if kind_of(name) == "double" or not values.is_key(name):
                    raise mistyped()
            except EvaluationError as error:
                raise error.at(place) from None
            if name in made:
                raise EvaluationError("value", "a key of the map is repeated").at(place)
            made[name] = value(frame)
        return made

    return run
