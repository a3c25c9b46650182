"""The table of prices says what the library says, and where it does not the library is loaded."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import genai_prices
import pytest
from genai_prices.data_snapshot import get_snapshot
from hypothesis import given
from hypothesis import strategies as st

from asgi_llmgate.exchange_values import Usage
from asgi_llmgate.usage import price_table
from asgi_llmgate.usage.costs import GenaiPrices
from asgi_llmgate.usage.price_table import costs_in_table, find_cost, matches, read_table
from tests.usage.price_table import PATH, clause, make_table

TABLE = read_table()
LIBRARY = GenaiPrices()
MODELS = [(vendor, model) for vendor in get_snapshot().providers for model in vendor.models]
COUNTS = st.integers(0, 10_000_000)
USAGE = st.builds(lambda rest, output, read, new: Usage(rest + read + new, output, read, new), *[COUNTS] * 4)


def test_the_table_in_the_package_is_of_the_pinned_library() -> None:
    """After an update of genai-prices: `python -m tests.usage.price_table`."""
    assert json.loads(PATH.read_text()) == make_table()
    assert len(PATH.read_bytes()) < 400_000


def names(clause: dict[str, Any]) -> Iterator[str]:
    """Texts that stand in a clause."""
    [value] = clause.values()
    if isinstance(value, str):
        yield value
    else:
        for part in value:
            yield from names(part)


@given(st.sampled_from(MODELS), st.data(), USAGE)
def test_a_model_costs_what_the_library_says(model: Any, data: st.DataObject, usage: Usage) -> None:
    """By its id, by each name that it is recognised by, and by names that are almost one."""
    vendor, info = model
    name = data.draw(st.sampled_from([info.id, *names(clause(info.match))]))
    name = data.draw(st.sampled_from([name, name.upper(), f"{name}-2025-12-11", f"{name}-x", f"x-{name}", name[:-1]]))
    cost = find_cost(TABLE, vendor.id, name)
    if cost is not None:
        expected = genai_prices.calc_price(
            genai_prices.Usage(
                input_tokens=usage.input,
                output_tokens=usage.output,
                cache_read_tokens=usage.cache_read,
                cache_write_tokens=usage.cache_creation,
            ),
            name,
            provider_id=vendor.id,
        )
        assert cost(usage) == pytest.approx(float(expected.total_price), rel=1e-12, abs=1e-15)
        assert cost(usage) == LIBRARY(vendor.id, name, usage)


def test_most_models_have_their_price_in_the_table() -> None:
    listed = [model.id for vendor, model in MODELS if find_cost(TABLE, vendor.id, model.id)]
    assert len(listed) > 0.75 * len(MODELS)


@pytest.mark.parametrize(
    ("vendor", "model"),
    [
        ("openai", "gpt-5.4"),  # tiers by the size of the request
        ("openai", "o3"),  # another price since a date
        ("openai", "nobody-knows"),
        ("azure", "gpt-4o-mini"),  # the library asks another vendor's list
        ("openai", "gpt-4o-20240806"),  # and writes this date otherwise
        ("nobody", "gpt-4o-mini"),
        ("OpenAI", "gpt-4o-mini"),
    ],
)
def test_for_what_is_not_plain_the_library_is_asked(vendor: str, model: str) -> None:
    assert find_cost(TABLE, vendor, model) is None


@given(st.sampled_from(MODELS), st.text("abcdefghij.-0123456789", max_size=20))
def test_a_clause_matches_what_the_librarys_matches(model: Any, text: str) -> None:
    _, info = model
    for name in (text, info.id.lower(), f"{info.id.lower()}{text}"):
        assert matches(clause(info.match), name) is info.match.is_match(name)


def test_counts_that_contradict_each_other_have_no_cost() -> None:
    cost = find_cost(TABLE, "openai", "gpt-4o-mini")
    assert cost is not None
    assert cost(Usage(1, 0, cache_read=2)) is cost(Usage(1, -1)) is None
    assert cost(Usage(1_000_000, 1_000_000)) == 0.75


def test_a_library_that_the_host_has_imported_is_asked() -> None:
    assert "genai_prices" in sys.modules
    assert costs_in_table([("openai", "gpt-4o-mini")]) is None


def test_another_version_of_the_library_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "genai_prices")
    assert costs_in_table([("openai", "gpt-4o-mini")]) is not None
    monkeypatch.setattr(price_table, "read_table", lambda: price_table.Table("0.0.1", TABLE.vendors))
    assert costs_in_table([("openai", "gpt-4o-mini")]) is None


ROW = {"match": "*", "use": "o/gpt-4o-mini"}
TIERS = {"match": "tiers", "use": "o/gpt-5.4"}


@pytest.mark.parametrize(
    ("settings", "loaded"),
    [
        ({"models": [ROW]}, False),
        ({"models": [{"match": "gpt-4o-mini", "use": "o"}]}, False),
        ({"models": [{**TIERS, "prices": {"input": 1, "output": 2}}, ROW]}, False),
        ({"models": [ROW, TIERS]}, True),
        ({"models": [{"match": "gpt-*", "use": "o"}]}, True),
        ({"models": [{"match": "*", "use": "o", "prices": {"input": 1, "output": 2}}]}, False),
        ({"models": [ROW], "routes": {"/o/*": {"passthrough": "o"}}}, True),
        ({"models": [ROW], "safeguards": {"classifier": {"use": "o/gpt-5.4"}}}, True),
    ],
)
def test_the_library_is_loaded_where_a_price_can_need_it(
    settings: dict[str, Any], loaded: bool, tmp_path: Path
) -> None:
    whole = {
        "auth": {"mode": "off"},
        "policy": {"default": "allow"},
        "backends": {"o": {"base_url": "http://127.0.0.1:1/v1", "dialect": "openai"}},
        "usage": {"prices": "genai-prices"},
        **settings,
    }
    code = f"import sys; from asgi_llmgate import Gateway; Gateway.from_settings({whole!r})\n"
    code += "print(sorted({'genai_prices', 'pydantic'} & {*sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == ("['genai_prices', 'pydantic']" if loaded else "[]"), done.stderr
