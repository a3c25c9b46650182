"""Warnings about expressions that may not mean what they seem to.  They are logged at start; the rule is still used.

A rule that allows should name what callers must have.  A rule that names what they must not have also allows callers
whose claim has another spelling, another type or another place than the rule's author thought.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from asgi_llmgate.cel.errors import Place

# Operators and functions that are true only for a caller who has something.
_NEGATED = frozenset(
    {"has", "in", "exists", "exists_one", "existsOne", "contains", "startsWith", "endsWith", "matches"}
)
# Flags at the start of a pattern, such as (?i).
_FLAGS = re.compile(r"\(\?[a-zA-Z-]+\)")


class CompileWarning(NamedTuple):
    """`negation` marks warnings about a negation, which do not concern a rule that denies: there it is safe."""

    place: Place
    text: str
    negation: bool


def inequality_warning(place: Place) -> CompileWarning:
    return CompileWarning(place, "'!=' is also true for a value of another type; write which values are allowed", True)


def negation_warning(form: str, place: Place) -> CompileWarning | None:
    """For `!` before the operator or function `form`; None when it is harmless."""
    if form not in _NEGATED:
        return None
    return CompileWarning(
        place, f"'!' before {form!r} is also true for callers without the claim; write who is allowed", True
    )


def pattern_warning(source: str, place: Place) -> CompileWarning | None:
    """For a regular expression of `matches` that is not anchored at both ends; None when it is."""
    bare = _FLAGS.sub("", source, count=1)
    if bare.startswith(("^", r"\A")) and bare.endswith(("$", r"\z")):
        return None
    return CompileWarning(place, "'matches' finds the pattern anywhere; begin it with '^' and end it with '$'", False)
