"""What the compiler makes of each part of an expression: a closure, and what the checks and `explain` must know of it.

A closure takes the Frame of one evaluation and gives a value or raises EvaluationError.  It holds constants only, so
any number of threads may run it at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from asgi_llmgate.cel.errors import Place
from asgi_llmgate.cel.runtime.values import Frame

Run = Callable[[Frame], Any]

Fields = Mapping[str, Any]
"""The names that a variable has, each with its own Fields, or with None where any name may follow."""


class Absent:
    """No constant: None is one."""


ABSENT: Final = Absent()


@dataclass(frozen=True, slots=True)
class Node:
    """One sub-expression.

    `span` are its positions in the source, `steps` is how many nodes it has (what one run of it costs inside a macro),
    `path` the names from a variable down to here when it is nothing but such names, `fields` what may follow there.
    `form` names the operator or function, `parts` are the sub-expressions that `explain` shows.
    """

    run: Run
    place: Place
    span: tuple[int, int]
    form: str = ""
    steps: int = 1
    path: tuple[str, ...] = ()
    fields: Fields | None = None
    constant: Any = ABSENT
    parts: tuple[Node, ...] = ()
