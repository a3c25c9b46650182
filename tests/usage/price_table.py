"""Makes the table that asgi_llmgate/usage/price_table.py reads.

python -m tests.usage.price_table
"""

from __future__ import annotations

import json
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

import genai_prices
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ClauseAnd, ClauseOr, MatchLogic, ModelInfo, ModelPrice

from asgi_llmgate.usage import price_table

PATH = Path(price_table.__file__).with_name(price_table.FILE)

KINDS = ({"input_tokens": 1}, {"output_tokens": 1})
CACHED = ({"input_tokens": 1, "cache_read_tokens": 1}, {"input_tokens": 1, "cache_write_tokens": 1})


def make_table() -> dict[str, Any]:
    vendors = {
        vendor.id: [[clause(model.match), prices(vendor.id, model)] for model in vendor.models]
        for vendor in get_snapshot().providers
    }
    return {"version": version("genai-prices"), "vendors": vendors}


def clause(match: MatchLogic) -> dict[str, Any]:
    """The library compares in small letters, except regular expressions."""
    if isinstance(match, ClauseOr):
        return {"or": [clause(part) for part in match.or_]}
    if isinstance(match, ClauseAnd):
        return {"and": [clause(part) for part in match.and_]}
    [(kind, text)] = vars(match).items()
    return {kind: text if kind == "regex" else text.lower()}


def prices(vendor: str, model: ModelInfo) -> list[str] | None:
    """US dollars per token of input, output, cache read and cache creation; None if a call's size or time counts."""
    if not isinstance(model.prices, ModelPrice):
        return None
    given = [price for price in vars(model.prices).values() if price is not None]
    if not all(isinstance(price, Decimal) for price in given):
        return None

    def cost(**counts: int) -> Decimal:
        usage = genai_prices.Usage(**{"input_tokens": 0, "output_tokens": 0, **counts})
        return model.calc_price(usage, get_snapshot().find_provider(None, vendor, None)).total_price

    if cost():  # a price per request
        return None
    return [format(cost(**counts).normalize(), "f") for counts in (*KINDS, *CACHED)]


if __name__ == "__main__":
    PATH.write_text(json.dumps(make_table(), separators=(",", ":")) + "\n")
