"""Calls an ASGI app in memory, as a server would, and lets a test read the response while it is made.

    reply = await call(app, "POST", "/v1/messages", json={"model": "claude-opus-5-5", ...})
    assert reply.status == 200

    async with Driver(app, "POST", "/v1/messages", json={...}) as client:
        assert await client.start() == 200
        assert b"message_start" in await client.chunk()
        client.disconnect()
        await client.finish()

`httpx.ASGITransport` serves the first form but not the second: it shows nothing of a response before the app has
returned, and the client never disconnects.  Like a server, a Driver gives `http.disconnect` when the client disconnects
and also after a complete response, and silently drops what the app sends to a client that has disconnected.  Unlike
one, it checks each message strictly (`testing.validator`): a violation is raised into the app and then out of the
Driver, also where the app has caught it.

asgiref's ApplicationCommunicator runs the app, in a context of its own.  Its future is never allowed to fail, because
it would hide the messages that are still queued; what the app raises is kept here and comes after them.
"""

from __future__ import annotations

import asyncio
import json as jsonlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from asgiref.testing import ApplicationCommunicator

from asgi_llmgate._types import ASGIApp, Message, Receive, Scope, Send
from asgi_llmgate.request_headers import read_headers
from asgi_llmgate.testing.validator import ProtocolViolation, Validator

__all__ = ["Driver", "Reply", "call", "http_scope"]

Headers = Mapping[str, str] | Iterable[tuple[str, str]]

_END: Message = {"type": "driver.end"}
_DISCONNECT: Message = {"type": "http.disconnect"}


def http_scope(
    method: str = "GET", path: str = "/", *, query: str = "", headers: Headers = (), root_path: str = ""
) -> dict[str, Any]:
    """An HTTP connection scope as uvicorn would make it (ASGI 3.0, HTTP specification 2.3).

    `path` is the decoded path and, as in the specification, includes `root_path`.  A `host` header is added.
    """
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in pairs]
    if all(name != b"host" for name, _ in encoded):
        encoded.insert(0, (b"host", b"gate.test"))
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": quote(path).encode("ascii"),
        "query_string": query.encode("ascii"),
        "root_path": root_path,
        "headers": encoded,
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
        "state": {},
    }


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete response.  `headers` have lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def json(self) -> Any:
        return jsonlib.loads(self.body)

    def events(self) -> list[tuple[str, Any]]:
        """The server-sent events of the body as (event, decoded data); comments are left out."""
        return [event for block in self.body.decode().split("\n\n") if (event := _event(block))]


def _event(block: str) -> tuple[str, Any] | None:
    fields = dict(line.split(": ", 1) for line in block.splitlines() if line and not line.startswith(":"))
    return (fields.get("event", "message"), jsonlib.loads(fields["data"])) if "data" in fields else None


