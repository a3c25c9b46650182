"""Functions that make the closures for operators, selections and calls: one for each form of expression.

A closure adds its place to an EvaluationError that has none yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from asgi_llmgate.cel.errors import BudgetExceeded, EvaluationError, Place, wrong_type
from asgi_llmgate.cel.nodes import Closure
from asgi_llmgate.cel.runtime import operators, values
from asgi_llmgate.cel.runtime.values import ABSORBED_ERROR_STEPS, ACTIVATION, Frame, spend, type_name


def constant(value: Any) -> Closure:
    return lambda frame: value


def variable(name: str, place: Place) -> Closure:
    def run(frame: Frame) -> Any:
        try:
            return frame[ACTIVATION][name]
        except KeyError:
            raise EvaluationError("missing_key", "a variable has no value", missing=name).at(place) from None

    return run


def select(operand: Closure, name: str, path: str, place: Place) -> Closure:
    """`operand.name`.  `path` is the whole dotted name, for the message."""

    def run(frame: Frame) -> Any:
        value = operand(frame)
        try:
            return value[name]
        except KeyError:
            raise EvaluationError("missing_key", f"{path} is missing", missing=path).at(place) from None
        except TypeError:  # of all CEL values only a map takes a string as an index
            raise EvaluationError("type", f"{name} is read from a value that is not a map").at(place) from None

    return run


def select_path(path: Sequence[str], steps: Closure) -> Closure:
    """A dotted name such as `jwt.llms.openai`, in one closure.  `steps` evaluates it name by name, and words errors."""
    variable, *names = path

    def run(frame: Frame) -> Any:
        try:
            value = frame[ACTIVATION][variable]
            for name in names:
                value = value[name]
        except (KeyError, TypeError):
            return steps(frame)
        return value

    return run


def has(operand: Closure, name: str, place: Place) -> Closure:
    """`has(operand.name)`: false only when a map lacks the name.  An error of the operand remains an error."""

    def run(frame: Frame) -> bool:
        value = operand(frame)
        if type_name(value) != "map":
            raise wrong_type().at(place)
        return name in value

    return run


def index(operand: Closure, key: Closure, place: Place) -> Closure:
    def run(frame: Frame) -> Any:
        try:
            return operators.index(operand(frame), key(frame))
        except EvaluationError as error:
            raise error.at(place) from None

    return run


def binary(left: Closure, right: Closure, apply: Callable[[Any, Any], Any], place: Place) -> Closure:
    """A binary operator with a cost that does not depend on its operands."""

    def run(frame: Frame) -> Any:
        try:
            return apply(left(frame), right(frame))
        except EvaluationError as error:
            raise error.at(place) from None

    return run


def call_function(function: Callable[..., Any], arguments: Sequence[Closure], place: Place) -> Closure:
    """A function, or an operator with a cost that depends on its operands: it gets the frame, to spend steps."""
    if len(arguments) == 2:
        return _call_with_two(function, arguments[0], arguments[1], place)

    def run(frame: Frame) -> Any:
        try:
            return function(frame, *[argument(frame) for argument in arguments])
        except EvaluationError as error:
            raise error.at(place) from None

    return run


def _call_with_two(function: Callable[..., Any], left: Closure, right: Closure, place: Place) -> Closure:
    """Operators, and most functions, have two arguments."""

    def run(frame: Frame) -> Any:
        try:
            return function(frame, left(frame), right(frame))
        except EvaluationError as error:
            raise error.at(place) from None

    return run


def equals(left: Closure, right: Closure, place: Place) -> Closure:
    return call_function(values.equal, (left, right), place)


def equals_string(operand: Closure, literal: str) -> Closure:
    # In Python, too, only a str equals a str.
    return lambda frame: operand(frame) == literal


def not_equals(left: Closure, right: Closure, place: Place) -> Closure:
    same = equals(left, right, place)
    return lambda frame: not same(frame)


def not_equals_string(operand: Closure, literal: str) -> Closure:
    return lambda frame: operand(frame) != literal


def logical_not(operand: Closure, place: Place) -> Closure:
    def run(frame: Frame) -> bool:
        value = operand(frame)
        if value is True:
            return False
        if value is False:
            return True
        raise wrong_type().at(place)

    return run


def unary_minus(operand: Closure, place: Place) -> Closure:
    def run(frame: Frame) -> Any:
        try:
            return operators.negate(operand(frame))
        except EvaluationError as error:
            raise error.at(place) from None

    return run


def logical_chain(terms: Sequence[Closure], decisive: bool, place: Place) -> Closure:
    """`||` (true decides) or `&&` (false decides) over any number of terms, left to right."""
    return lambda frame: decide(terms, frame, decisive, place)


def decide(terms: Iterable[Closure], frame: Frame, decisive: bool, place: Place) -> bool:
    """The value of `||` (true decides) or `&&` (false decides) over the terms, up to the first one that decides.

    An error of one term counts only when no other term decides (langdef.md#logical-operators).
    """
    neutral = not decisive
    failure: EvaluationError | None = None
    for term in terms:
        try:
            value: Any = term(frame)
        except BudgetExceeded:  # never absorbed by another term, as other errors are
            raise
        except EvaluationError as error:
            spend(frame, ABSORBED_ERROR_STEPS)
            # `unknown` is reported before other errors: with the variable, the term might decide.
            if failure is None or error.kind == "unknown":
                failure = error
            continue
        # `is`: 1 == True in Python, and an integer is an error here.
        if value is decisive:
            return not neutral
        if value is not neutral:
            failure = failure or wrong_type().at(place)
    if failure is not None:
        raise failure
    return neutral


def conditional(condition: Closure, then: Closure, otherwise: Closure, place: Place) -> Closure:
    def run(frame: Frame) -> Any:
        value = condition(frame)
        if value is True:
            return then(frame)
        if value is False:
            return otherwise(frame)
        raise wrong_type().at(place)

    return run


def list_literal(members: Sequence[Closure]) -> Closure:
    return lambda frame: [member(frame) for member in members]


def map_literal(entries: Sequence[tuple[Closure, Closure]], place: Place) -> Closure:
    def run(frame: Frame) -> dict[Any, Any]:
        made: dict[Any, Any] = {}
        for key, value in entries:
            name = key(frame)
            try:
                if type_name(name) == "double" or not values.is_key(name):
                    raise wrong_type()
            except EvaluationError as error:
                raise error.at(place) from None
            if name in made:
                raise EvaluationError("value", "a key of the map is repeated").at(place)
            made[name] = value(frame)
        return made

    return run
