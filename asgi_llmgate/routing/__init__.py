"""Routes, the model table, prices, and the layer that finds the targets of a call."""

from __future__ import annotations

from asgi_llmgate.routing.prices import Price
from asgi_llmgate.routing.table import ModelRow, ModelTable

__all__ = ["ModelRow", "ModelTable", "Price"]
