"""The kinds of requests: what a path under the mount can be.

    kind            methods    wire      what it is
    --------------  ---------  --------  -----------------------------------------------------------------------
    messages        POST       messages  a call: Anthropic's Messages API
    count_tokens    POST       messages  the tokens of such a call
    models          GET, HEAD  messages  the models that the caller may use, and one of them at `<path>/{id}`
    completions     POST       chat      a call: OpenAI's chat completions, for a backend with that wire
    openai_models   GET, HEAD  chat      the same list in OpenAI's shape
    passthrough     any        chat      forwarded to one backend, under the same path after `/v1`

A path without a row is 404. Error responses have the envelope of the row's wire.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

from asgi_llmgate.exchange_values import Wire

Kind = Literal["messages", "count_tokens", "models", "completions", "openai_models", "passthrough"]

KINDS: Mapping[Kind, tuple[str, Wire]] = MappingProxyType(
    {
        "messages": ("POST", "messages"),
        "count_tokens": ("POST", "messages"),
        "models": ("GET, HEAD", "messages"),
        "completions": ("POST", "chat"),
        "openai_models": ("GET, HEAD", "chat"),
        "passthrough": ("", "chat"),
    }
)
"""The methods, as in an `allow` header ("" for any), and the wire."""

_METHODS = {kind: methods.split(", ") if methods else [] for kind, (methods, _) in KINDS.items()}

_OPERATIONS = {"embeddings": "embeddings", "completions": "text_completion"}


class Route(NamedTuple):
    """`backend` is that of a passthrough, by its key in the settings."""

    kind: Kind
    backend: str = ""

    @property
    def wire(self) -> Wire:
        return KINDS[self.kind][1]

    @property
    def methods(self) -> str:
        return KINDS[self.kind][0]

    def allows(self, method: str) -> bool:
        methods = _METHODS[self.kind]
        return not methods or method in methods

    def operation(self, path: str) -> str:
        """`gen_ai.operation.name` of a call on this route; "" where the conventions have no name for it."""
        return "chat" if self.kind != "passthrough" else _OPERATIONS.get(path.rpartition("/")[2], "")


class RouteMatch(NamedTuple):
    """The route of a request. `path` is its path under the mount; `item` is the rest of it where it names one model."""

    route: Route
    path: str
    item: str = ""
