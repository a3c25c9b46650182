"""Prices of the model table."""

from __future__ import annotations

from typing import Annotated

import msgspec

from asgi_llmgate.exchange_values import Usage

_Amount = Annotated[float, msgspec.Meta(ge=0)]


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """US dollars: per million tokens of each kind, and per hour that a call lasts (a GPU of one's own).

    Without `cache_read` or `cache_creation` those tokens have the price of other input. Without `input` and `output`
    the tokens are not part of the cost.
    """

    input: _Amount | None = None
    output: _Amount | None = None
    cache_read: _Amount | None = None
    cache_creation: _Amount | None = None
    gpu_hour: _Amount | None = None

    def cost(self, usage: Usage | None, seconds: float | None) -> float | None:
        """The cost of a call with this usage and duration; None, and not 0, where it cannot be known."""
        parts = []
        if self.input is not None or self.output is not None:
            if usage is None:
                return None
            parts.append(self._tokens(usage))
        if self.gpu_hour is not None:
            if seconds is None:
                return None
            parts.append(self.gpu_hour * seconds / 3600)
        return sum(parts) if parts else None

    def _tokens(self, usage: Usage) -> float:
        plain = self.input or 0.0
        read = plain if self.cache_read is None else self.cache_read
        created = plain if self.cache_creation is None else self.cache_creation
        rest = max(0, usage.input - usage.cache_read - usage.cache_creation)
        total = rest * plain + usage.cache_read * read + usage.cache_creation * created
        return (total + usage.output * (self.output or 0.0)) / 1e6
