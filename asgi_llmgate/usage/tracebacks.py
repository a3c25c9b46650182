"""A traceback that can be logged: where it happened, without what was said.

Messages of exceptions quote what they choke on (`invalid literal for int() with base 10: '<the prompt>'`), and a prompt
must not reach a log.  Class names and lines of code are enough to find a defect.  What is logged is a text and not the
exception: some handlers print the variables of its frames, among which are a prompt, a key, a token.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator


def stack(error: BaseException) -> str:
    """The traceback of an error, of its causes (last first, as they were raised) and of a group's members."""
    return "".join(_parts(error, set()))


def _parts(error: BaseException, seen: set[int]) -> Iterator[str]:
    seen.add(id(error))
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None and id(before) not in seen:
        yield from _parts(before, seen)
        yield "which led to\n"
    yield from traceback.format_tb(error.__traceback__)
    yield f"{type(error).__module__}.{type(error).__qualname__}\n"
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            yield "of which one is\n"
            yield from _parts(member, seen)
