"""A worker for gunicorn that ends open streams before gunicorn kills it.

    gunicorn site.asgi:application -k asgi_llmgate.workers.UvicornWorker --graceful-timeout 120

gunicorn gives a worker `graceful_timeout` seconds after SIGTERM and then kills it, which nothing in the worker sees.
uvicorn's own worker waits for its streams without an end.  This one stops waiting a little earlier than gunicorn: the
requests that are still open are cancelled, and a gateway among them says so to its clients and writes its records.
Connections that are closed and whose clients do not read the rest are cut after a while: see servers.py.
"""

from __future__ import annotations

from typing import Any

try:
    import uvicorn_worker
except ImportError:
    raise ImportError("this worker needs uvicorn-worker: pip install 'asgi-llmgate[gunicorn]'") from None

from asgi_llmgate.uvicorn_protocol import PROTOCOL

MARGIN = 3
"""Seconds between the cancelling and the kill."""


class UvicornWorker(uvicorn_worker.UvicornWorker):
    """uvicorn's worker with `timeout_graceful_shutdown`: `graceful_timeout` less MARGIN, one second at least."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.config.http = PROTOCOL
        self.config.timeout_graceful_shutdown = max(1, self.cfg.graceful_timeout - MARGIN)
