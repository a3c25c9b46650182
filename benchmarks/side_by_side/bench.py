"""The measurements.  Each gives figures: for each server, one number for each round."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from statistics import median, quantiles
from urllib.request import urlopen

import yaml

from asgi_llmgate.testing.idp import MockIdP
from benchmarks.side_by_side import bodies
from benchmarks.side_by_side.clients import Load, make_calls
from benchmarks.side_by_side.processes import Server, free_port, running, uvicorn
from benchmarks.side_by_side.rows import CPU
from benchmarks.side_by_side.settings import VARIANTS, settings
from benchmarks.side_by_side.wire import ModelServer, Plan

Figures = dict[str, list[float]]

HERE = Path(__file__).parents[2]
SETTLE = {"ledger": 0.8}
"""Seconds after a turn until the server has done what it does later; 0.05 for the others."""

HELD = 300
"""Streams that are open at once where their memory is measured."""


class Bench:
    """What all servers have in common: a model server, a token, a folder for files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = ModelServer()
        self.model_port = free_port()
        self._idp = MockIdP(issuer="bench", audience="bench")
        self._keys = folder / "jwks.json"
        self._keys.write_text(json.dumps(self._idp.jwks))
        token = self._idp.mint(team="bench", llms={"openai": ["gpt-4o-mini"]})
        self.headers = {"authorization": f"Bearer {token}"}

    @contextmanager
    def served(self, app: str, *, name: str = "", tree: Path = HERE, watched: bool = False) -> Iterator[Server]:
        """An app of apps.py, under uvicorn."""
        name = name or app
        place = self.folder / f"{name}-{time.monotonic_ns()}"
        config = place.with_suffix(".yaml")
        if app in VARIANTS:
            config.write_text(yaml.safe_dump(settings(place, self.model_port, self._keys, app)))
        port = free_port()
        command, environment = uvicorn("watched" if watched else app, port, tree)
        environment |= {"MODEL_PORT": str(self.model_port), "LLMGATE_CONFIG": str(config), "WATCHED": app}
        environment |= {"KEYS": str(self._keys), "LOG": f"{place}.log"}
        with running(name, command, port, environment, headers=self.headers) as server:
            yield server

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """The model server listens."""
        listener = await asyncio.start_server(self.model, "127.0.0.1", self.model_port)
        try:
            yield
        finally:
            listener.close()

    def direct(self) -> Server:
        """The model server itself, as if it were a gateway."""
        return Server("direct", self.model_port, os.getpid(), "/v1/chat/completions")


async def cpu(row: CPU, bench: Bench, servers: Sequence[Server], rounds: int) -> Figures:
    """CPU time in turns, each round in the other direction than the one before; one round to warm up."""
    bench.model.plan = row.plan
    figures: Figures = {server.name: [] for server in servers}
    for number in range(rounds + 1):
        for server in servers if number % 2 else servers[::-1]:
            before = server.cpu()
            heard = await make_calls(server.port, server.request(row.content), row.load)
            await asyncio.sleep(SETTLE.get(server.name, 0.05))
            units = heard.calls * (row.plan.events if row.per == "event" else 1)
            if number:
                figures[server.name].append((server.cpu() - before) / units * row.scale)
    return figures


async def first_text(bench: Bench, servers: Sequence[Server], rounds: int, seconds: float) -> Figures:
    """Milliseconds until the first text of a 172 kB call, less those without a gateway between."""
    bench.model.plan = Plan(20, 0)
    content = bodies.large(stream=True)
    figures: Figures = {server.name: [] for server in servers}
    for number in range(rounds + 1):
        taken = {}
        for server in [bench.direct(), *servers]:
            heard = await make_calls(server.port, server.request(content), Load(1, seconds))
            taken[server.name] = median(heard.first_text) * 1000
        if number:
            for name, found in figures.items():
                found.append(taken[name] - taken["direct"])
    return figures


async def delays(bench: Bench, servers: Sequence[Server], rounds: int, streams: int) -> Figures:
    """Milliseconds between the model server and the client, of one event in a hundred or longer."""
    bench.model.plan = Plan(60, 0.05, stamped=True)
    figures: Figures = {server.name: [] for server in servers}
    for number in range(rounds):
        for server in servers if number % 2 else servers[::-1]:
            load = Load(streams, most=1, stagger=0.003)
            heard = await make_calls(server.port, server.request(bodies.small(stream=True)), load)
            figures[server.name].append(quantiles(heard.delays, n=100)[98])
    return figures


async def states(bench: Bench, app: str, streams: int = HELD) -> tuple[float, float, float]:
    """Of a new process: seconds until the first 200, then MB, then KB of each of many open streams."""
    bench.model.plan = Plan(2, 0)
    begun = time.perf_counter()
    with bench.served(app) as server:
        await make_calls(server.port, server.request(bodies.small()), Load(most=1))
        started, idle = time.perf_counter() - begun, server.memory()
        request = server.request(bodies.small(stream=True))
        await make_calls(server.port, request, Load(16, most=10))
        before = server.memory()
        bench.model.plan = Plan(1000, 1.0)
        held = asyncio.create_task(make_calls(server.port, request, Load(streams, most=1, stagger=0.002)))
        await asyncio.sleep(streams * 0.004 + 2)
        each = (server.memory() - before) * 1024 / streams
        held.cancel()
        with suppress(asyncio.CancelledError):
            await held
    return started, idle, each


async def growth(bench: Bench, calls: int) -> float:
    """MB that so many calls with the ledger add, after a twentieth as many."""
    bench.model.plan = Plan()
    with bench.served("ledger") as server:
        request = server.request(bodies.small())
        await make_calls(server.port, request, Load(16, 3600, most=calls // 320 + 1))
        await asyncio.sleep(2)
        before = server.memory()
        await make_calls(server.port, request, Load(16, 3600, most=calls // 16 + 1))
        await asyncio.sleep(2)
        return server.memory() - before


async def body_stall(bench: Bench, app: str, content: bytes, rounds: int) -> list[float]:
    """Milliseconds that the event loop stood still at most, while one such body was read and forwarded."""
    found = []
    with bench.served(app, watched=True) as server:
        for _ in range(rounds + 1):
            await asyncio.to_thread(look, server)
            await make_calls(server.port, server.request(content), Load(most=1))
            found.append((await asyncio.to_thread(look, server))["longest_stall"])
    return found[1:]


def look(server: Server) -> dict[str, float]:
    """The event loop of a server that is watched (apps.py)."""
    with urlopen(f"http://127.0.0.1:{server.port}/loop") as response:
        found: dict[str, float] = json.load(response)
        return found


def added(figures: Mapping[str, Sequence[float]], name: str) -> list[float]:
    """What a variant costs more than the gateway, round by round."""
    return [more - base for more, base in zip(figures[name], figures["gateway"], strict=True)]
