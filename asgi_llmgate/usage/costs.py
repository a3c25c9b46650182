"""The cost of a call in US dollars.

The prices of the model table's row come first (routing/prices.py).  Without them the catalogue of genai-prices is
asked, if the settings name it: https://github.com/pydantic/genai-prices lists the prices of some 2,000 models of 47
vendors.  It is used only for a vendor that it knows by name: a self-hosted model called `gpt-oss-120b` has no list
price.  Prices are those of the installed version; nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from decimal import Decimal
from typing import TYPE_CHECKING

from asgi_llmgate.exchange import Exchange
from asgi_llmgate.exchange_values import Usage
from asgi_llmgate.extras import needs_extra
from asgi_llmgate.usage.price_table import CostOfModel, costs_in_table, multiply

if TYPE_CHECKING:
    from genai_prices.types import PriceCalculation

Catalogue = Callable[[str, str, Usage], float | None]
"""(vendor, model, usage) -> cost in US dollars; None if the vendor or the model is not in the catalogue."""

_MAX_KNOWN = 1024
"""Pairs of vendor and model that are remembered: responses name models too."""

_MANY = 1_000_000
"""Tokens by which the library is asked for the price of one."""


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


def genai_prices(models: Collection[tuple[str, str]] | None = None) -> Catalogue:
    """The catalogue of genai-prices.  Raises MissingExtra if it is not installed.

    `models` are all models, as (vendor, model), whose prices can be asked for; None if any can.  The library is loaded
    unless each of them has prices in the table (price_table.py).
    """
    costs = None if models is None else costs_in_table(models)
    if costs is not None:
        return lambda vendor, model, usage: costs.get((vendor, model), _unknown)(usage)
    with needs_extra("prices", "the price catalogue"):
        return GenaiPrices()


class GenaiPrices:
    """The catalogue of genai-prices.

    Its calculation takes 50 to 200 microseconds.  Most models have one price per token of each kind, whatever the time
    and the size of the request: the library is asked for these once, and the rest is four multiplications.
    """

    def __init__(self) -> None:
        import genai_prices

        self._library = genai_prices
        self._costs: dict[tuple[str, str], CostOfModel] = {}
        # With the first price the library builds its list, which would stop the event loop where a call ends.
        self("openai", "gpt-4o", Usage())

    def __call__(self, vendor: str, model: str, usage: Usage) -> float | None:
        """The cost in US dollars; None if the model is not known, or the counts contradict each other."""
        cost = self._costs.get((vendor, model))
        if cost is None:
            cost = self._find(vendor, model)
            # An unknown model is kept too: it costs the library a search through its whole list.
            if len(self._costs) < _MAX_KNOWN:
                self._costs[vendor, model] = cost
        return cost(usage)

    def _find(self, vendor: str, model: str) -> CostOfModel:
        def calculate(usage: Usage) -> float | None:
            try:
                return float(self._price(vendor, model, usage).total_price)
            except ValueError:  # token counts that contradict each other
                return None

        try:
            nothing = self._price(vendor, model, Usage())
        except LookupError:
            return _unknown
        prices = [price for price in vars(nothing.model_price).values() if price is not None]
        depends_on_time = isinstance(nothing.model.prices, list)
        depends_on_size = not all(isinstance(price, Decimal) for price in prices)
        if depends_on_time or depends_on_size or nothing.total_price:  # some models have a price per request
            return calculate
        return multiply(
            *(
                self._price(vendor, model, usage).total_price / _MANY
                for usage in (Usage(_MANY), Usage(0, _MANY), Usage(_MANY, 0, _MANY), Usage(_MANY, 0, 0, _MANY))
            )
        )

    def _price(self, vendor: str, model: str, usage: Usage) -> PriceCalculation:
        counts = self._library.Usage(
            input_tokens=usage.input,
            output_tokens=usage.output,
            cache_read_tokens=usage.cache_read,
            cache_write_tokens=usage.cache_creation,
        )
        return self._library.calc_price(counts, model, provider_id=vendor)


def _unknown(usage: Usage) -> None:
    return None
