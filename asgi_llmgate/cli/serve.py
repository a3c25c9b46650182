"""`llmgate serve`: a gateway as a standalone server, without a host app."""

from __future__ import annotations

import os

import click

from asgi_llmgate.cli.address import PORT, require_free
from asgi_llmgate.extras import needs_extra
from asgi_llmgate.gateway import Gateway

_CONFIG = "LLMGATE_CONFIG"


def app() -> Gateway:
    """The factory that each worker process calls; the environment variable LLMGATE_CONFIG has the settings' path."""
    return Gateway.from_file(os.environ[_CONFIG])


@click.command()
@click.option("--config", default="llmgate.yaml", show_default=True, type=click.Path(), help="The settings.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8080, show_default=True, type=PORT, help="Port to listen on; 0: a free one.")
@click.option(
    "--graceful-timeout",
    default=30,
    show_default=True,
    type=click.IntRange(1, 86400),
    help="Seconds that calls may last after SIGTERM.",
)
@click.option(
    "--workers", default=1, show_default=True, type=click.IntRange(1, 512), help="Number of worker processes."
)
def serve(config: str, host: str, port: int, graceful_timeout: int, workers: int) -> None:
    """Serve a gateway without a host app; its address is the client's ANTHROPIC_BASE_URL."""
    with needs_extra("serve", "llmgate serve"):
        import uvicorn

        from asgi_llmgate.uvicorn_protocol import PROTOCOL

    Gateway.from_file(config)  # reports a mistake in the settings here, once, and not in each worker
    require_free(host, port)
    os.environ[_CONFIG] = os.path.abspath(config)
    uvicorn.run(
        "asgi_llmgate.cli.serve:app",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        access_log=False,
        http=PROTOCOL,
        timeout_graceful_shutdown=graceful_timeout,
    )
