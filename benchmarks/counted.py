"""Function calls that one call makes in the gateway, by folder of the package.

    python -m benchmarks.counted [--tree parent=../other-checkout]

A count is the same on any machine, however busy it is, so it shows what a change has added or saved.  It is no measure
of time: a function of C that reads 172 kB counts as one.  Three calls go through a whole gateway (JWT, rules,
prices, records, an access log); functions of C count for the folder whose code calls them.  With --tree the same is
counted in another checkout.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import click

import asgi_llmgate
from asgi_llmgate import Gateway
from asgi_llmgate.testing.driver import http_scope
from asgi_llmgate.testing.idp import MockIdP
from benchmarks.in_memory import model_server
from benchmarks.side_by_side import bodies
from benchmarks.side_by_side.settings import settings

WARM = 3
"""Calls before the one that is counted: they fill the caches and import what is imported late."""

CALLS = {
    "small call": bodies.small(),
    "172 kB call": bodies.large(),
    "stream of 100 events": bodies.small(stream=True),
}
ELSEWHERE = "libraries"


async def ask(gateway: Gateway, token: str, body: bytes) -> None:
    messages = [{"type": "http.request", "body": body, "more_body": False}]
    statuses = []

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop()
        return await asyncio.get_running_loop().create_future()  # the client stays

    async def send(message: dict[str, Any]) -> None:
        statuses.append(message.get("status", 200))

    headers = {
        "authorization": f"Bearer {token}",
        "user-agent": "claude-cli/2.1.330",
        "anthropic-version": "2023-06-01",
    }
    await gateway(http_scope("POST", "/v1/messages", headers=headers), receive, send)
    assert set(statuses) == {200}


async def count(gateway: Gateway, token: str, body: bytes) -> Counter[str]:
    package = os.path.dirname(asgi_llmgate.__file__) + os.sep
    found: Counter[str] = Counter()

    def profile(frame: FrameType, event: str, _: Any) -> None:
        if event in ("call", "c_call"):
            path = frame.f_code.co_filename
            inside = path.startswith(package) and not path.startswith(package + "testing")
            found[path.removeprefix(package).rpartition(os.sep)[0] or "." if inside else ELSEWHERE] += 1

    for _ in range(WARM):
        await ask(gateway, token, body)
    sys.setprofile(profile)
    try:
        await ask(gateway, token, body)
    finally:
        sys.setprofile(None)
    return found


async def count_all(folder: Path) -> dict[str, Counter[str]]:
    idp = MockIdP(issuer="bench", audience="bench")
    (folder / "jwks.json").write_text(json.dumps(idp.jwks))
    token = idp.mint(team="bench", llms={"openai": ["gpt-4o-mini"]})
    os.environ.setdefault("MODEL_PORT", "1")  # the model server's key, in these settings
    with model_server():
        async with Gateway.from_settings(settings(folder / "gateway", 1, folder / "jwks.json")) as gateway:
            return {name: await count(gateway, token, body) for name, body in CALLS.items()}


def counted_in(tree: Path) -> dict[str, dict[str, int]]:
    here = Path(__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": f"{tree}{os.pathsep}{here}", "PYTHONSAFEPATH": "1", "PYTHONHASHSEED": "0"}
    command = [sys.executable, "-m", "benchmarks.counted", "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found: dict[str, dict[str, int]] = json.loads(done.stdout)
    return found


def show(name: str, counts: dict[str, dict[str, int]]) -> None:
    """One column for each tree."""
    columns = list(counts)
    folders = sorted({folder for found in counts.values() for folder in found})
    click.echo(f"\n{name:40}" + "".join(f"{column:>12}" for column in columns))
    for folder in folders:
        click.echo(f"  {folder:38}" + "".join(f"{counts[column].get(folder, 0):12}" for column in columns))
    click.echo(f"  {'all':38}" + "".join(f"{sum(counts[column].values()):12}" for column in columns))


@click.command()
@click.option("--tree", multiple=True, metavar="NAME=FOLDER", help="A further checkout in which the same is counted.")
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON.")
def main(tree: tuple[str, ...], as_json: bool) -> None:
    """Count."""
    with tempfile.TemporaryDirectory() as folder:
        found = {"here": {name: dict(each) for name, each in asyncio.run(count_all(Path(folder))).items()}}
    if as_json:
        click.echo(json.dumps(found["here"]))
        return
    for name, _, checkout in (each.partition("=") for each in tree):
        found[name] = counted_in(Path(checkout).resolve())
    for call in CALLS:
        show(call, {column: counts[call] for column, counts in found.items()})


if __name__ == "__main__":
    main()
