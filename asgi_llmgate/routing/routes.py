"""What each path under the mount is.

    type            methods    wire        what it is
    --------------  ---------  ----------  -----------------------------------------------------------------------
    messages        POST       anthropic   a call: Anthropic's Messages API
    count_tokens    POST       anthropic   the tokens of such a call
    models          GET, HEAD  anthropic   the models that the caller may use, and one of them at `<path>/{id}`
    completions     POST       openai      a call: OpenAI's chat completions, for a backend that speaks them
    openai_models   GET, HEAD  openai      the same list in OpenAI's shape
    passthrough     any        openai      handed on to one backend, under the same path after `/v1`

A path that has no row is 404.  Refusals are told in the envelope of the row's wire.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

from asgi_llmgate.exchange import Wire

Kind = Literal["messages", "count_tokens", "models", "completions", "openai_models", "passthrough"]

KINDS: Mapping[Kind, tuple[str, Wire]] = MappingProxyType(
    {
        "messages": ("POST", "anthropic"),
        "count_tokens": ("POST", "anthropic"),
        "models": ("GET, HEAD", "anthropic"),
        "completions": ("POST", "openai"),
        "openai_models": ("GET, HEAD", "openai"),
        "passthrough": ("", "openai"),
    }
)
"""The methods, as in an `allow` header ("" for any), and the wire."""

_OPERATIONS = {"embeddings": "embeddings", "completions": "text_completion"}


class Route(NamedTuple):
    """`backend` is where a passthrough goes, by its key in the settings."""

    kind: Kind
    backend: str = ""

    @property
    def wire(self) -> Wire:
        return KINDS[self.kind][1]

    @property
    def methods(self) -> str:
        return KINDS[self.kind][0]

    def allows(self, method: str) -> bool:
        return not self.methods or method in self.methods.split(", ")

    def operation(self, path: str) -> str:
        """`gen_ai.operation.name` of a call on this route; "" where the conventions have no word for it."""
        return "chat" if self.kind != "passthrough" else _OPERATIONS.get(path.rpartition("/")[2], "")


Routes = Mapping[str, Route]

ROUTES: Routes = MappingProxyType(
    {
        "/v1/messages": Route("messages"),
        "/v1/messages/count_tokens": Route("count_tokens"),
        "/v1/models": Route("models"),
    }
)
"""By default; settings are merged over it."""


def find(routes: Routes, path: str) -> tuple[Route, str] | None:
    """The path's route, with the rest of the path where it names one model of a list.

    The routes are few and a path may have as many slashes as it likes, so it is the routes that are gone through.
    """
    if (found := routes.get(path)) is not None:
        return found, ""
    parents = [parent for parent in routes if path.startswith(f"{parent}/")]
    if not parents:
        return None
    parent = max(parents, key=len)
    found = routes[parent]
    return (found, path[len(parent) + 1 :]) if found.kind in ("models", "openai_models") else None
