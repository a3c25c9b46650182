"""The headers of a request, decoded when they are asked for: Claude Code sends some 25, and a call reads six."""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, Mapping
from typing import TypeVar, overload

from asgi_llmgate._types import Scope

T = TypeVar("T")

_SEPARATORS = {b"cookie": b"; "}
"""HTTP/2 may split a cookie header (RFC 9113 section 8.2.3). Others that are repeated are lists (RFC 9110, 5.3)."""


class RequestHeaders(Mapping[str, str]):
    """The headers of an ASGI message or scope: names in lower case, values as latin-1 text, repeated ones joined.

    No repr shows the values, which may be tokens.
    """

    __slots__ = ("_values",)

    def __init__(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        headers = list(headers)
        values = dict(headers)
        # ASGI lets servers keep the case of a name, and a header that is repeated comes twice: both are rare.
        if len(values) < len(headers) or not b"".join(values).islower():
            values = _joined(headers)
        self._values = values

    def __getitem__(self, name: str) -> str:
        if (value := self.get(name)) is None:
            raise KeyError(name)
        return value

    @overload
    def get(self, name: str, /) -> str | None: ...
    @overload
    def get(self, name: str, /, default: str | T) -> str | T: ...
    def get(self, name: str, /, default: str | T | None = None) -> str | T | None:
        try:
            value = self._values.get(name.encode("latin-1"))
        except UnicodeEncodeError:  # no header has such a name
            return default
        return default if value is None else value.decode("latin-1")

    def items(self) -> ItemsView[str, str]:
        # One pass: Mapping's would look each name up again.
        return {name.decode("latin-1"): value.decode("latin-1") for name, value in self._values.items()}.items()

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1") for name in self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return "RequestHeaders(...)"


def read_headers(scope: Scope) -> Mapping[str, str]:
    """All headers of a scope or a message, decoded, as a dict."""
    return dict(RequestHeaders(scope.get("headers", ())).items())


def _joined(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    found: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        found.setdefault(name.lower(), []).append(value)
    return {name: _SEPARATORS.get(name, b", ").join(values) for name, values in found.items()}


NO_HEADERS = RequestHeaders(())
