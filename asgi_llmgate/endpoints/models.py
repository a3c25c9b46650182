"""`GET /v1/models`: the listed names that the caller's rules allow, in the shape of either wire.

https://platform.claude.com/docs/en/api/models-list, https://platform.openai.com/docs/api-reference/models/list
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from asgi_llmgate._types import Scope
from asgi_llmgate.errors import NotFound
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.protocol.rawjson.objects import to_json
from asgi_llmgate.routing import ModelTable
from asgi_llmgate.rule_variables import LIST_CLAIMS, variables_of

_EPOCH = "1970-01-01T00:00:00Z"
"""Clients need a date, and a name has none."""


class ModelList:
    """`list_claims` as in PolicyMiddleware."""

    def __init__(self, models: ModelTable, *, list_claims: Sequence[str] = LIST_CLAIMS) -> None:
        self._models = models
        self._list_claims = tuple(list_claims)

    def body(self, scope: Scope, exchange: Exchange, name: str = "") -> bytes:
        """The list, or one of its models, as JSON of the exchange's wire. Raises NotFound for an unlisted name."""
        shown = _SHAPES[exchange.wire]
        if not name:
            return to_json(shown[1]([shown[0](listed, text) for listed, text in self._listed(scope, exchange)]))
        for listed, text in self._listed(scope, exchange):
            if listed == name:
                return to_json(shown[0](listed, text))
        raise NotFound(f"model: {name[:100]}")

    def _listed(self, scope: Scope, exchange: Exchange) -> Iterator[tuple[str, str]]:
        return ((name, text) for name, text in self._models.listed() if self._is_permitted(scope, exchange, name))

    def _is_permitted(self, scope: Scope, exchange: Exchange, name: str) -> bool:
        """Whether a call of this caller for this name could have a target that the rules permit."""
        known = None
        if self._models.conditional:
            known = variables_of(scope, exchange, self._list_claims).about(None, name=name)
        targets = self._models.possible(name, known)
        return any(exchange.permits is None or exchange.permits(target, name) for target in targets)


def _anthropic(name: str, text: str) -> dict[str, Any]:
    return {"type": "model", "id": name, "display_name": text, "created_at": _EPOCH}


def _anthropic_list(models: list[dict[str, Any]]) -> dict[str, Any]:
    ids = [model["id"] for model in models] or [None]
    return {"data": models, "has_more": False, "first_id": ids[0], "last_id": ids[-1]}


def _openai(name: str, text: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "gateway"}


def _openai_list(models: list[dict[str, Any]]) -> dict[str, Any]:
    return {"object": "list", "data": models}


_SHAPES = {"messages": (_anthropic, _anthropic_list), "chat": (_openai, _openai_list)}
