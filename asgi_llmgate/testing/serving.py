"""A real server for an ASGI app: uvicorn in its own thread, on a socket that is bound before the thread starts."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from asgi_llmgate.extras import needs_extra

__all__ = ["bind", "serving"]


def bind(host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    """A listening socket; port 0 takes a free one.  Raises OSError where the port is taken."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
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
    """Serve `app` while the block runs; yields its base URL.  `options` are uvicorn's, as for `uvicorn.Config`."""
    listener = listener or bind()
    host, port = listener.getsockname()[:2]
    server = _prompt_server(app, {"log_config": None, "access_log": False, **options})
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="uvicorn", daemon=True)
    thread.start()
    try:
        yield f"http://{f'[{host}]' if ':' in host else host}:{port}"
    finally:
        server.stop()
        thread.join()
        listener.close()


def _prompt_server(app: Any, options: dict[str, Any]) -> Any:
    """A uvicorn server that stops at once: uvicorn's own notices it up to 0.1 s later, and then waits another 0.1 s."""
    with needs_extra("serve", "serving"):
        import uvicorn

    class Server(uvicorn.Server):
        _loop: asyncio.AbstractEventLoop | None = None

        def stop(self) -> None:
            self.should_exit = True
            if self._loop is not None:
                with suppress(RuntimeError):  # the loop is closed: the server has ended by itself
                    self._loop.call_soon_threadsafe(self._stopped.set)

        async def main_loop(self) -> None:
            self._stopped = asyncio.Event()
            self._loop = asyncio.get_running_loop()
            tick = 0
            while not await self.on_tick(tick):
                tick += 1
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.1):
                        await self._stopped.wait()

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            if self.server_state.connections or self.server_state.tasks:
                return await super().shutdown(sockets)
            for listener in (*self.servers, *(sockets or ())):
                listener.close()
            if not self.force_exit:
                await self.lifespan.shutdown()
            return None

    return Server(uvicorn.Config(app, **options))
