"""Which model answers under which name."""

from __future__ import annotations

from asgi_llmgate.routing.prices import Price
from asgi_llmgate.routing.table import ModelRow, ModelTable

__all__ = ["ModelRow", "ModelTable", "Price"]
