"""Tracebacks that are safe to log: file names, lines of code and exception classes, without the exception messages.

The message of an exception often quotes the value that caused it (`invalid literal for int() with base 10: '<the
prompt>'`), and a prompt must not reach a log.  The class and the lines of code are enough to find a defect.

The result is a text.  Passing the exception itself to the logger (`exc_info`) would not be safe: some log handlers
print the local variables of each frame, and these contain prompts, keys and tokens.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator


def format_traceback(error: BaseException) -> str:
    """The traceback of `error` as text, after those of its causes and before those of a group's members."""
    return "".join(_sections(error, set()))


def _sections(error: BaseException, seen: set[int]) -> Iterator[str]:
    # Two exceptions can name each other as cause, so each one is formatted once.
    seen.add(id(error))
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None and id(cause) not in seen:
        yield from _sections(cause, seen)
        yield "which led to\n"
    yield from traceback.format_tb(error.__traceback__)
    yield f"{type(error).__module__}.{type(error).__qualname__}\n"
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            yield "of which one is\n"
            yield from _sections(member, seen)
