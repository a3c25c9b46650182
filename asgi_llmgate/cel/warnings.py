"""Expressions that mean less than they seem to: said once at start, never refused.

A rule that lets callers in should say what they must have.  One that says what they must not have lets everybody in
whose claim is spelled, typed or placed in another way than its author thought.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from asgi_llmgate.cel.errors import Place

_NEGATED = frozenset(
    {"has", "in", "exists", "exists_one", "existsOne", "contains", "startsWith", "endsWith", "matches"}
)
_FLAGS = re.compile(r"\(\?[a-zA-Z-]+\)")


class CompileWarning(NamedTuple):
    """`negative` ones do not concern a rule that denies: there the negation is the safe side."""

    place: Place
    text: str
    negative: bool


def inequality(place: Place) -> CompileWarning:
    return CompileWarning(place, "'!=' is also true for a value of another type: say which values are allowed", True)


def negation(form: str, place: Place) -> CompileWarning | None:
    """For `!` before an operator or function of this name."""
    if form not in _NEGATED:
        return None
    return CompileWarning(
        place, f"'!' before {form!r} holds for everybody who lacks the claim: say who is allowed", True
    )


def pattern(source: str, place: Place) -> CompileWarning | None:
    """For a regular expression that `matches` finds anywhere in the text."""
    bare = _FLAGS.sub("", source, count=1)
    if bare.startswith(("^", r"\A")) and bare.endswith(("$", r"\z")):
        return None
    return CompileWarning(place, "'matches' finds the pattern anywhere: begin it with '^' and end it with '$'", False)
