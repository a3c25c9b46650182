"""The errors of an expression: it cannot be compiled (at start), or it has no value (for one request).

The message of an EvaluationError contains names, and never a value: values are claims, which are personal data.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from asgi_llmgate.errors import GateError, SettingsError

Place = tuple[int, int]
"""Line and column, both from 1."""

_AROUND = 60
"""Characters of the source line that are shown on either side of a mistake."""

ErrorKind = Literal["missing_key", "type", "value", "budget", "unknown", "internal"]
"""Why there is no value.

missing_key  a variable, a field or a key is not there
type         a value has the wrong type
value        a value of the right type is out of range or malformed
budget       the evaluation takes too many steps
unknown      the value of a variable is not known yet, so the result is not known either
internal     a defect
"""


class CompileError(SettingsError):
    """The expression cannot be compiled.

    The message is the problem, the source line, and a caret under the mistake, for the rule's author.
    """

    def __init__(self, problem: str, place: Place, *, source: str = "") -> None:
        line, column = place
        self._problem = f"{problem}{_excerpt(source, line, column)}"
        super().__init__(f"{line}:{column}: {self._problem}")
        self.words = problem
        self.place: Place = place

    @property
    def problem(self) -> str:
        return self._problem


def _excerpt(source: str, line: int, column: int) -> str:
    """The line and a caret under the column; of a long line, the part around the column."""
    lines = source.splitlines()
    if not 0 < line <= len(lines):
        return ""
    start = max(column - 1 - _AROUND, 0)
    text = lines[line - 1].expandtabs(1)
    shown = "…" * (start > 0) + text[start : column + _AROUND] + "…" * (len(text) > column + _AROUND)
    return f"\n    {shown}\n    {' ' * (column - 1 - start + (start > 0))}^"


class EvaluationError(GateError):
    """The expression has no value for this request.

    `missing` is the dotted name that is not there (`jwt.team`); "" when there was another cause.
    """

    kind: ErrorKind

    def __init__(self, kind: ErrorKind, message: str, *, missing: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.missing = missing
        self.place: Place | None = None

    def at(self, place: Place) -> EvaluationError:
        """Set the place, unless one further inside the expression is set already.  Returns self."""
        if self.place is None:
            self.place = place
        return self

    def __str__(self) -> str:
        return f"{self.message} at {self.place[0]}:{self.place[1]}" if self.place else self.message


class BudgetExceeded(EvaluationError):
    """The evaluation takes too many steps.  `||` and `&&` do not absorb this error: it ends the evaluation."""

    def __init__(self) -> None:
        super().__init__("budget", "the expression takes too many steps")


def wrong_type() -> EvaluationError:
    """The error for an operator or function that does not take values of these types ("no such overload" in cel-go)."""
    return EvaluationError("type", "a value has the wrong type")


def suggestion(word: str, known: Iterable[str]) -> str:
    """`, did you mean 'x'?` for a probable typing mistake, else the empty string."""
    import difflib  # for mistakes only

    names = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), names, n=1)
    return f", did you mean {names[close[0]]!r}?" if close else ""
