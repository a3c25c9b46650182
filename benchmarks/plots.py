"""How cost grows with size, as plots: python -m benchmarks.plots [NAME ...]

Each is a row of sizes, the processor time of a call in memory with everything on (the fastest of some), and a line that
is as steep as a linear cost.  SVG files in .cache/docs/plots, and the figures on the terminal.  Needs matplotlib (the
dependency group `docs`).
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from asgi_llmgate import Gateway
from asgi_llmgate.testing.idp import MockIdP
from benchmarks.counted import ask
from benchmarks.in_memory import model_server
from benchmarks.side_by_side import bodies
from benchmarks.side_by_side.settings import settings
from benchmarks.side_by_side.wire import stream_of_events

PLACE = Path(__file__).parents[1] / ".cache" / "docs" / "plots"
ROUNDS = 3
AT_ONCE = 64
"""Events that one read from the network brings, in the plot of events."""

Figures = list[tuple[int, float]]
"""Sizes, and milliseconds of processor time."""


def long_stream(events: int) -> list[bytes]:
    """The parts of a stream with so many events, as reads from the network bring them."""
    parts = stream_of_events(events)
    return [b"".join(parts[at : at + AT_ONCE]) for at in range(0, len(parts), AT_ONCE)]


class Bench:
    """Gateways in memory, and tokens for them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._idp = MockIdP(issuer="bench", audience="bench", algorithm="ES256")
        (folder / "jwks.json").write_text(json.dumps(self._idp.jwks))
        os.environ.setdefault("MODEL_PORT", "1")

    def token(self, number: int = 0) -> str:
        return self._idp.mint(team="bench", llms={"openai": ["gpt-4o-mini"]}, number=number)

    @asynccontextmanager
    async def gateway(self, stream: Sequence[bytes] | None = None, **changes: Any) -> AsyncIterator[Gateway]:
        chosen = {**settings(self._folder / "gateway", 1, self._folder / "jwks.json"), **changes}
        with model_server(stream):
            async with Gateway.from_settings(chosen) as gateway:
                yield gateway


async def fastest(work: Callable[[], Any], rounds: int = ROUNDS) -> float:
    """Milliseconds of processor time."""
    taken = []
    for _ in range(rounds):
        begun = time.process_time()
        await work()
        taken.append((time.process_time() - begun) * 1000)
    return min(taken)


async def body_size(bench: Bench, sizes: Sequence[int]) -> Figures:
    token = bench.token()
    async with bench.gateway() as gateway:
        await ask(gateway, token, bodies.small())
        return [(size, await fastest(lambda size=size: ask(gateway, token, bodies.of_size(size)))) for size in sizes]


async def tools(bench: Bench, sizes: Sequence[int]) -> Figures:
    token = bench.token()
    async with bench.gateway() as gateway:
        await ask(gateway, token, bodies.small())
        return [(size, await fastest(lambda size=size: ask(gateway, token, bodies.with_tools(size)))) for size in sizes]


async def events(bench: Bench, sizes: Sequence[int]) -> Figures:
    token, found = bench.token(), []
    for size in sizes:
        async with bench.gateway(long_stream(size)) as gateway:
            await ask(gateway, token, bodies.small())
            found.append((size, await fastest(lambda gateway=gateway: ask(gateway, token, bodies.small(stream=True)))))
    return found


async def rules(bench: Bench, sizes: Sequence[int]) -> Figures:
    token, found = bench.token(), []
    for size in sizes:
        denials = [{"name": f"r{n}", "deny": f'llm.model == "m{n}" && jwt.team != "t{n}"'} for n in range(size)]
        allowed = {"name": "entitled", "allow": 'jwt.team == "bench"'}
        async with bench.gateway(policy={"rules": [*denials, allowed]}) as gateway:
            found.append((size, await fastest(lambda gateway=gateway: ask(gateway, token, bodies.small()), 20)))
    return found


async def tokens(bench: Bench, sizes: Sequence[int]) -> Figures:
    """Each of so many distinct tokens once: all are verified."""
    found = []
    for size in sizes:
        minted = [bench.token(number) for number in range(size)]

        async def all_of_them(minted: list[str] = minted) -> None:
            async with bench.gateway() as gateway:
                for token in minted:
                    await ask(gateway, token, bodies.small())

        found.append((size, await fastest(all_of_them, 1)))
    return found


async def streams(bench: Bench, sizes: Sequence[int]) -> Figures:
    """So many streams of 100 events at once."""
    token = bench.token()
    async with bench.gateway() as gateway:
        await ask(gateway, token, bodies.small())

        async def at_once(size: int) -> None:
            await asyncio.gather(*(ask(gateway, token, bodies.small(stream=True)) for _ in range(size)))

        return [(size, await fastest(lambda size=size: at_once(size))) for size in sizes]


@dataclass(frozen=True)
class Plot:
    """What grows, with its sizes; `quick` are the smallest that show anything."""

    measure: Callable[[Bench, Sequence[int]], Any]
    title: str
    sizes: Sequence[int]
    quick: Sequence[int]


PLOTS: Mapping[str, Plot] = {
    "body": Plot(
        body_size, "bytes of a body", (1000, 10_000, 100_000, 1_000_000, 10_000_000, 30_000_000), (1000, 9000)
    ),
    "tools": Plot(tools, "tools of a request", (1, 10, 100, 1000), (1, 10)),
    "events": Plot(events, "events of a stream", (10, 100, 1000, 10_000, 100_000, 1_000_000), (10, 100)),
    "rules": Plot(rules, "rules", (1, 3, 10, 30, 100), (1, 3)),
    "tokens": Plot(tokens, "distinct tokens, one call each", (1, 10, 100, 1000, 10_000, 100_000), (1, 10)),
    "streams": Plot(streams, "streams of 100 events at once", (1, 10, 100, 1000), (1, 10)),
}


def steepness(figures: Figures) -> float:
    """How many times more a unit costs at the end than at the start of the last tenfold growth: 1 is linear."""
    last, most = figures[-1]
    size, cost = max((each for each in figures if each[0] * 10 <= last), default=figures[0])
    return (most / last) / (cost / size)


def draw(name: str, plot: Plot, figures: Figures, place: Path) -> Path:
    """An SVG.  Raises ImportError without matplotlib."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.fonttype"] = "none"  # letters stay letters: small files
    mpl.rcParams["svg.hashsalt"] = name
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(5, 3.2), layout="constrained")
    sizes, costs = zip(*figures, strict=True)
    axes.loglog(sizes, costs, marker="o", label="measured")
    axes.loglog(sizes, [costs[-1] * size / sizes[-1] for size in sizes], linestyle=":", label="linear")
    axes.set_xlabel(plot.title)
    axes.set_ylabel("ms of processor time")
    axes.legend()
    place.mkdir(parents=True, exist_ok=True)
    path = place / f"{name}.svg"
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
    return path


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(PLOTS)))
@click.option("--quick", is_flag=True, help="The smallest sizes: whether it works.")
@click.option("--place", default=PLACE, show_default=True, type=click.Path(path_type=Path))
def main(names: Sequence[str], quick: bool, place: Path) -> None:
    """Measure and draw."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        for name in names or PLOTS:
            plot = PLOTS[name]
            figures = asyncio.run(plot.measure(bench, plot.quick if quick else plot.sizes))
            for size, cost in figures:
                click.echo(f"{plot.title:32} {size:11,} {cost:12,.2f} ms")
            path = draw(name, plot, figures, place)
            click.echo(f"  last tenfold growth: a unit costs {steepness(figures):.2f} times as much; {path}")


if __name__ == "__main__":
    main()
