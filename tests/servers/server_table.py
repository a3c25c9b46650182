"""The servers, how each is started, and what each does: docs/reference/servers.md is this table in words."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

Command = Callable[[str, int, int], Sequence[str]]
"""(app, port, workers) -> the arguments of `python -m`."""


@dataclass(frozen=True)
class Server:
    """One server.

    `workers`: processes that the tests give it; 1 where it knows no other way.
    `stalled`: a reader that has stopped reading makes `send` wait; "buffered": the server takes the whole answer.
    `alone`: what it does at SIGTERM with a stream that goes on, by itself: "waits" for its end, "cancels" the request,
    "kills" the worker.  `grace`: seconds until then by default; `briefly`, `patiently`: the options for less, and more.
    `waits_since`: the Python from which on it waits, whatever its options say.
    `slow_upload`: a body that does not go on is refused (408); "unseen": the server calls nobody before the body's end.
    `drains`: whether `drain: {signal: true}` decides instead.
    """

    name: str
    command: Command
    workers: int = 2
    stalled: Literal["released", "buffered"] = "released"
    slow_upload: Literal["refused", "unseen"] = "refused"
    alone: Literal["waits", "cancels", "kills"] = "waits"
    grace: int = 0
    briefly: tuple[str, ...] = ()
    patiently: tuple[str, ...] = ()
    waits_since: tuple[int, int] | None = None
    drains: bool = True
    http2: bool = False

    @property
    def here(self) -> str:
        """`alone`, on the Python that runs the tests."""
        return "waits" if self.waits_since and sys.version_info >= self.waits_since else self.alone


def command(words: str) -> Command:
    return lambda app, port, workers: words.format(app=app, port=port, workers=workers).split()


def gunicorn(worker: str) -> Server:
    return Server(
        f"gunicorn -k {worker}",
        command(f"gunicorn {{app}} -k {worker} -b 127.0.0.1:{{port}} -w {{workers}} --preload"),
        alone="kills",
        grace=30,
        briefly=("--graceful-timeout", "2"),
        patiently=("--graceful-timeout", "600"),
    )


WORKER = replace(
    gunicorn("asgi_llmgate.workers.UvicornWorker"), alone="cancels", grace=27, briefly=("--graceful-timeout", "5")
)

SERVERS = (
    Server("uvicorn", command("uvicorn {app} --port {port} --workers {workers}")),
    Server(
        "hypercorn",
        command("hypercorn {app} -b 127.0.0.1:{port} -w {workers}"),
        alone="kills",
        grace=3,
        briefly=("--graceful-timeout", "2"),
        patiently=("--graceful-timeout", "600"),
        drains=False,
        http2=True,
    ),
    Server(
        "granian",
        command("granian {app} --interface asgi --port {port} --workers {workers}"),
        patiently=("--workers-kill-timeout", "10"),
        http2=True,
    ),
    Server(
        "daphne",
        command("daphne {app} -b 127.0.0.1 -p {port}"),
        workers=1,
        stalled="buffered",
        slow_upload="unseen",
        alone="cancels",
        drains=False,
    ),
    gunicorn("uvicorn_worker.UvicornWorker"),
    gunicorn("asgi"),
)

ONE_PROCESS = replace(SERVERS[1], name="hypercorn -w 0", workers=0, alone="cancels", waits_since=(3, 12), drains=True)
"""Without worker processes nobody stands between the signal and the gateway."""

EVERY_WAY = (*SERVERS, WORKER, ONE_PROCESS)

HOSTS = {"Django": "django_site", "Starlette": "starlette_app", "FastAPI": "fastapi_app", "Quart": "quart_app"}
BARE = "bare"
