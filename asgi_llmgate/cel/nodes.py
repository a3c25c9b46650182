"""The nodes that the compiler makes of an expression: a closure each, and facts for the checks and for `explain`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from asgi_llmgate.cel.errors import Place
from asgi_llmgate.cel.runtime.values import Frame

Closure = Callable[[Frame], Any]
"""Takes the frame of one evaluation, returns the value or raises EvaluationError.

It contains constants only, so any number of threads may run it at once.
"""

Fields = Mapping[str, Any]
"""Names, each with the Fields that may follow it, or with None when any name may follow."""


class NotConstant:
    """Marks a node that is not a constant; None cannot, because it is CEL's null."""


NOT_CONSTANT: Final = NotConstant()


@dataclass(frozen=True, slots=True)
class Node:
    """One sub-expression.

    run       the closure
    place     line and column of its start
    span      start and end as positions in the source
    form      the operator or the function, such as `==` or `matches`; "" for names and literals
    steps     what one run costs inside a macro: about the number of nodes
    path      the dotted name, when it is nothing else: ("jwt", "team")
    fields    what may follow that name; None when any name may
    constant  the value of a literal
    parts     the sub-expressions that `explain` shows
    """

    run: Closure
    place: Place
    span: tuple[int, int]
    form: str = ""
    steps: int = 1
    path: tuple[str, ...] = ()
    fields: Fields | None = None
    constant: Any = NOT_CONSTANT
    parts: tuple[Node, ...] = ()
