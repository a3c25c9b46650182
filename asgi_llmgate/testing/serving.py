"""A real server for an ASGI app: uvicorn in a thread of its own, on a socket that is bound before the thread starts."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def bind(host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    """A listening socket; port 0 takes a free one.  Raises OSError where the port is taken."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener


@contextmanager
def serving(app: Any, listener: socket.socket | None = None, **options: Any) -> Iterator[str]:
    """Serve `app` while the block runs; gives its base URL.  `options` are uvicorn's, as for `uvicorn.Config`."""
    import uvicorn

    listener = listener or bind()
    host, port = listener.getsockname()[:2]
    server = uvicorn.Server(uvicorn.Config(app, **{"log_config": None, "access_log": False, **options}))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="uvicorn", daemon=True)
    thread.start()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
