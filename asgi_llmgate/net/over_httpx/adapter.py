"""An httpx transport as a Transport."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from typing import Any

import httpx

from asgi_llmgate.concurrency.chunks import ReadByTask
from asgi_llmgate.net.over_httpx.errors import ERRORS, READ_ERRORS, error_before_response, error_in_response
from asgi_llmgate.net.over_httpx.shared_transport import NEW_CONNECTION
from asgi_llmgate.net.transport import Request

_CLOSE_TIMEOUT = 10.0
"""Seconds for closing a connection; a request may still be on its way to a server that no longer reads."""

_close_tasks: set[asyncio.Task[None]] = set()
"""Keeps the tasks that close connections alive; an event loop has only weak references to its tasks."""


class HTTPXAdapter:
    """`transport` is closed by `aclose`, unless it is borrowed."""

    def __init__(self, transport: httpx.AsyncBaseTransport, *, borrowed: bool = False) -> None:
        self._transport = transport
        self._borrowed = borrowed

    async def send(self, request: Request) -> HTTPXResponse:
        try:
            return HTTPXResponse(await self._transport.handle_async_request(_httpx_request(request)))
        except ERRORS as error:
            raise error_before_response(error) from None

    async def aclose(self) -> None:
        if not self._borrowed:
            await self._transport.aclose()


class HTTPXResponse:
    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.body = ReadByTask(_body(response))
        self._response = response

    async def aclose(self) -> None:
        try:
            await self.body.aclose()
        finally:
            await self._close()

    async def _close(self) -> None:
        if self.body.has_ended:
            await self._response.aclose()
            return
        closing = asyncio.get_running_loop().create_task(_close(self._response))
        _close_tasks.add(closing)
        closing.add_done_callback(_close_tasks.discard)
        await asyncio.shield(closing)


async def _body(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    try:
        async for chunk in response.stream:  # type: ignore[union-attr]
            yield chunk
    except READ_ERRORS as error:
        raise error_in_response(error) from None


async def _close(response: httpx.Response) -> None:
    with suppress(TimeoutError, *ERRORS):  # the connection is given up; how that fails does not matter
        async with asyncio.timeout(_CLOSE_TIMEOUT):
            await response.aclose()


def _httpx_request(request: Request) -> httpx.Request:
    return httpx.Request(
        request.method,
        str(request.url),
        headers=request.plain_headers(),
        content=request.plain_content(),
        extensions=_extensions(request),
    )


def _extensions(request: Request) -> dict[str, Any]:
    # httpx-aiohttp's `pool` bounds connecting too.  `read` and `write` are bounded by the Deadline.
    connect, pool = request.timeouts.connect, request.timeouts.pool
    both = None if pool is None or connect is None else pool + connect
    found: dict[str, Any] = {"timeout": {"connect": connect, "pool": both, "read": None, "write": None}}
    if request.new_connection:
        found[NEW_CONNECTION] = True
    return found
