"""Regular expressions that are compiled when they are first used.

Compiling a large one takes 1 to 3 ms. Each process would take them at its start, also for texts that it never sees.
"""

from __future__ import annotations

import re
from typing import Any, cast


def lazy_pattern(pattern: str, flags: int = 0) -> re.Pattern[str]:
    """What `re.compile` returns, but for the time at which it is compiled.  A mistake in it is raised only then."""
    return cast("re.Pattern[str]", _LazyPattern(pattern, flags))


class _LazyPattern:
    def __init__(self, pattern: str, flags: int) -> None:
        self._made_of = pattern, flags

    def __getattr__(self, name: str) -> Any:
        # Called for what is not there yet. It is kept: the next use takes no longer than with the pattern itself.
        method = getattr(re.compile(*self._made_of), name)
        setattr(self, name, method)
        return method
