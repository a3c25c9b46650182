"""The gateway with everything on, beside a do-nothing app and a gateway written for speed alone.

    python -m benchmarks.side_by_side [--all] [--tree parent=../other-checkout] [--write benchmarks/RESULTS.md]

All servers run at once, under uvicorn with uvloop and httptools, on one core; model server and clients on the others.
In each round every server takes its turn, in the other direction each time, and its figure is the CPU time of its
process tree.  What counts is the ratio: absolute figures are those of the machine.  With --tree the gateway of another
checkout runs too, so that a change is compared with its parent in one run.

A row is void where its median is uncertain (results.py); the exit code is 1 where one is.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import click
import uvloop

from benchmarks.side_by_side import bodies, peers, rows
from benchmarks.side_by_side.bench import HERE, Bench, added, body_stall, cpu, delays, first_text, growth, states
from benchmarks.side_by_side.draining import longest_stall
from benchmarks.side_by_side.processes import OTHER_CORES, Server
from benchmarks.side_by_side.report import show, write
from benchmarks.side_by_side.results import GATEWAY, WITHOUT, YARDSTICK, Result, Run
from benchmarks.side_by_side.rows import Row
from benchmarks.side_by_side.settings import VARIANTS

Skip = Callable[[str], object]

PAIR = (YARDSTICK, GATEWAY)


@dataclass(frozen=True)
class Effort:
    """How long is measured."""

    rounds: int
    """Of what takes seconds by itself."""
    seconds: float
    """A turn of a load that can be repeated."""
    turns: int = 1
    """How many such turns there are in place of one round: the shorter, the more alike is the machine in a ratio."""
    further: bool = False
    """Also what takes minutes."""
    streams: int = 300
    calls: int = 20_000

    def of(self, row: rows.CPU) -> int:
        """Rounds of a row."""
        return self.rounds * (self.turns if row.load.seconds else 1)


SHORT, LONG = Effort(5, 0.15, turns=5), Effort(7, 0.15, turns=6, further=True)
QUICK = Effort(1, 0.05, streams=5, calls=160)


async def measure(
    bench: Bench, servers: list[Server], others: Sequence[Server], effort: Effort, skip: Skip
) -> list[Result]:
    """All rows; `others` are peers, as far as they respond."""
    results = []

    def add(row: Row, figures: dict[str, list[float]]) -> None:
        results.append(Result(row, figures))
        click.echo(show(results[-1]))

    async with bench.listening():
        servers += await peers.those_that_respond(others, skip)
        everybody = [each for each in servers if each.name not in ("null", *VARIANTS[1:])]
        for row in rows.cpu_rows(effort.seconds):
            left_out = {"null", *VARIANTS} - set(row.servers)
            add(row, await cpu(row, bench, [each for each in servers if each.name not in left_out], effort.of(row)))
        small = results[0].figures
        for row, variant in zip((rows.LEDGER, rows.OTEL, rows.OTEL_SDK), VARIANTS[1:], strict=True):
            add(row, {GATEWAY: added(small, variant), WITHOUT: small[GATEWAY]})
        add(rows.FIRST_TEXT, await first_text(bench, everybody, effort.rounds * effort.turns, effort.seconds))
        new = {app: [await states(bench, app, effort.streams) for _ in range(effort.rounds)] for app in PAIR}
        for row, index in ((rows.FIRST_CALL, 0), (rows.IDLE_MEMORY, 1), (rows.STREAM_MEMORY, 2)):
            add(row, {app: [each[index] for each in found] for app, found in new.items()})
        if effort.further:
            row = rows.largest(effort.seconds)
            pair = [each for each in servers if each.name in PAIR]
            add(rows.DELAY, await delays(bench, pair, min(5, effort.rounds), min(200, effort.streams)))
            body = bodies.of_size(2_600_000)
            add(rows.BODY_STALL, {app: await body_stall(bench, app, body, effort.rounds) for app in PAIR})
            add(rows.DRAIN_STALL, {GATEWAY: [await longest_stall(600) for _ in range(effort.rounds)]})
            add(row, await cpu(row, bench, pair, effort.rounds))
            add(rows.GROWTH, {GATEWAY: [await growth(bench, effort.calls)]})
    return results


def run(effort: Effort, trees: Iterable[str], with_peers: bool, command: str) -> Run:
    """Start all servers, measure, end them."""
    os.sched_setaffinity(0, OTHER_CORES)
    skipped: list[str] = []
    with ExitStack() as open_ones:
        bench = Bench(Path(open_ones.enter_context(tempfile.TemporaryDirectory())))
        servers = [open_ones.enter_context(bench.served(app)) for app in ("null", YARDSTICK, *VARIANTS)]
        for name, _, folder in (each.partition("=") for each in trees):
            tree = Path(folder).resolve()
            servers.append(open_ones.enter_context(bench.served(GATEWAY, name=name, tree=tree)))
        others = peers.start(bench, open_ones, skipped.append) if with_peers else []
        results = uvloop.run(measure(bench, servers, others, effort, skipped.append))
    for reason in skipped:
        click.echo(f"not measured: {reason}")
    return Run(command, results, skipped)


@click.command()
@click.option("--all", "everything", is_flag=True, help="All rows, and more rounds: 12 minutes.")
@click.option("--quick", is_flag=True, help="One round of the smallest sizes: whether it works.")
@click.option("--peers", "with_peers", is_flag=True, help="LiteLLM and others take part, as far as they can be had.")
@click.option("--tree", multiple=True, metavar="NAME=FOLDER", help="A further checkout whose gateway takes part.")
@click.option(
    "--write", "results", type=click.Path(path_type=Path), help="Write the results there, and into README.md."
)
@click.option("--json", "kept", type=click.Path(path_type=Path), help="Keep all figures there.")
@click.option("--again", is_flag=True, help="Measure nothing: read what --json has kept.")
def main(
    everything: bool,
    quick: bool,
    with_peers: bool,
    tree: tuple[str, ...],
    results: Path | None,
    kept: Path | None,
    again: bool,
) -> None:
    """Compare."""
    if again and kept is not None:
        found = Run.from_json(json.loads(kept.read_text()))
    else:
        effort = replace(QUICK, further=everything) if quick else LONG if everything else SHORT
        command = "python -m benchmarks.side_by_side" + " --all" * everything + " --peers" * with_peers
        found = run(effort, tree, with_peers, command)
        if kept is not None:
            kept.write_text(json.dumps(found.as_json()))
    if results is not None:
        write(found, results, HERE / "README.md")
    void = [each.row.name for each in found.results if not each.counts]
    if void:
        raise SystemExit(f"void, the machine was busy with something else: {', '.join(void)}")


if __name__ == "__main__":
    main()
