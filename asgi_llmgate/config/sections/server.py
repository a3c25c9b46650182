"""`server`: what request bodies and streams may cost, and how the gateway stops."""

from __future__ import annotations

import logging
import resource
from functools import partial
from typing import Annotated

import msgspec

from asgi_llmgate._types import Layer
from asgi_llmgate.asgi import Draining
from asgi_llmgate.asgi.body import LIMIT as BODY_LIMIT
from asgi_llmgate.asgi.client_connection import STALL
from asgi_llmgate.asgi.draining import AFTER
from asgi_llmgate.asgi.upload_limits import MEMORY, MIN_RATE, TIMEOUT
from asgi_llmgate.config.section import Section
from asgi_llmgate.config.units import parse_size
from asgi_llmgate.errors import SettingsError
from asgi_llmgate.mistakes import Mistakes
from asgi_llmgate.protocol.buffer_limit import RESPONSE_LIMIT
from asgi_llmgate.protocol.rawjson.structure import Structure
from asgi_llmgate.routing.resolve import ResolveMiddleware

log = logging.getLogger("llmgate")

DESCRIPTORS_PER_STREAM = 4
"""File descriptors for each expected stream: one for the client's socket, one for the model server's, and two for
connections that wait in the pool, the access log, the ledger, and requests that are refused meanwhile."""

COPIES_OF_BODY = 3
"""Copies of a body in memory while it is read: as it was received, decompressed in pieces, and in one piece."""


class DrainSettings(Section, frozen=True):
    """When the server stops.  `after`: seconds until calls that are still open end; `signal`: begin at SIGTERM."""

    signal: bool = False
    after: Annotated[float, msgspec.Meta(ge=0)] = AFTER


class ServerSettings(Section, frozen=True):
    """Sizes are bytes, or text like `32MiB`; `body_min_rate` is per second.

    `body_timeout` and `client_stall` are seconds for which a client may send nothing, and read nothing.
    `answer_limit`: bytes of one response that are kept in memory.  `streams`: the expected maximum of open streams per
    worker.
    """

    body_limit: str | int = BODY_LIMIT
    body_timeout: Annotated[float, msgspec.Meta(gt=0)] = TIMEOUT
    body_min_rate: str | int = MIN_RATE
    body_memory: str | int = MEMORY
    answer_limit: str | int = RESPONSE_LIMIT
    structure: Structure = Structure()
    client_stall: float = STALL
    streams: Annotated[int, msgspec.Meta(ge=1)] = 250
    drain: DrainSettings = DrainSettings()
    debug: bool = False


def make_draining(drain: DrainSettings) -> Draining:
    """The Draining that ends open calls when the server stops."""
    return Draining(after=drain.after, signal=drain.signal)


def make_resolve_layer(server: ServerSettings) -> Layer:
    """The ResolveMiddleware, with the limits of request bodies.  Raises SettingsError."""
    mistakes = Mistakes()
    limit = rate = memory = None
    with mistakes.under("server.body_limit"):
        limit = parse_size(server.body_limit)
    with mistakes.under("server.body_min_rate"):
        rate = parse_size(server.body_min_rate)
        if rate < 1:
            raise SettingsError("the rate must be at least 1 byte per second")
    with mistakes.under("server.body_memory"):
        memory = parse_size(server.body_memory)
        if limit is not None and memory < COPIES_OF_BODY * limit:
            hint = f"at least {COPIES_OF_BODY * limit} bytes, or a smaller body_limit"
            about = ("$.server.body_limit",)
            raise SettingsError("there is no room for one body of server.body_limit", hint=hint, rests_on=about)
    mistakes.raise_if_any()
    return partial(
        ResolveMiddleware,
        body_limit=limit,
        body_timeout=server.body_timeout,
        body_min_rate=rate,
        body_memory=memory,
        structure=server.structure,
    )


def check_descriptors(streams: int, limit: int | None = None) -> bool:
    """Whether `streams` at once fit under the limit of open files; logs a warning if not.

    `limit` is the soft limit (getrlimit(2), RLIMIT_NOFILE), by default this process's own.
    """
    # A process without a free descriptor accepts no connection and writes no log: so the warning comes at the start.
    if limit is None:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if limit == resource.RLIM_INFINITY:
            return True
    wanted = DESCRIPTORS_PER_STREAM * streams
    if limit >= wanted:
        return True
    log.warning(
        "server.streams: %d streams at once need a limit of %d open files, and it is %d; "
        "raise it (systemd: LimitNOFILE=%d, a shell: ulimit -n %d) or expect fewer streams",
        streams,
        wanted,
        limit,
        wanted,
        wanted,
        extra={"setting": "server.streams"},
    )
    return False
