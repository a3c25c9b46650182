"""Values that no repr shows: secrets, and the header values of a request.

Tracebacks that show variables, and logs, call repr.
"""

from __future__ import annotations

from typing import Any

from asgi_llmgate._types import Scope


class Secret:
    """A string that is not shown in a repr, a log record, a pickle, or a traceback that shows variables.

    It is revealed only where its value is sent.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(...)"

    def __reduce__(self) -> Any:
        raise TypeError("a Secret cannot be pickled")

    def __bool__(self) -> bool:
        return bool(self._value)


class _HiddenValue(bytes):
    """The value of a request header, which may be a token: bytes whose repr hides them."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "b'...'"


def hide_header_values(scope: Scope) -> Scope:
    """A copy of the scope whose repr shows no header value: a traceback that shows variables shows scopes."""
    headers = [
        (name, value if type(value) is _HiddenValue else _HiddenValue(value))
        for name, value in scope.get("headers", ())
    ]
    return {**scope, "headers": headers}
