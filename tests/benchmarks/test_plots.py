"""Cost grows no faster than size, counted in function calls: benchmarks/plots.py draws the same in time."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from asgi_llmgate import Gateway
from benchmarks.counted import count
from benchmarks.plots import Bench, long_stream, steepness
from benchmarks.side_by_side import bodies


async def calls(bench: Bench, opened: AbstractAsyncContextManager[Gateway], body: bytes) -> int:
    async with opened as gateway:
        return (await count(gateway, bench.token(), body)).total()


@pytest.mark.parametrize("grows", ["body", "tools", "events"])
async def test_ten_times_the_size_makes_at_most_ten_times_the_function_calls(grows: str, tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    few, many = {
        "body": [(bench.gateway(), bodies.of_size(size)) for size in (100_000, 1_000_000)],
        "tools": [(bench.gateway(), bodies.with_tools(size)) for size in (10, 100)],
        "events": [(bench.gateway(long_stream(size)), bodies.small(stream=True)) for size in (100, 1000)],
    }[grows]
    assert await calls(bench, *many) <= 10 * await calls(bench, *few)


def test_steepness_is_that_of_the_last_tenfold_growth() -> None:
    assert steepness([(1, 5.0), (10, 10.0), (100, 100.0)]) == pytest.approx(1.0)
    assert steepness([(10, 10.0), (30, 40.0), (100, 300.0)]) == pytest.approx(3.0)
