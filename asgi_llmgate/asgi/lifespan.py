"""The lifespan protocol (https://asgi.readthedocs.io/en/latest/specs/lifespan.html) of a gateway and its host.

A gateway needs no lifespan: it opens connections with the first request.  Where there is one, the gateway starts and
closes with it.  Hosts do not forward the lifespan to mounted apps, so `mount` runs the gateway's part before the
host's:

    server                         gateway                        host
    lifespan.startup        ->     startup()               ->     lifespan.startup
                                                           <-     lifespan.startup.complete
    lifespan.shutdown       ->                             ->     lifespan.shutdown
                            <-     shutdown()              <-     lifespan.shutdown.complete

A host without lifespan support raises (Django) or returns at once.  The gateway has started by then, and the rest of
the protocol runs without the host.
"""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack
from typing import Protocol

from asgi_llmgate._types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger("llmgate")

_FINAL_MESSAGES = frozenset({"lifespan.startup.failed", "lifespan.shutdown.complete", "lifespan.shutdown.failed"})


class Hooks(Protocol):
    """`startup` and `shutdown` run in this order, once each; `shutdown` also after a failed `startup`."""

    async def startup(self) -> None: ...

    async def shutdown(self) -> None: ...


async def run_lifespan(
    hooks: Hooks, scope: Scope, receive: Receive, send: Send, *, host: ASGIApp | None = None
) -> None:
    """Serve a lifespan scope, together with the host if there is one.

    When `startup` raises, `lifespan.startup.failed` is sent, which ends the process: so it should not raise for an
    error that may be temporary.  An error of `shutdown` is logged.
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
        if host is not None and await _run_host(host, gateway, message, scope, receive, send):
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await gateway.aclose()
        await send({"type": "lifespan.shutdown.complete"})


async def _run_host(
    host: ASGIApp, gateway: AsyncExitStack, startup: Message, scope: Scope, receive: Receive, send: Send
) -> bool:
    """Run the host's lifespan, whose first message, `startup`, was received already.

    False if the host has no lifespan: it raised or returned before it received anything.
    """
    unread: Message | None = startup

    async def host_receive() -> Message:
        nonlocal unread
        if unread is None:
            return await receive()
        message, unread = unread, None
        return message

    async def host_send(message: Message) -> None:
        if message["type"] in _FINAL_MESSAGES:
            # Before the message is forwarded: uvicorn ends the process soon after it.
            await gateway.aclose()
        await send(message)

    try:
        await host(scope, host_receive, host_send)
    except Exception:
        if unread is None:  # the host took part, so this is an error of its own
            raise
    return unread is None


async def _shutdown(hooks: Hooks) -> None:
    try:
        await hooks.shutdown()
    except Exception:
        logger.exception("the gateway did not shut down cleanly")
