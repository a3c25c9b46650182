"""Where a command listens: its options `--host` and `--port`, and what is said where that address cannot be had."""

from __future__ import annotations

import errno
import os
import socket

import click

from asgi_llmgate.testing.serving import bind

PORT = click.IntRange(0, 65535)
"""The type of `--port`; 0 takes a free port."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.  Raises ClickException, which says what to do."""
    try:
        return bind(host, port)
    except OSError as error:
        raise click.ClickException(_why(error, host, port)) from None


def require_free(host: str, port: int) -> None:
    """Like `listen`, for a server that binds by itself: the socket is closed again."""
    listen(host, port).close()


def _why(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        other = port + 1 if port < 65535 else port - 1
        return (
            f"port {port} is taken: another program listens on {host}:{port}. "
            f"End it, or choose another port, such as --port {other}"
        )
    if error.errno == errno.EACCES:
        return f"port {port} is only for root on this machine: choose one from 1024 on, such as --port 8080"
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine: use --host 127.0.0.1, or --host 0.0.0.0 for all of its addresses"
    return f"cannot listen on {host}:{port}: {error.strerror or os.strerror(error.errno or 0)}"
