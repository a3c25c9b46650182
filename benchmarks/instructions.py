"""Instructions that the processor runs for a piece of work, counted by valgrind --tool=callgrind.

    python -m benchmarks.instructions [NAME ...]

Such a count includes what C does, which a count of function calls does not, and hardly changes from run to run.  Each
figure is the difference of two runs, of which one does the work more often: start and imports fall out.  Under
valgrind all is some fifty times slower, so this takes minutes.  It is skipped where valgrind is not installed.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import click

from asgi_llmgate import Gateway
from asgi_llmgate.exchange_values import Target
from asgi_llmgate.protocol.messages.events import MessageEmitter, SSEEmitter
from asgi_llmgate.protocol.messages.request import decode_messages
from asgi_llmgate.protocol.servers.dialects import DIALECTS
from asgi_llmgate.protocol.translation.request.chat_request import ChatRequest, Options, to_chat
from asgi_llmgate.protocol.translation.response.translator import Translator
from asgi_llmgate.testing.idp import MockIdP
from benchmarks.counted import ask
from benchmarks.in_memory import model_server
from benchmarks.side_by_side import bodies
from benchmarks.side_by_side.settings import settings
from benchmarks.side_by_side.wire import COMPLETION, stream_of_events

WARM, LESS, MORE = 3, 10, 60
"""How often the work is done before it counts, and in the two runs."""

VALGRIND = ("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null")
COUNTED = re.compile(r"Collected *: *(\d+)")

Work = Callable[[], object]


def translated(body: bytes) -> ChatRequest:
    row = DIALECTS["openai"]
    return to_chat(decode_messages(body), target=Target("b", "p", "m"), dialect=row, options=Options(), request_id="r")


def document() -> None:
    translator = Translator(translated(bodies.small()).plan, MessageEmitter())
    translator.feed_document(COMPLETION.partition(b"\r\n\r\n")[2])
    translator.take()


def stream() -> None:
    translator = Translator(translated(bodies.small(stream=True)).plan, SSEEmitter())
    for event in stream_of_events():
        translator.feed_event(event.removeprefix(b"data: ").strip())
    translator.end()
    translator.take()


def whole(body: bytes) -> Work:
    """A call through a gateway with everything on, whose model server is in memory."""
    os.environ.setdefault("MODEL_PORT", "1")
    folder = Path(tempfile.mkdtemp())
    idp = MockIdP(issuer="bench", audience="bench")
    (folder / "jwks.json").write_text(json.dumps(idp.jwks))
    token = idp.mint(team="bench", llms={"openai": ["gpt-4o-mini"]})
    gateway = Gateway.from_settings(settings(folder / "gateway", 1, folder / "jwks.json"))
    loop = asyncio.new_event_loop()
    with model_server():
        loop.run_until_complete(ask(gateway, token, body))  # further calls use its connection
    return lambda: loop.run_until_complete(ask(gateway, token, body))


WORK: Mapping[str, Callable[[], Work]] = {
    "decode, small": lambda: partial(decode_messages, bodies.small()),
    "decode, 172 kB": lambda: partial(decode_messages, bodies.large()),
    "decode and translate, small": lambda: partial(translated, bodies.small()),
    "decode and translate, 172 kB": lambda: partial(translated, bodies.large()),
    "the same, and a document": lambda: document,
    "the same, and 100 events": lambda: stream,
    "small call": lambda: whole(bodies.small()),
    "172 kB call": lambda: whole(bodies.large()),
    "stream of 100 events": lambda: whole(bodies.small(stream=True)),
}


def run(name: str, times: int, tool: Sequence[str] = ()) -> str:
    """What the tool says about a process that does the work so many times."""
    command = [*tool, sys.executable, "-m", "benchmarks.instructions", "--times", str(times), name]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stderr


def instructions(name: str, times: int) -> int:
    found = COUNTED.search(run(name, times, VALGRIND))
    assert found is not None
    return int(found[1])


@click.command()
@click.argument("names", nargs=-1)
@click.option("--times", default=0, hidden=True, help="Do the work of one name so many times, and count nothing.")
def main(names: tuple[str, ...], times: int) -> None:
    """Count."""
    if times:
        work = WORK[names[0]]()
        for _ in range(WARM + times):
            work()
        return
    if shutil.which(VALGRIND[0]) is None:
        click.echo("skipped: valgrind is not installed")
        return
    for name in names or WORK:
        run(name, 1)  # modules are compiled by the first that imports them
        each = (instructions(name, MORE) - instructions(name, LESS)) / (MORE - LESS)
        click.echo(f"{name:32} {each / 1000:12,.0f} thousand instructions")


if __name__ == "__main__":
    main()
