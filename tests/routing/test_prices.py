from __future__ import annotations

import pytest

from asgi_llmgate import ModelRow, ModelTable, SettingsError
from asgi_llmgate.exchange_values import Usage
from asgi_llmgate.routing import Price

MILLION = 1_000_000


@pytest.mark.parametrize(
    ("price", "usage", "seconds", "cost"),
    [
        pytest.param(Price(input=2.5, output=10), Usage(MILLION, MILLION), None, 12.5, id="input and output"),
        pytest.param(Price(input=2, cache_read=1), Usage(MILLION, 0, cache_read=MILLION // 2), None, 1.5, id="cached"),
        pytest.param(Price(input=2), Usage(MILLION, 0, cache_read=MILLION // 2), None, 2.0, id="cached, no own price"),
        pytest.param(Price(input=2, cache_creation=3), Usage(MILLION, 0, 0, MILLION), None, 3.0, id="cache written"),
        pytest.param(Price(input=0, output=0), Usage(5, 5), None, 0.0, id="said to be free"),
        pytest.param(Price(gpu_hour=3.6), None, 10.0, 0.01, id="an hour of a GPU"),
        pytest.param(Price(input=1, gpu_hour=3.6), Usage(MILLION), 10.0, 1.01, id="both"),
        pytest.param(Price(input=1), None, 10.0, None, id="no usage, no cost"),
        pytest.param(Price(gpu_hour=3.6), Usage(5), None, None, id="no duration, no cost"),
        pytest.param(Price(cache_read=1), Usage(5, 0, 5), 1.0, None, id="no price, no cost"),
        pytest.param(
            Price(input=2, cache_read=1), Usage(10, 0, cache_read=20), None, 20e-6, id="more cached than sent"
        ),
    ],
)
def test_the_cost_of_a_call(price: Price, usage: Usage | None, seconds: float | None, cost: float | None) -> None:
    assert price.cost(usage, seconds) == (None if cost is None else pytest.approx(cost))


def test_targets_carry_their_prices() -> None:
    vendors = {"a": "openai", "b": "vllm"}
    one, two = Price(input=1), Price(input=2)
    rows = [
        ModelRow("x", ("a/m", "b/m"), prices=(one, two)),
        ModelRow("y*", ("a", "b"), prices=(one,)),
        ModelRow("z", ("a",)),
    ]
    table = ModelTable(rows, vendors)
    assert [target.price for target in table.resolve("x")] == [one.cost, two.cost]
    assert [target.price for target in table.resolve("yes")] == [one.cost, one.cost]
    assert [target.price for target in table.resolve("z")] == [None]


def test_prices_that_fit_no_target_are_told() -> None:
    with pytest.raises(SettingsError, match=r"models\[0\].prices: 2 prices for 1 targets"):
        ModelTable([ModelRow("x", ("a/m",), prices=(Price(input=1), Price(input=2)))], {"a": "openai"})
