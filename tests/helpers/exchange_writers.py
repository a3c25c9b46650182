"""A debug mode of the exchange: every assignment of a field is checked against `exchange.WRITERS`.

tests/conftest.py switches it on for all tests of a process. Tests, and the package's helpers for tests, may assign
anything; modules of the package only what the table says.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from asgi_llmgate.exchange import WRITERS, Exchange

_PACKAGE = "asgi_llmgate."
_FREE = ("asgi_llmgate.testing", "asgi_llmgate.policy.cases", "asgi_llmgate.cli.policy")
"""What makes exchanges of its own, for test cases of rules."""

violations: list[str] = []
"""Assignments against the table, until somebody clears the list."""


class _Attempts(list[Any]):
    """The list in `attempts`: an append counts as a write."""

    def append(self, attempt: Any) -> None:
        _check("attempts", _caller())
        super().append(attempt)


def _caller() -> str:
    return str(sys._getframe(2).f_globals.get("__name__", ""))


def _check(field: str, module: str) -> None:
    if not module.startswith(_PACKAGE) or module.startswith(_FREE) or module == "asgi_llmgate.exchange":
        return
    if module.removeprefix(_PACKAGE) not in WRITERS[field]:
        violations.append(f"{module} writes exchange.{field}, which is written by {', '.join(WRITERS[field])}")


@contextmanager
def checked_writers() -> Iterator[None]:
    """Check every assignment to a field of an exchange. What is against the table stands in `violations`.

    Nothing is raised at the assignment: the layers would turn the error into a response.
    """

    def set_checked(exchange: Exchange, field: str, value: Any) -> None:
        _check(field, _caller())
        object.__setattr__(exchange, field, _Attempts(value) if field == "attempts" else value)

    Exchange.__setattr__ = set_checked  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        del Exchange.__setattr__
