"""Prices of genai-prices as numbers, so that most gateways need not import it.

The library brings pydantic and an HTTP client: 110 modules, 15 MB, and about half of the time that a gateway takes to
start.  Most of its models have one price per token of each kind, whatever the time and the size of the request.
`price_table.json` has these prices, and how a model's name is recognised, of one version of the library.  It is used
only while that version is installed, and for nothing else than the models that it has prices of.
https://github.com/pydantic/genai-prices (MIT licence) is where the prices come from.

`python -m tests.usage.price_table` writes the file, and a test compares all of it with the library.
"""

from __future__ import annotations

import pkgutil
import re
import sys
from collections.abc import Callable, Collection
from decimal import Decimal
from importlib.util import find_spec
from math import lcm
from pathlib import Path
from typing import Any

import msgspec

from asgi_llmgate.exchange_values import Usage

CostOfModel = Callable[[Usage], float | None]

FILE = "price_table.json"

Clause = dict[str, Any]
"""How names are recognised, by the library's own words: {"equals": "o1"}, {"or": [{"starts_with": "o1-"}, ...]}."""


class Table(msgspec.Struct, frozen=True):
    """The file: the library's version, and the models of each vendor in the order in which the library tries them.

    A vendor's list is decoded when it is asked for: it is one of 47.
    """

    version: str
    vendors: dict[str, msgspec.Raw]


def read_table() -> Table:
    data = pkgutil.get_data(__package__, FILE)
    assert data is not None
    return msgspec.json.decode(data, type=Table)


def costs_in_table(models: Collection[tuple[str, str]]) -> dict[tuple[str, str], CostOfModel] | None:
    """What calls of these models cost, by (vendor, model).  None where the library has to be asked.

    That is where one of them has prices that depend on the size or the time of a call, or is unknown; where the library
    is imported already, since the host may have set prices of its own in it; and where it is another version.
    """
    if "genai_prices" in sys.modules:
        return None
    table = read_table()
    if not _is_installed(table.version):
        return None
    found = {(vendor, model): find_cost(table, vendor, model) for vendor, model in models}
    return None if None in found.values() else found  # type: ignore[return-value]


def find_cost(table: Table, vendor: str, model: str) -> CostOfModel | None:
    """What a call of a model costs; None where the table does not have its price."""
    if vendor not in table.vendors:
        return None
    name = model.lower()
    for clause, prices in msgspec.json.decode(table.vendors[vendor], type=list[tuple[Clause, list[str] | None]]):
        if matches(clause, name):
            return None if prices is None else multiply(*map(Decimal, prices))
    return None


def matches(clause: Clause, name: str) -> bool:
    """Whether a model's name, in small letters, is meant."""
    [(kind, value)] = clause.items()
    if kind == "equals":
        return bool(name == value)
    if kind == "starts_with":
        return name.startswith(value)
    if kind == "ends_with":
        return name.endswith(value)
    if kind == "contains":
        return value in name
    if kind == "regex":
        return re.search(value, name) is not None
    parts = (matches(part, name) for part in value)
    return any(parts) if kind == "or" else all(parts)


def multiply(input: Decimal, output: Decimal, cache_read: Decimal, cache_creation: Decimal) -> CostOfModel:
    """The function that calculates a cost from prices in US dollars per token."""
    # As integers of a common denominator, with the same result: in the context of each request, the first operation
    # with a Decimal makes it a context of its own.
    ratios = [price.as_integer_ratio() for price in (input, output, cache_read, cache_creation)]
    scale = lcm(*(denominator for _, denominator in ratios))
    per_input, per_output, per_read, per_creation = (over * (scale // under) for over, under in ratios)

    def cost(usage: Usage) -> float | None:
        rest = usage.input - usage.cache_read - usage.cache_creation
        if min(rest, usage.output, usage.cache_read, usage.cache_creation) < 0:
            return None  # they contradict each other; the translation lets no such counts through
        cached = usage.cache_read * per_read + usage.cache_creation * per_creation
        return (rest * per_input + usage.output * per_output + cached) / scale

    return cost


def _is_installed(version: str) -> bool:
    # The folder that each installer writes beside a package.  `importlib.metadata` would import 40 modules to read it:
    # https://packaging.python.org/en/latest/specifications/recording-installed-packages/
    spec = find_spec("genai_prices")
    if spec is None or spec.origin is None:
        return False
    return (Path(spec.origin).parents[1] / f"genai_prices-{version}.dist-info").is_dir()
