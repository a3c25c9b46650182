"""The macros over lists and maps: all, exists, exists_one, filter, map (langdef.md#macros).

Over a map they visit its keys; over a string they are an error.  Before a macro starts, it spends the steps for all its
members: their number times the steps of the body.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from asgi_llmgate.cel.errors import EvaluationError, Place, wrong_type
from asgi_llmgate.cel.nodes import Closure, Node
from asgi_llmgate.cel.runtime.closures import decide
from asgi_llmgate.cel.runtime.values import Frame, spend, type_name

Members = Callable[[Frame], Sequence[Any]]
"""Returns the members of the list or map that a macro visits.  Raises EvaluationError."""


def _members_of(over: Node, steps: int, place: Place) -> Members:
    """A function that returns the members to visit, after it has spent `steps` for each."""
    run = over.run

    def members(frame: Frame) -> Sequence[Any]:
        value = run(frame)
        try:
            kind = type_name(value)
            if kind not in ("list", "map"):
                raise EvaluationError("type", "a macro needs a list or a map")
            # Before the first member: nested macros over a large token then end before they block the event loop.
            spend(frame, len(value) * steps)
        except EvaluationError as error:
            raise error.at(place) from None
        return value if kind == "list" else list(value)

    return members


def _quantifier(members: Members, slot: int, body: Closure, decisive: bool, place: Place) -> Closure:
    """`exists` (true decides) and `all` (false decides): `||` and `&&` over the members."""

    def run(frame: Frame) -> bool:
        return decide(_body_per_member(members(frame), slot, body, frame), frame, decisive, place)

    return run


def _body_per_member(members: Sequence[Any], slot: int, body: Closure, frame: Frame) -> Iterator[Closure]:
    """The body once for each member, which is then the value of the macro's variable."""
    for member in members:
        frame[slot] = member
        yield body


def _evaluate_condition(body: Closure, frame: Frame, place: Place) -> bool:
    value: Any = body(frame)
    if value is True:
        return True
    if value is False:
        return False
    raise wrong_type().at(place)


def exists(over: Node, slot: int, bodies: Sequence[Node], place: Place) -> Closure:
    return _quantifier(_members_of(over, bodies[0].steps, place), slot, bodies[0].run, True, place)


def for_all(over: Node, slot: int, bodies: Sequence[Node], place: Place) -> Closure:
    return _quantifier(_members_of(over, bodies[0].steps, place), slot, bodies[0].run, False, place)


def exists_one(over: Node, slot: int, bodies: Sequence[Node], place: Place) -> Closure:
    members, body = _members_of(over, bodies[0].steps, place), bodies[0].run

    def run(frame: Frame) -> bool:
        found = 0
        for member in members(frame):
            frame[slot] = member
            found += _evaluate_condition(body, frame, place)
        return found == 1

    return run


def filter_members(over: Node, slot: int, bodies: Sequence[Node], place: Place) -> Closure:
    members, body = _members_of(over, bodies[0].steps, place), bodies[0].run

    def run(frame: Frame) -> list[Any]:
        kept = []
        for member in members(frame):
            frame[slot] = member
            if _evaluate_condition(body, frame, place):
                kept.append(member)
        return kept

    return run


def map_members(over: Node, slot: int, bodies: Sequence[Node], place: Place) -> Closure:
    """`map(x, value)`, or `map(x, condition, value)` over the members for which the condition is true."""
    members, body = _members_of(over, sum(part.steps for part in bodies), place), bodies[-1].run
    condition = bodies[0].run if len(bodies) == 2 else None

    def run(frame: Frame) -> list[Any]:
        made = []
        for member in members(frame):
            frame[slot] = member
            if condition is None or _evaluate_condition(condition, frame, place):
                made.append(body(frame))
        return made

    return run


Macro = Callable[[Node, int, Sequence[Node], Place], Closure]
"""Makes the closure from the list or map, the variable's slot in the frame, the other arguments, and the place."""

MACROS: Mapping[str, tuple[Macro, tuple[int, ...]]] = {
    "all": (for_all, (2,)),
    "exists": (exists, (2,)),
    "exists_one": (exists_one, (2,)),
    "existsOne": (exists_one, (2,)),
    "filter": (filter_members, (2,)),
    "map": (map_members, (2, 3)),
}
"""Name -> what makes the closure, and the accepted numbers of arguments, including the variable."""
