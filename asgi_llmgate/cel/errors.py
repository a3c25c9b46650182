"""What can go wrong with an expression: it cannot be compiled (start-up), or cannot be decided (a request).

A CompileError shows the source line with a caret under the mistake; the rule's author reads it.  An EvaluationError
holds a kind, a place and at most the NAME of what is missing: the values that a rule looks at are claims, and claims
are personal data, so they are in no message.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Literal

from asgi_llmgate.errors import GateError, SettingsError

Place = tuple[int, int]
"""Line and column, both from 1."""

_AROUND = 60
"""Characters that are shown on either side of a mistake."""

Kind = Literal["missing_key", "type", "value", "budget", "unknown", "internal"]
"""`unknown`: what the variable will be is not known yet, so the expression is neither true nor false nor wrong."""


class CompileError(SettingsError):
    """The expression cannot be compiled.  The message is the problem, the source line and a caret."""

    def __init__(self, problem: str, place: Place, *, source: str = "") -> None:
        line, column = place
        super().__init__(f"{line}:{column}: {problem}{_excerpt(source, line, column)}")
        self.problem = problem
        self.place = place


def _excerpt(source: str, line: int, column: int) -> str:
    """The line and a caret under the column; of a long line what is around it."""
    lines = source.splitlines()
    if not 0 < line <= len(lines):
        return ""
    start = max(column - 1 - _AROUND, 0)
    text = lines[line - 1].expandtabs(1)
    shown = "…" * (start > 0) + text[start : column + _AROUND] + "…" * (len(text) > column + _AROUND)
    return f"\n    {shown}\n    {' ' * (column - 1 - start + (start > 0))}^"


class EvaluationError(GateError):
    """The expression has no value for this request.

    `missing` is the dotted name whose absence caused it (`jwt.team`), when that was the cause.
    """

    kind: Kind

    def __init__(self, kind: Kind, message: str, *, missing: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.missing = missing
        self.place: Place | None = None

    def at(self, place: Place) -> EvaluationError:
        """Say where, unless a more inner place is known already."""
        if self.place is None:
            self.place = place
        return self

    def __str__(self) -> str:
        return f"{self.message} at {self.place[0]}:{self.place[1]}" if self.place else self.message


class BudgetExceeded(EvaluationError):
    """Too many steps.  `||` and `&&` do not absorb it: it ends the evaluation."""

    def __init__(self) -> None:
        super().__init__("budget", "the expression takes too many steps")


def mistyped() -> EvaluationError:
    """CEL's "no such overload": an operator or function does not take values of these types."""
    return EvaluationError("type", "a value has the wrong type")


def suggestion(word: str, known: Iterable[str]) -> str:
    """`, did you mean 'x'?` for a probable slip of the pen, else the empty string."""
    names = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), names, n=1)
    return f", did you mean {names[close[0]]!r}?" if close else ""
