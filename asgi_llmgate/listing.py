"""`GET /v1/models`: the listed names that the caller's rules allow, in the shape of either wire.

https://platform.claude.com/docs/en/api/models-list, https://platform.openai.com/docs/api-reference/models/list
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from asgi_llmgate.errors import NotFound
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.models import ModelTable
from asgi_llmgate.protocol.lazyjson import quote

_EPOCH = "1970-01-01T00:00:00Z"
"""Nobody knows when a name was made; clients want a date."""


class ModelList:
    def __init__(self, models: ModelTable) -> None:
        self._models = models

    def answer(self, exchange: Exchange, name: str = "") -> bytes:
        """The list, or one of its members, in the exchange's wire.  Raises NotFound for a name that is not on it."""
        shown = _SHAPES[exchange.wire]
        if not name:
            return quote(shown[1]([shown[0](listed, text) for listed, text in self._listed(exchange)]))
        for listed, text in self._listed(exchange):
            if listed == name:
                return quote(shown[0](listed, text))
        raise NotFound(f"model: {name[:100]}")

    def _listed(self, exchange: Exchange) -> Iterator[tuple[str, str]]:
        return ((name, text) for name, text in self._models.listed() if self._permitted(exchange, name))

    def _permitted(self, exchange: Exchange, name: str) -> bool:
        if exchange.permits is None:
            return True
        return any(map(exchange.permits, self._models.resolve(name)))


def _anthropic(name: str, text: str) -> dict[str, Any]:
    return {"type": "model", "id": name, "display_name": text, "created_at": _EPOCH}


def _anthropic_list(models: list[dict[str, Any]]) -> dict[str, Any]:
    ids = [model["id"] for model in models] or [None]
    return {"data": models, "has_more": False, "first_id": ids[0], "last_id": ids[-1]}


def _openai(name: str, text: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "gateway"}


def _openai_list(models: list[dict[str, Any]]) -> dict[str, Any]:
    return {"object": "list", "data": models}


_SHAPES = {"anthropic": (_anthropic, _anthropic_list), "openai": (_openai, _openai_list)}
