"""CPU time of the gateway with everything on, beside a do-nothing app and a small proxy.

    python -m benchmarks.side_by_side [--rounds 7] [--calls 600] [--tree parent=../other-checkout]

All servers run at once, under uvicorn with uvloop and httptools, on one core; model server and clients on the others.
In each round every server takes its turn, in the other direction each time, and its figure is the CPU time of its
process tree.  What counts is the ratio: absolute figures are those of the machine.  With --tree the gateway of another
checkout runs too, so that a change is compared with its parent in one run.

The run is void (exit code 1) where the quartiles of a scenario's first row are more than 15 % of its median apart: the
machine was busy with something else.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from operator import truediv
from pathlib import Path
from statistics import median, quantiles

import click
import yaml

from asgi_llmgate.testing.idp import MockIdP
from benchmarks.side_by_side import bodies
from benchmarks.side_by_side.processes import OTHER_CORES, Server, free_port, served
from benchmarks.side_by_side.wire import EVENTS, client, model_server


@dataclass(frozen=True)
class Scenario:
    """`clients` at once, each with a share of the calls; the figure is CPU time per `unit`."""

    name: str
    content: bytes
    clients: int
    share: float = 1.0
    unit: str = "call"


SCENARIOS = (
    Scenario("small call, 16 connections", bodies.small(), 16),
    Scenario("172 kB call, 1 connection", bodies.large(), 1, share=0.3),
    Scenario("event, 20 streams at 50/s", bodies.small(stream=True), 20, unit="event"),
)
WOBBLE = 0.15
"""How far apart the quartiles of the first row may be, as a share of its median."""


def settings(folder: Path, model_port: int, keys: Path) -> dict[str, object]:
    """JWT, rules, prices, records, an access log as JSON in a file."""
    return {
        "auth": {"providers": [{"issuer": "bench", "audiences": ["bench"], "jwks": {"file": str(keys)}}]},
        "policy": {"rules": [{"name": "entitled", "allow": 'jwt.team == "bench" && llm.model in jwt.llms.openai'}]},
        "backends": {
            "openai": {
                "dialect": "openai",
                "base_url": f"http://127.0.0.1:{model_port}/v1",
                "api_key": "env:MODEL_PORT",
            }
        },
        "models": [{"match": "*", "use": "openai/gpt-4o-mini"}],
        "usage": {
            "access_log": {"format": "json", "file": f"{folder}.log"},
            "prices": "genai-prices",
            "fields": {"team": "jwt.team"},
        },
    }


async def measure(scenario: Scenario, server: Server, token: str, calls: int) -> float:
    """Microseconds of CPU time per call, or per event."""
    each = 1 if scenario.unit == "event" else max(1, int(calls * scenario.share) // scenario.clients)
    before = server.cpu()
    async with asyncio.TaskGroup() as group:
        for _ in range(scenario.clients):
            group.create_task(client(server.port, scenario.content, token, each))
    units = scenario.clients * each * (EVENTS if scenario.unit == "event" else 1)
    return (server.cpu() - before) / units * 1e6


async def compare(servers: list[Server], token: str, model_port: int, rounds: int, calls: int) -> bool:
    """Print a table for each scenario; whether the run counts."""
    model = await asyncio.start_server(model_server, "127.0.0.1", model_port)
    valid = True
    for scenario in SCENARIOS:
        # A stream would cost the do-nothing app nothing per event.
        taking_part = [each for each in servers if scenario.unit == "call" or each.name != "null"]
        figures: dict[str, list[float]] = {each.name: [] for each in taking_part}
        for round in range(rounds + 1):
            for server in taking_part if round % 2 else taking_part[::-1]:
                figure = await measure(scenario, server, token, calls)
                if round:  # the first warms up
                    figures[server.name].append(figure)
        valid &= show(scenario, figures)
    model.close()
    return valid


def show(scenario: Scenario, figures: Mapping[str, list[float]]) -> bool:
    first = next(iter(figures))
    low, middle, high = quantiles(figures[first], n=4) if len(figures[first]) > 1 else figures[first] * 3
    wobble = (high - low) / middle
    click.echo(f"\n{scenario.name:34}  µs CPU   x {first}   x proxy    ({first}: quartiles {wobble:.0%} apart)")
    for name, taken in figures.items():
        ratios = [median(map(truediv, taken, figures[other])) for other in (first, "proxy")]
        click.echo(f"  {name:32}  {median(taken):6.1f}   {ratios[0]:6.2f}   {ratios[1]:7.2f}")
    return wobble <= WOBBLE


@click.command()
@click.option("--rounds", default=7, show_default=True)
@click.option("--calls", default=600, show_default=True, help="Per server and round.")
@click.option("--tree", multiple=True, metavar="NAME=FOLDER", help="A further checkout whose gateway takes part.")
def main(rounds: int, calls: int, tree: tuple[str, ...]) -> None:
    """Compare."""
    os.sched_setaffinity(0, OTHER_CORES)
    here = Path(__file__).parents[2]
    further = [(name, Path(folder).resolve()) for name, _, folder in (each.partition("=") for each in tree)]
    with ExitStack() as open_ones:
        folder = Path(open_ones.enter_context(tempfile.TemporaryDirectory()))
        idp = MockIdP(issuer="bench", audience="bench")
        keys, config, port = folder / "jwks.json", folder / "llmgate.yaml", free_port()
        keys.write_text(json.dumps(idp.jwks))
        environment = {"MODEL_PORT": str(port), "LLMGATE_CONFIG": str(config)}
        servers = [open_ones.enter_context(served(app, app, environment, here)) for app in ("null", "proxy")]
        for name, checkout in chain([("gateway", here)], further):
            config.write_text(yaml.safe_dump(settings(folder / name, port, keys)))
            servers.append(open_ones.enter_context(served("gateway", name, environment, checkout)))
        token = idp.mint(team="bench", llms={"openai": ["gpt-4o-mini"]})
        valid = asyncio.run(compare(servers, token, port, rounds, calls))
    if not valid:
        raise SystemExit("void: the machine was busy with something else")


if __name__ == "__main__":
    main()
