"""Whether this process may open as many files as its streams need.

A stream takes two descriptors: the client's socket and the model server's.  As many again are wanted for connections
that wait in the pool, the access log, the ledger, and the requests that are refused meanwhile.  A process that has
none left accepts nobody and can write no log, so the limit is looked at when the gateway is made.
"""

from __future__ import annotations

import logging
import resource

log = logging.getLogger("llmgate")

PER_STREAM = 4
"""Descriptors for each stream that is expected."""


def check_descriptors(streams: int, limit: int | None = None) -> bool:
    """Whether `streams` at once fit under the limit of open files; logs a warning if not.

    `limit` is the soft limit (getrlimit(2), RLIMIT_NOFILE), by default this process's own.
    """
    if limit is None:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if limit == resource.RLIM_INFINITY:
            return True
    wanted = PER_STREAM * streams
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
    )
    return False
