"""The macros over lists and maps: all, exists, exists_one, filter, map (langdef.md#macros).

Over a map they visit its keys; a string has no members and is an error.  The whole walk is paid for before it begins:
members times the steps of the body.  So the cost of a rule depends on the size of what it looks at and on nothing else,
and a nest of walks over a large token ends early instead of holding the event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from asgi_llmgate.cel.errors import BudgetExceeded, EvaluationError, Place, mistyped
from asgi_llmgate.cel.nodes import Node, Run
from asgi_llmgate.cel.runtime.values import ABSORBED, Frame, kind_of, spend

Walk = Callable[[Frame], Sequence[Any]]


def _walk(over: Node, steps: int, place: Place) -> Walk:
    """What gives the members to visit, paid for."""
    run = over.run

    def walk(frame: Frame) -> Sequence[Any]:
        value = run(frame)
        try:
            kind = kind_of(value)
            if kind not in ("list", "map"):
                raise EvaluationError("type", "a macro needs a list or a map")
            spend(frame, len(value) * steps)
        except EvaluationError as error:
            raise error.at(place) from None
        return value if kind == "list" else list(value)

    return walk


def _decide(walk: Walk, slot: int, body: Run, decisive: bool, place: Place) -> Run:
    """`exists` (true decides) and `all` (false decides): `||` and `&&` over the members."""
    neutral = not decisive

    def run(frame: Frame) -> bool:
        failure: EvaluationError | None = None
        for member in walk(frame):
            frame[slot] = member
            try:
                value: Any = body(frame)
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


def _condition(body: Run, frame: Frame, place: Place) -> bool:
    value: Any = body(frame)
    if value is True:
        return True
    if value is False:
        return False
    raise mistyped().at(place)


def exists(over: Node, slot: int, bodies: Sequence[Node], place: Place) -> Run:
    return _decide(_walk(over, bodies[0].steps, place), slot, bodies[0].run, True, place)


def every(over: Node, slot: int, bodies: Sequence[Node], place: Place) -> Run:
    return _decide(_walk(over, bodies[0].steps, place), slot, bodies[0].run, False, place)


def exists_one(over: Node, slot: int, bodies: Sequence[Node], place: Place) -> Run:
    walk, body = _walk(over, bodies[0].steps, place), bodies[0].run

    def run(frame: Frame) -> bool:
        found = 0
        for member in walk(frame):
            frame[slot] = member
            found += _condition(body, frame, place)
        return found == 1

    return run


def keep(over: Node, slot: int, bodies: Sequence[Node], place: Place) -> Run:
    walk, body = _walk(over, bodies[0].steps, place), bodies[0].run

    def run(frame: Frame) -> list[Any]:
        kept = []
        for member in walk(frame):
            frame[slot] = member
            if _condition(body, frame, place):
                kept.append(member)
        return kept

    return run


def transform(over: Node, slot: int, bodies: Sequence[Node], place: Place) -> Run:
    """`map(x, value)`, or `map(x, condition, value)` for those members only that meet the condition."""
    walk, body = _walk(over, sum(part.steps for part in bodies), place), bodies[-1].run
    condition = bodies[0].run if len(bodies) == 2 else None

    def run(frame: Frame) -> list[Any]:
        made = []
        for member in walk(frame):
            frame[slot] = member
            if condition is None or _condition(condition, frame, place):
                made.append(body(frame))
        return made

    return run


Macro = Callable[[Node, int, Sequence[Node], Place], Run]

MACROS: Mapping[str, tuple[Macro, tuple[int, ...]]] = {
    "all": (every, (2,)),
    "exists": (exists, (2,)),
    "exists_one": (exists_one, (2,)),
    "existsOne": (exists_one, (2,)),
    "filter": (keep, (2,)),
    "map": (transform, (2, 3)),
}
"""Name -> the closure's factory, and how many arguments it takes, the variable included."""
