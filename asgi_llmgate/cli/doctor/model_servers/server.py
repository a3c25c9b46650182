"""A model server as the doctor asks it: small GET requests, with the credential, proxy and CA of a real call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

import msgspec

from asgi_llmgate.exchange import Exchange
from asgi_llmgate.net import HTTPClient, Timeouts
from asgi_llmgate.net.base_url import BaseURL, parse_base_url
from asgi_llmgate.protocol.servers.errors.upstream_errors import unreadable_response
from asgi_llmgate.secret_values import Secret
from asgi_llmgate.upstream import Backend, Upstream

GET_TIMEOUT = 10.0
"""Seconds for one small request."""

MAX_DOCUMENT = 8 * 2**20
"""Bytes of a document: OpenRouter's list of models has a megabyte."""


@dataclass(frozen=True, slots=True)
class Document:
    """A JSON document, and the headers that came with it."""

    content: Any = field(repr=False)
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Server:
    """A backend under its name in the settings.

    `token` is a caller's, for credentials that need one. `seconds` is the time for one small request.
    """

    name: str
    backend: Backend
    client: HTTPClient
    token: Secret | None = None
    seconds: float = GET_TIMEOUT

    @property
    def dialect(self) -> str:
        return self.backend.dialect.name

    @property
    def base(self) -> BaseURL:
        """Its address, as the gateway reads it."""
        return parse_base_url(self.backend.base_url, self.backend.dialect.path)

    @property
    def path(self) -> str:
        """The path of its API, such as `/v1`."""
        return urlsplit(self.base.root).path

    @property
    def root(self) -> str:
        """The path beside `/v1`, where servers have what is not OpenAI's."""
        return self.path.removesuffix("/v1")

    def exchange(self) -> Exchange:
        """A request of nobody, for what needs one."""
        return Exchange(token=self.token)

    async def get(self, path: str, *, method: str = "GET", body: Mapping[str, Any] | None = None) -> Document:
        """The JSON document at a path of the server, which begins at its root and not at `base_url`.

        Raises GateError: also for a document that is not JSON.
        """
        timeouts = Timeouts(**dict.fromkeys(("connect", "pool", "first_byte", "idle", "total"), self.seconds))
        # A dialect without a path, so that the URL is taken as it is.
        dialect = msgspec.structs.replace(self.backend.dialect, path="")
        backend = replace(self.backend, base_url=self.at(""), dialect=dialect, timeouts=timeouts)
        base, upstream = self.base, Upstream(backend, self.client)
        content = b"" if body is None else msgspec.json.encode(body)
        headers: list[tuple[bytes, bytes | Secret]] = [(b"accept", b"application/json")]
        if body is not None:
            headers.append((b"content-type", b"application/json"))
        if base.authorization is not None:
            headers.append((b"authorization", base.authorization))
        if dialect.wire == "messages":
            headers.append((b"anthropic-version", b"2023-06-01"))
        async with await upstream.forward(method, path, base.query, headers, content, self.exchange()) as response:
            read = await response.read(MAX_DOCUMENT)
        try:
            return Document(msgspec.json.decode(read), response.headers)
        except (ValueError, RecursionError):
            error = unreadable_response(read, "the response is not JSON")
        error.status = response.status
        raise error

    def at(self, path: str) -> str:
        """The base URL with another path, as it would stand in the settings, without credentials."""
        return urlsplit(self.base.root)._replace(path=path).geturl()
