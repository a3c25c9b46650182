"""The cost of a call in US dollars.

The prices of the model table's row come first (routing/prices.py).  Without them the catalogue of genai-prices is
asked, if the settings name it: https://github.com/pydantic/genai-prices lists the prices of some 2,000 models of 47
vendors.  It is used only for a vendor that it knows by name: a self-hosted model called `gpt-oss-120b` has no list
price.  Prices are those of the installed version; nothing is downloaded.  One look-up takes about 50 microseconds, once
per call.
"""

from __future__ import annotations

from collections.abc import Callable

from asgi_llmgate.exchange import Exchange
from asgi_llmgate.exchange_values import Usage
from asgi_llmgate.extras import needs_extra

Catalogue = Callable[[str, str, Usage], float | None]
"""(vendor, model, usage) -> cost in US dollars; None if the vendor or the model is not in the catalogue."""

_MAX_UNKNOWN = 1024
"""Pairs of vendor and model that are kept as unknown."""


class Costs:
    """Calculates the cost of an exchange that has ended: US dollars, or None if it is not known."""

    def __init__(self, catalogue: Catalogue | None = None) -> None:
        self._catalogue = catalogue

    def __call__(self, exchange: Exchange) -> float | None:
        target, usage = exchange.target, exchange.usage
        if target is None:
            return None
        if target.price is not None:
            started, ended = exchange.sent_at, exchange.ended_at
            # A price per GPU hour needs the duration, and no token counts.
            return target.price(usage, None if started is None or ended is None else ended - started)
        if self._catalogue is None or usage is None:
            return None
        found = self._catalogue(target.vendor, target.model, usage)
        # The model that was sent may be an alias; the response often names the model behind it.
        if found is None and exchange.response is not None and exchange.response.model not in ("", target.model):
            found = self._catalogue(target.vendor, exchange.response.model, usage)
        return found


def genai_prices() -> Catalogue:
    """Load the catalogue of genai-prices, which takes about 0.1 s.  Raises MissingExtra if it is not installed."""
    with needs_extra("prices", "the price catalogue"):
        import genai_prices as library

    # An unknown model costs the library a search through its whole list; the result is kept.
    unknown: set[tuple[str, str]] = set()

    def calculate(vendor: str, model: str, usage: Usage) -> float | None:
        if (vendor, model) in unknown:
            return None
        counts = library.Usage(
            input_tokens=usage.input,
            output_tokens=usage.output,
            cache_read_tokens=usage.cache_read,
            cache_write_tokens=usage.cache_creation,
        )
        try:
            return float(library.calc_price(counts, model, provider_id=vendor).total_price)
        # LookupError: not in the catalogue.  ValueError: token counts that contradict each other.
        except (LookupError, ValueError):
            if len(unknown) < _MAX_UNKNOWN:
                unknown.add((vendor, model))
            return None

    return calculate
