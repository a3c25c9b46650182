"""The lifespan protocol (https://asgi.readthedocs.io/en/latest/specs/lifespan.html), spoken for a gateway.

A gateway needs no lifespan: what it opens, it opens with the first request.  Where there is one, it is used to warm up
and to close cleanly, and a mounted gateway gets it although hosts do not hand it on: it is taken in on its way to the
host.

    server                         gateway                        host
    lifespan.startup        ->     startup()               ->     lifespan.startup
                                                           <-     lifespan.startup.complete
    lifespan.shutdown       ->                             ->     lifespan.shutdown
                            <-     shutdown()              <-     lifespan.shutdown.complete

A host that does not know the protocol says so by raising (Django) or returning at once.  The gateway is already up
then, and the rest of the conversation is held without the host.
"""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack
from typing import Protocol

from asgi_llmgate._types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger("llmgate")

_LAST_WORDS = frozenset({"lifespan.startup.failed", "lifespan.shutdown.complete", "lifespan.shutdown.failed"})


class Hooks(Protocol):
    """What is to be started and shut down, in this order and once each; `shutdown` also after a failed `startup`."""

    async def startup(self) -> None: ...

    async def shutdown(self) -> None: ...


async def run_lifespan(
    hooks: Hooks, scope: Scope, receive: Receive, send: Send, *, host: ASGIApp | None = None
) -> None:
    """Answer a lifespan scope, with the host's part in it if there is one.

    When `startup` raises, the server is told `lifespan.startup.failed`, which ends the process: it should raise for
    nothing that may get better by itself.  What `shutdown` raises is logged.
    """
    message = await receive()
    async with AsyncExitStack() as gateway:
        gateway.push_async_callback(_shutdown, hooks)
        try:
            await hooks.startup()
        except Exception as error:
            logger.exception("the gateway did not start")
            await send({"type": "lifespan.startup.failed", "message": f"{type(error).__name__}: {error}"})
            return
        if host is not None and await _through(host, gateway, message, scope, receive, send):
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await gateway.aclose()
        await send({"type": "lifespan.shutdown.complete"})


async def _through(
    host: ASGIApp, gateway: AsyncExitStack, startup: Message, scope: Scope, receive: Receive, send: Send
) -> bool:
    """Let the host hold the conversation, which begins with a message that was received already.  False if it does
    not take part: it has raised, or returned, before it received anything."""
    held_back: Message | None = startup

    async def host_receive() -> Message:
        nonlocal held_back
        if held_back is None:
            return await receive()
        message, held_back = held_back, None
        return message

    async def host_send(message: Message) -> None:
        if message["type"] in _LAST_WORDS:
            await gateway.aclose()
        await send(message)

    try:
        await host(scope, host_receive, host_send)
    except Exception:
        if held_back is None:
            raise
    return held_back is None


async def _shutdown(hooks: Hooks) -> None:
    try:
        await hooks.shutdown()
    except Exception:
        logger.exception("the gateway did not shut down cleanly")
