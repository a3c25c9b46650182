"""A gunicorn worker that ends open streams before gunicorn kills it.

    gunicorn site.asgi:application -k asgi_llmgate.workers.UvicornWorker --graceful-timeout 120

gunicorn sends a worker SIGTERM, waits `graceful_timeout` seconds, and then kills it with SIGKILL.  uvicorn's own worker
waits for its streams without a limit, and so is killed.  This one cancels the requests that are still open a little
earlier: the gateway then sends its clients an error and writes its usage records.

It uses the protocol of uvicorn_protocol.py, which limits request heads and aborts connections that are not read.
"""

from __future__ import annotations

from typing import Any

from asgi_llmgate.extras import needs_extra

with needs_extra("gunicorn", "this worker"):
    import uvicorn_worker

from asgi_llmgate.uvicorn_protocol import PROTOCOL

MARGIN = 3
"""Seconds between the cancellation and the SIGKILL."""


class UvicornWorker(uvicorn_worker.UvicornWorker):
    """uvicorn's worker, with `graceful_timeout` less MARGIN (at least one second) as `timeout_graceful_shutdown`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.config.http = PROTOCOL
        self.config.timeout_graceful_shutdown = max(1, self.cfg.graceful_timeout - MARGIN)
