"""The cost of a call: by the row of the model table if that has prices, else by the catalogue of genai-prices.

https://github.com/pydantic/genai-prices lists what 47 providers ask for some 2,000 models.  It is looked at only for a
provider that it knows by name: a model of one's own that is called `gpt-oss-120b` has no list price.  Its prices are
those of the installed version; nothing is fetched.  Looking one up takes some 50 microseconds, once per call.
"""

from __future__ import annotations

from collections.abc import Callable

from asgi_llmgate.errors import SettingsError
from asgi_llmgate.exchange import Exchange, Usage

Catalogue = Callable[[str, str, Usage], float | None]
"""The cost at a provider, of a model, for this usage; None where the provider or the model is not known."""

_REMEMBERED = 1024


class Costs:
    """The cost of an exchange that has ended, in US dollars, None where it is not known."""

    def __init__(self, catalogue: Catalogue | None = None) -> None:
        self._catalogue = catalogue

    def __call__(self, exchange: Exchange) -> float | None:
        target, usage = exchange.target, exchange.usage
        if target is None:
            return None
        if target.price is not None:
            started, ended = exchange.sent_at, exchange.ended_at
            return target.price(usage, None if started is None or ended is None else ended - started)
        if self._catalogue is None or usage is None:
            return None
        found = self._catalogue(target.provider, target.model, usage)
        if found is None and exchange.answer is not None and exchange.answer.model not in ("", target.model):
            found = self._catalogue(target.provider, exchange.answer.model, usage)
        return found


def genai_prices() -> Catalogue:
    """The catalogue; its import takes a tenth of a second.  Raises SettingsError where it is not installed."""
    try:
        import genai_prices as library
    except ImportError:
        raise SettingsError("needs genai-prices", hint="pip install 'asgi-llmgate[prices]'") from None

    unknown: set[tuple[str, str]] = set()

    def cost(provider: str, model: str, usage: Usage) -> float | None:
        if (provider, model) in unknown:
            return None
        used = library.Usage(
            input_tokens=usage.input,
            output_tokens=usage.output,
            cache_read_tokens=usage.cache_read,
            cache_write_tokens=usage.cache_creation,
        )
        try:
            return float(library.calc_price(used, model, provider_id=provider).total_price)
        except (LookupError, ValueError):  # not known; or numbers that no model server should report
            if len(unknown) < _REMEMBERED:
                unknown.add((provider, model))
            return None

    return cost
