"""`GET /v1/models`: the listed names that the caller's rules allow, in the shape of either wire.

https://platform.claude.com/docs/en/api/models-list, https://platform.openai.com/docs/api-reference/models/list
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from asgi_llmgate._types import Scope
from asgi_llmgate.errors import NotFound
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.exchange_values import Target
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
        """The list, or one model, as JSON of the exchange's wire.

        A single model need not be in the list: a pattern may fit its name. Raises NotFound for a name that no call of
        this caller may have.
        """
        one, many = _SHAPES[exchange.wire]
        if not name:
            listed = ((name, text, self._targets(scope, exchange, name)) for name, text in self._models.listed())
            return to_json(many([one(name, text, targets) for name, text, targets in listed if targets]))
        if targets := self._targets(scope, exchange, name):
            return to_json(one(name, dict(self._models.listed()).get(name, name), targets))
        raise NotFound(f"model: {name[:100]}")

    def _targets(self, scope: Scope, exchange: Exchange, name: str) -> list[Target]:
        """The targets that a call of this caller for this name could have, and that the rules permit."""
        known = None
        if self._models.conditional:
            known = variables_of(scope, exchange, self._list_claims).about(None, name=name)
        targets = self._models.possible(name, known)
        return [target for target in targets if exchange.permits is None or exchange.permits(target, name)]


def _anthropic(name: str, text: str, targets: Sequence[Target]) -> dict[str, Any]:
    shown = {"type": "model", "id": name, "display_name": text, "created_at": _EPOCH, "lifecycle": "active"}
    limits = {
        "max_input_tokens": _smallest(target.context_window for target in targets),
        "max_tokens": _smallest(target.max_output_tokens for target in targets),
    }
    return {**shown, **{name: limit for name, limit in limits.items() if limit}}


def _smallest(limits: Iterable[int | None]) -> int | None:
    """What holds whichever target serves the call; None where the settings state nothing."""
    return min((limit for limit in limits if limit), default=None)


def _anthropic_list(models: list[dict[str, Any]]) -> dict[str, Any]:
    ids = [model["id"] for model in models] or [None]
    return {"data": models, "has_more": False, "first_id": ids[0], "last_id": ids[-1]}


def _openai(name: str, text: str, targets: Sequence[Target]) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "gateway"}


def _openai_list(models: list[dict[str, Any]]) -> dict[str, Any]:
    return {"object": "list", "data": models}


_SHAPES = {"messages": (_anthropic, _anthropic_list), "chat": (_openai, _openai_list)}
