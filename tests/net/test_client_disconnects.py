"""The whole chain on real sockets: a client leaves, and the model stops."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import httpx

from asgi_llmgate._types import Receive, Scope, Send
from asgi_llmgate.asgi import ClientConnection, Paced
from asgi_llmgate.errors import ClientGone
from asgi_llmgate.net import HTTPClient, Timeouts

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


async def test_when_the_client_leaves_the_upstream_sees_it(
    listen: Callable[..., Awaitable[int]], serve: Callable[..., str]
) -> None:
    stopped = asyncio.Event()

    async def model(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(CHUNKED + b"5\r\nhello\r\n")
        assert await reader.read() == b""
        stopped.set()

    upstream = httpx.URL(f"http://127.0.0.1:{await listen(model)}/")
    client = HTTPClient(proxy="none")
    test_loop = asyncio.get_running_loop()
    ending: asyncio.Future[str] = test_loop.create_future()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        try:
            opened = partial(client.open, "GET", upstream, [], b"", Timeouts())
            async with ClientConnection(receive, send) as connection:
                await connection.start(200, [])
                async with Paced(opened, every=10) as chunks:
                    async for chunk in chunks:
                        await connection.send(chunk or b"")
        except ClientGone:
            test_loop.call_soon_threadsafe(ending.set_result, "client gone")  # the server runs in a thread of its own
        finally:
            await client.aclose()

    developer = HTTPClient(proxy="none")
    url = httpx.URL(serve(app, lifespan="off"))
    async with asyncio.timeout(5):
        async with await developer.open("GET", url, [], b"", Timeouts()) as answer:
            assert await anext(answer.chunks()) == b"hello"
        await stopped.wait()
        assert await ending == "client gone"
    await developer.aclose()
