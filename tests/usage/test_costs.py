"""Costs in records: the row's own prices first, then the catalogue, and nothing where neither knows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import genai_prices as library
import pytest
from genai_prices.data_snapshot import get_snapshot
from hypothesis import given
from hypothesis import strategies as st

from asgi_llmgate import Gateway, SettingsError
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.exchange_values import Attempt, ResponseMetadata, Target, Usage
from asgi_llmgate.routing import Price
from asgi_llmgate.testing.driver import call
from asgi_llmgate.testing.model_script import say
from asgi_llmgate.testing.model_server import ModelServer
from asgi_llmgate.usage import UsageRecord
from asgi_llmgate.usage.costs import Costs, genai_prices

Make = Callable[..., Exchange]

CATALOGUE = genai_prices()
MODELS = [(vendor.id, model.id) for vendor in get_snapshot().providers for model in vendor.models]


def calculated(vendor: str, model: str, usage: Usage) -> float | None:
    counts = {"cache_read_tokens": usage.cache_read, "cache_write_tokens": usage.cache_creation}
    asked = library.Usage(input_tokens=usage.input, output_tokens=usage.output, **counts)
    try:
        return float(library.calc_price(asked, model, provider_id=vendor).total_price)
    except (LookupError, ValueError):
        return None


@pytest.fixture(scope="module")
def costs() -> Costs:
    return Costs(genai_prices())


def target(vendor: str = "openai", model: str = "gpt-4o-mini", price: Price | None = None) -> Target:
    return Target("main", vendor, model, price=None if price is None else price.cost)


def test_the_rows_own_price_comes_first(costs: Costs, full_exchange: Make) -> None:
    exchange = full_exchange(target=target(price=Price(input=1, output=1)), usage=Usage(10, 5))
    assert costs(exchange) == pytest.approx(15e-6)


def test_an_hour_counts_from_sending_to_the_end(full_exchange: Make) -> None:
    own = target(price=Price(gpu_hour=3600.0))
    exchange = full_exchange(target=own, usage=None, attempts=[Attempt(own, 100.0)], ended_at=102.5)
    assert Costs()(exchange) == pytest.approx(2.5)


def test_the_catalogue_has_the_list_prices_of_vendors(costs: Costs, full_exchange: Make) -> None:
    """https://openai.com/api/pricing: gpt-4o-mini at $0.15 in, $0.075 cached, $0.60 out per million."""
    usage = Usage(1_000_000, 1_000_000, cache_read=500_000)
    assert costs(full_exchange(target=target(), usage=usage)) == pytest.approx(0.075 + 0.0375 + 0.6)


def test_the_model_of_the_response_is_looked_up_if_the_sent_name_is_not_known(
    costs: Costs, full_exchange: Make
) -> None:
    exchange = full_exchange(
        target=target(model="our-alias"), response=ResponseMetadata("gpt-4o-mini-2024-07-18"), usage=Usage(1_000_000)
    )
    assert costs(exchange) == pytest.approx(0.15)


@pytest.mark.parametrize(
    "changes",
    [
        {"target": target("vllm", "gpt-4o-mini")},
        {"target": target("openai", "no-such-model"), "response": None},
        {"target": target(), "usage": None},
        {"target": None},
        {"target": target(price=Price(input=1)), "usage": None},
    ],
)
def test_an_unknown_cost_is_absent_and_never_0(costs: Costs, full_exchange: Make, changes: dict[str, Any]) -> None:
    exchange = full_exchange(**changes)
    for _ in range(2):  # the second time it is remembered as unknown
        assert "llmgate.cost_usd" not in UsageRecord.of(exchange, cost=costs).flat()


NUMBERS = st.integers(0, 3_000_000)


@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS, st.data())
def test_the_catalogue_gives_what_the_library_calculates(
    rest: int, output: int, read: int, created: int, data: st.DataObject
) -> None:
    """For every model of the library: flat, by tier, by time of day, by request, or without a price."""
    vendor, model = data.draw(st.sampled_from(MODELS))
    usage = Usage(rest + read + created, output, read, created)
    assert CATALOGUE(vendor, model, usage) == calculated(vendor, model, usage)


def test_models_have_the_same_prices_as_in_the_library() -> None:
    """Each tenth, which takes a second."""
    usage = Usage(1_234_567, 76_543, 654_321, 12_345)
    some = MODELS[::10]
    assert len(some) > 100
    assert [name for name in some if CATALOGUE(*name, usage) != calculated(*name, usage)] == []


def test_the_library_is_asked_only_once_where_a_token_has_one_price(monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue, asked = genai_prices(), list[str]()
    real = library.calc_price
    monkeypatch.setattr(library, "calc_price", lambda *a, **options: asked.append(a[1]) or real(*a, **options))
    for number in range(20):
        for model in ("gpt-4o-mini", "no-such-model"):
            catalogue("openai", model, Usage(number, number))
    assert asked.count("no-such-model") == 1
    assert asked.count("gpt-4o-mini") == 5  # nothing, and each kind of token


def test_counts_that_contradict_each_other_do_not_make_a_model_unknown() -> None:
    catalogue = genai_prices()
    assert catalogue("openai", "gpt-4o-mini", Usage(1, 0, cache_read=2)) is None
    assert catalogue("openai", "gpt-4o-mini", Usage(1_000_000)) == 0.15


async def test_streamed_or_not_a_call_costs_the_same(serve: Callable[..., str], tmp_path: Path) -> None:
    settings = {
        "auth": {"mode": "off"},
        "policy": {"default": "allow"},
        "backends": {"o": {"base_url": serve(ModelServer([say("Hi there.").always()])) + "/v1"}},
        "models": [{"match": "own", "use": "o/own", "prices": {"input": 2, "output": 8}}, {"match": "*", "use": "o"}],
        "usage": {"prices": "genai-prices", "access_log": {"file": "access.log"}},
    }
    ask = {"max_tokens": 50, "messages": [{"role": "user", "content": "hello"}]}
    async with Gateway.from_settings(settings, folder=tmp_path) as gateway:
        for model in ("own", "gpt-4o-mini", "nobody-knows"):
            for stream in (True, False):
                body = ask | {"model": model, "stream": stream}
                assert (await call(gateway, "POST", "/v1/messages", json=body)).status == 200
    lines = [json.loads(line) for line in (tmp_path / "access.log").read_text().splitlines()]
    costs = [line.get("llmgate.cost_usd") for line in lines]
    tokens = lines[0]["gen_ai.usage.input_tokens"], lines[0]["gen_ai.usage.output_tokens"]
    assert costs[0] == costs[1] == pytest.approx((tokens[0] * 2 + tokens[1] * 8) / 1e6)
    assert costs[2] == costs[3] == pytest.approx((tokens[0] * 0.15 + tokens[1] * 0.6) / 1e6)
    assert costs[4] is costs[5] is None


@pytest.mark.parametrize(
    ("prices", "path"),
    [
        ({"input": -1}, "models[0].prices.input"),
        ({}, "models[0].prices"),
        ([{"input": 1}, {"input": 2}], "models[0].prices"),
        ({"inputs": 1}, "models[0].prices.inputs"),
    ],
)
def test_a_mistake_is_told_with_its_place(prices: Any, path: str) -> None:
    settings = {
        "auth": {"mode": "off"},
        "policy": {"default": "allow"},
        "backends": {"o": {"base_url": "http://127.0.0.1:1/v1"}},
        "models": [{"match": "*", "use": "o/m", "prices": prices}],
    }
    with pytest.raises(SettingsError) as caught:
        Gateway.from_settings(settings)
    assert caught.value.path == path
