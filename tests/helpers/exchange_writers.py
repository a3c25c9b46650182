"""A debug mode of the exchange: every assignment of a field is checked against `exchange.WRITERS`.

tests/conftest.py switches it on for all tests of a process. Tests, and the package's helpers for tests, may assign
anything; modules of the package and of the integrations only what the table says.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from asgi_llmgate.exchange import WRITERS, Exchange

_PACKAGE = "asgi_llmgate."
_CHECKED = (_PACKAGE, "llmgate_")
"""Prefixes of the modules that are checked: the package, and the integrations."""

_FREE = ("asgi_llmgate.testing", "asgi_llmgate.policy.cases", "asgi_llmgate.cli.policy")
"""What makes exchanges of its own, for test cases of rules."""

violations: list[str] = []
"""Assignments against the table, until somebody clears the list."""


def _checked_method(name: str) -> Callable[..., Any]:
    def change(attempts: list[Any], *arguments: Any, **options: Any) -> Any:
        _check("attempts", _caller())
        return getattr(list, name)(attempts, *arguments, **options)

    return change


MUTATING = (
    *("append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"),
    *("__delitem__", "__iadd__", "__imul__", "__setitem__"),
)
"""The methods of a list that change it."""

_Attempts: type[list[Any]] = type("_Attempts", (list,), {name: _checked_method(name) for name in MUTATING})
"""The list in `attempts`: each change counts as a write."""


def _caller() -> str:
    return str(sys._getframe(2).f_globals.get("__name__", ""))


def _check(field: str, module: str) -> None:
    if not module.startswith(_CHECKED) or module.startswith(_FREE) or module == "asgi_llmgate.exchange":
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
