"""Whether anything grows: python -m benchmarks.soak [--minutes 10]

A gateway with everything on, the ledger included, serves small calls, calls of 172 kB, streams, and clients that leave
within a stream.  Memory, open files and tasks of its process are read every few seconds.  The exit code is 1 where
files or tasks stay after the load, or where memory in the last quarter is more than 5 % and 5 MB above the second
one: the first fills caches.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import click
import uvloop

from benchmarks.side_by_side import bodies
from benchmarks.side_by_side.bench import Bench, look
from benchmarks.side_by_side.clients import Load, make_calls
from benchmarks.side_by_side.processes import OTHER_CORES, Server
from benchmarks.side_by_side.wire import Plan

GROWTH, GROWTH_MB = 0.05, 5.0
IDLE = 20.0
"""Seconds after the load until everything is closed: idle connections to the model server are kept for 15."""


@dataclass(frozen=True)
class Sample:
    """What the process has at one moment."""

    memory: float
    """MB."""
    files: int
    tasks: float

    def __str__(self) -> str:
        return f"{self.memory:7.1f} MB  {self.files:5} files  {self.tasks:5.0f} tasks"


async def sample(server: Server) -> Sample:
    tasks = (await asyncio.to_thread(look, server))["tasks"]
    return Sample(server.memory(), len(os.listdir(f"/proc/{server.process}/fd")), tasks)


async def use(server: Server, seconds: float) -> None:
    """One round of load: calls, streams to their end, streams that are left."""
    small, streamed = server.request(bodies.small()), server.request(bodies.small(stream=True))
    large = server.request(bodies.large(stream=True))
    await make_calls(server.port, small, Load(16, seconds / 3))
    await asyncio.gather(
        make_calls(server.port, streamed, Load(8, most=1)), make_calls(server.port, large, Load(2, most=1))
    )
    left = asyncio.create_task(make_calls(server.port, streamed, Load(8, seconds)))
    await asyncio.sleep(seconds / 3)
    left.cancel()
    with suppress(asyncio.CancelledError):
        await left


def mistakes(samples: Sequence[Sample], before: Sample, after: Sample) -> list[str]:
    """What has grown."""
    quarter = max(1, len(samples) // 4)
    early = median(each.memory for each in samples[quarter : 2 * quarter] or samples)
    late = median(each.memory for each in samples[-quarter:])
    found = []
    if late > early * (1 + GROWTH) and late > early + GROWTH_MB:
        found.append(f"memory has grown from {early:.1f} to {late:.1f} MB")
    if after.files > before.files:
        found.append(f"{after.files - before.files} files stay open")
    if after.tasks > before.tasks:
        found.append(f"{after.tasks - before.tasks:.0f} tasks stay")
    return found


async def soak(bench: Bench, server: Server, minutes: float, seconds: float, idle: float) -> list[str]:
    bench.model.plan = Plan(50, 0.01)
    samples = []
    async with bench.listening():
        await use(server, seconds)
        await asyncio.sleep(idle)
        before = await sample(server)
        until = time.monotonic() + minutes * 60
        while time.monotonic() < until:
            await use(server, seconds)
            samples.append(await sample(server))
            click.echo(samples[-1])
        await asyncio.sleep(idle)
        after = await sample(server)
    click.echo(f"before: {before}\nafter:  {after}")
    return mistakes(samples, before, after)


@click.command()
@click.option("--minutes", default=10.0, show_default=True)
@click.option("--seconds", default=3.0, show_default=True, help="Of each round of load, about.")
@click.option("--idle", default=IDLE, show_default=True, help="Seconds until what is idle is closed.")
def main(minutes: float, seconds: float, idle: float) -> None:
    """Look whether anything grows."""
    os.sched_setaffinity(0, OTHER_CORES)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        with bench.served("ledger", watched=True) as server:
            found = uvloop.run(soak(bench, server, minutes, seconds, idle))
    for each in found:
        click.echo(each)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