class Driver:
    """One request in flight; use it with `async with`.

    `json` or `content` is the request's body; an iterable of bytes arrives as that many `http.request` messages, and
    with `content=None` the body stays open until `upload` has given the rest.  `scope` overrides single keys of the
    scope.  No wait lasts longer than `timeout` seconds; then TimeoutError is raised.
    """

    def __init__(
        self,
        app: ASGIApp,
        method: str = "GET",
        path: str = "/",
        *,
        query: str = "",
        headers: Headers = (),
        json: Any = None,
        content: bytes | Iterable[bytes] | None = b"",
        scope: Mapping[str, Any] | None = None,
        timeout: float = 5.0,
    ) -> None:
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self.returned = False
        """True once the app has returned or raised."""

        pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
        if json is not None:
            content = jsonlib.dumps(json, separators=(",", ":")).encode()
            pairs.append(("content-type", "application/json"))
        if isinstance(content, bytes) and content:
            pairs.append(("content-length", str(len(content))))
        self._parts = None if content is None else [content] if isinstance(content, bytes) else list(content)

        self._app = app
        self._timeout = timeout
        self._validator = Validator(method)
        self._failure: BaseException | None = None
        self._closed = False
        self._over = False
        self._broken: OSError | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        built = {**http_scope(method, path, query=query, headers=pairs), **(scope or {})}
        self._communicator: Any = ApplicationCommunicator(self._run, built)  # type: ignore[no-untyped-call]

    async def __aenter__(self) -> Self:
        parts = self._parts
        for index, part in enumerate(parts or ()):
            self.upload(part, more=index + 1 < len(parts or ()))
        _ = self._communicator.future  # reading it starts the app
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.cancel()
        if error is None:
            self._raise_failure()

    def upload(self, data: bytes, *, more: bool = False) -> None:
        """Give the app a piece of the request's body; the last one with `more=False`."""
        self._communicator.input_queue.put_nowait({"type": "http.request", "body": data, "more_body": more})

    def disconnect(self, *, error: OSError | None = None) -> None:
        """The client disconnects.  From now on `receive` returns `http.disconnect`; `send` has no effect or, if given,
        raises `error`, as version 2.4 of the HTTP specification allows a server to do."""
        self._broken = error
        self._hang_up()
        self._flowing.set()

    def hold(self) -> None:
        """Stop reading: the app's next `send` waits for `release`, as it does for a client with a full window."""
        self._flowing.clear()

    def release(self) -> None:
        self._flowing.set()

    async def start(self) -> int:
        """Wait for the start of the response; returns the status."""
        while not self.status:
            message = await self._next()
            if message is _END:
                self._raise_failure()
                raise ProtocolViolation("the app returned without a response")
            self.status, self.headers = message["status"], read_headers(message)
        return self.status

    async def chunk(self) -> bytes:
        """The next piece of the response's body that is not empty; `b""` at the end."""
        await self.start()
        while not self._over:
            message = await self._next()
            self._over = message is _END or not message["more_body"]
            if message is not _END and message["body"]:
                return bytes(message["body"])
        self._raise_failure()
        return b""

    async def read(self) -> Reply:
        """Wait for the rest of the response."""
        chunks = []
        while piece := await self.chunk():
            chunks.append(piece)
        return Reply(self.status, self.headers, b"".join(chunks))

    async def finish(self) -> None:
        """Wait until the app has returned.  Raises what it has raised, and ProtocolViolation."""
        async with asyncio.timeout(self._timeout):
            await asyncio.wait([self._communicator.future])
        self._raise_failure()

    async def cancel(self) -> None:
        """Cancel the app, as a server does at the end of its grace period, and wait until the app has ended."""
        future = self._communicator.future
        future.cancel()
        await asyncio.wait([future])

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def checked_receive() -> Message:
            return _DISCONNECT if self._closed else await receive()

        async def checked_send(message: Message) -> None:
            self._check(message)
            await self._flowing.wait()
            if self._broken is not None:
                raise self._broken
            if self._closed:
                return
            await send({"body": b"", "more_body": False, **message})
            if self._validator.state == "done":
                self._hang_up()

        try:
            await self._app(scope, checked_receive, checked_send)
            if not self._closed:
                self._validator.end()
        except asyncio.CancelledError:
            pass
        except Exception as error:
            self._failure = self._failure or error
        finally:
            self.returned = True
            self._communicator.output_queue.put_nowait(_END)

    def _check(self, message: Message) -> None:
        try:
            self._validator.check(message)
        except ProtocolViolation as violation:
            self._failure = self._failure or violation
            raise

    def _hang_up(self) -> None:
        self._closed = True
        self._communicator.input_queue.put_nowait(_DISCONNECT)

    async def _next(self) -> Message:
        message: Message = await self._communicator.receive_output(self._timeout)
        return message

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure


async def call(app: ASGIApp, method: str = "GET", path: str = "/", **options: Any) -> Reply:
    """The complete response to one request, once the app has returned; `options` are those of `Driver`."""
    async with Driver(app, method, path, **options) as client:
        reply = await client.read()
        await client.finish()
        return reply
