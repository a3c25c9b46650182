"""Upstream: a backend at run time. It sends requests, reads error responses, and keeps the corrections they ask for.

A correction (a field that the server does not know, a smaller limit of output tokens) is kept so that it costs one
further attempt, and not one per request. call.py decides which corrections are kept.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass

import msgspec

from asgi_llmgate.errors import InvalidRequest, UpstreamError
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.exchange_values import Target
from asgi_llmgate.net import Fetched, HTTPClient, HTTPResponse, header_name
from asgi_llmgate.net.base_url import parse_base_url
from asgi_llmgate.net.request_url import RequestURL, parse_url
from asgi_llmgate.net.transport import RawHeaders
from asgi_llmgate.protocol.servers.context_window import NO_PROMPT_COUNT, PromptCount, read_prompt_count
from asgi_llmgate.protocol.servers.corrections.changes import Correction, Corrections
from asgi_llmgate.protocol.servers.errors.upstream_errors import READING
from asgi_llmgate.protocol.wire_pairs import SERVER_WIRES, UpstreamRequest
from asgi_llmgate.running_state import RunningState
from asgi_llmgate.secret_values import Secret
from asgi_llmgate.upstream.backend import Backend
from asgi_llmgate.upstream.correction_store import CorrectionStore

log = logging.getLogger("llmgate")

FETCH_TIMEOUT = 5.0
"""Seconds for a request that is not a call, such as one that counts the tokens of a prompt."""

_MAX_ERROR_BODY = 64 * 1024
"""Bytes of an error response that are read: vLLM repeats the whole input for each of its complaints, up to 100 MB."""

_MAX_FETCHED = 8 * 2**20
"""Bytes of the response to `fetch`: vLLM and llama.cpp send the number of each token, a million of them in 7 MB."""

_MAX_URLS = 64
_MAX_WARNINGS = 100
_JSON = ((b"content-type", b"application/json"),)

_ERROR_READING = {READING, "asgi_llmgate.protocol.servers.corrections.table"}
"""The modules that the first error of a model server needs."""

Headers = tuple[tuple[bytes, bytes | Secret], ...]


@dataclass(frozen=True, slots=True)
class Correctable:
    """An upstream error that asks for a change: with one of the `corrections` the request may be accepted.

    `prompt_count` is the size of this prompt, as the error states it.
    """

    status: int
    error: UpstreamError
    corrections: tuple[Correction, ...]
    prompt_count: PromptCount = NO_PROMPT_COUNT


class Upstream:
    """Sends requests to one backend. `dialect` and `options` say how to write them; `address` is its host and port;
    `timeouts` are those of its calls.

    `corrections` keeps what its error responses have asked for; without it the upstream keeps that itself.
    """

    def __init__(self, backend: Backend, client: HTTPClient, corrections: CorrectionStore | None = None) -> None:
        self.dialect = backend.dialect
        self.options = backend.options
        self.timeouts = backend.timeouts
        self._backend = backend
        self._client = client
        self._base = parse_base_url(backend.base_url, backend.dialect.path)
        self.address = self._base.address
        key_header = backend.api_key.key_header if backend.api_key is not None else ""
        self._key_header = header_name(key_header or backend.dialect.key_header)
        self._headers = tuple((header_name(name), Secret(value)) for name, value in backend.extra_headers.items())
        if self._base.authorization is not None:
            self._headers += ((b"authorization", self._base.authorization),)
        self._wire = SERVER_WIRES[backend.dialect.wire]
        self._corrections = CorrectionStore() if corrections is None else corrections
        self._urls: dict[tuple[str, str], RequestURL] = {}
        self._cutting: set[str] = set()

    def corrections(self, model: str) -> Corrections:
        """The corrections that are known for a model of this server."""
        return self._corrections.about(model)

    def keep(self, model: str, corrections: Corrections) -> None:
        """Apply these corrections to further calls for the model."""
        self._corrections.keep(model, corrections)

    def warn_cut(self, target: Target, counted: int, estimate: int) -> None:
        """Log, once for each model, that the server has cut a prompt of about `estimate` tokens."""
        if target.model in self._cutting or len(self._cutting) >= _MAX_WARNINGS:
            return
        self._cutting.add(target.model)
        log.warning(
            "backend %s counted %d tokens of a prompt of about %d: it has probably cut it to its context window "
            "without an error, and the model %s lacks instructions and tools. Raise the window to 48000 tokens or more "
            "(Ollama: OLLAMA_CONTEXT_LENGTH, or num_ctx in the Modelfile)",
            target.backend,
            counted,
            estimate,
            target.model[:128],
        )

    async def send(
        self,
        request: UpstreamRequest,
        exchange: Exchange,
        more_headers: Iterable[tuple[bytes, bytes]] = (),
        *,
        new_connection: bool = False,
    ) -> HTTPResponse | Correctable:
        """Send the request of a call. The response is a 200 whose body has not been read.

        `new_connection` as in HTTPClient.open. Raises UpstreamError for an error without corrections, and what the
        credential's source raises.
        """
        url = self._url(self.dialect.path, request.query)
        headers = (*request.headers, *_JSON, *more_headers)
        response = await self._open("POST", url, headers, request.body, exchange, new_connection)
        if response.status == 200:
            return response
        error, content = await self._read_error(response)
        text = content.decode("utf-8", "replace")
        found = self._wire.read_corrections(response.status, text)
        if not found:
            # A copy: the traceback of the original would hold this frame, and with it the request.
            raise copy(error)
        return Correctable(response.status, error, found, read_prompt_count(text))

    def refusal_in(self, first: bytes) -> Correctable | None:
        """The refusal that the first chunk of a response with the status 200 is, if it asks for a change."""
        if (error := self._wire.find_refusal(first)) is None:
            return None
        # Without a status of its own the server speaks about the request: it has generated nothing.
        status = error.status if 400 <= error.status < 500 else 400
        text = first.decode("utf-8", "replace")
        found = self._wire.read_corrections(status, text)
        return Correctable(status, error, found, read_prompt_count(text)) if found else None

    async def forward(
        self,
        method: str,
        path: str,
        query: str,
        headers: Sequence[tuple[bytes, bytes | Secret]],
        body: bytes,
        exchange: Exchange,
        *,
        new_connection: bool = False,
    ) -> HTTPResponse:
        """Send a request of any kind to a path under `base_url`. The response is a 2xx.

        `new_connection` as in HTTPClient.open. Raises UpstreamError.
        """
        response = await self._open(method, self._url(path, query), headers, body, exchange, new_connection)
        if 200 <= response.status < 300:
            return response
        raise (await self._read_error(response))[0]

    async def fetch(
        self,
        path: str,
        body: bytes,
        exchange: Exchange,
        *,
        headers: Headers = (),
        query: str = "",
        at_root: bool = False,
    ) -> bytes:
        """Send a small request and read its whole JSON response, within FETCH_TIMEOUT seconds.

        With `at_root` the path is beside `/v1` and not under it. Raises UpstreamError.
        """
        url = self._base.join(path, query, at_root=at_root)

        async def send(credential: Headers) -> Fetched:
            sent = (*headers, *_JSON, *self._headers, *credential)
            return await self._client.fetch(
                url, method="POST", headers=sent, content=body, limit=_MAX_FETCHED, timeout=FETCH_TIMEOUT
            )

        fetched = await send(await self._credential(exchange))
        if self._can_renew(fetched.status, exchange):
            fetched = await send(await self._credential(exchange))
        if fetched.status != 200:
            raise self._error(fetched.status, fetched.body[:_MAX_ERROR_BODY], fetched.headers)
        return fetched.body

    async def _open(
        self,
        method: str,
        url: RequestURL,
        headers: RawHeaders,
        body: bytes,
        exchange: Exchange,
        new_connection: bool,
    ) -> HTTPResponse:
        """The response.  If the credential is refused and there is a new one, the response to a second request with
        that."""
        is_last = False
        while True:
            sent = [*headers, *self._headers, *await self._credential(exchange)]
            response = await self._client.open(method, url, sent, body, self.timeouts, new_connection=new_connection)
            if is_last or response.status not in (401, 403) or not self._can_renew(response.status, exchange):
                return response
            is_last = True
            await response.aclose()

    def _can_renew(self, status: int, exchange: Exchange) -> bool:
        """Whether the credential was refused, and there is another one."""
        source = self._backend.api_key
        return status in (401, 403) and source is not None and source.refused(exchange)

    async def _credential(self, exchange: Exchange) -> Headers:
        if self._backend.api_key is None:
            return ()
        key = await self._backend.api_key.get(exchange)
        bearer = self._key_header == b"authorization"
        return ((self._key_header, Secret("Bearer " + key.reveal()) if bearer else key),)

    async def _read_error(self, response: HTTPResponse) -> tuple[UpstreamError, bytes]:
        async with response:
            if not sys.modules.keys() >= _ERROR_READING:
                await asyncio.to_thread(_import_error_reading)  # a tenth of a second: streams go on meanwhile
            content = await response.prefix(_MAX_ERROR_BODY)
        return self._error(response.status, content, response.headers), content

    def _error(self, status: int, content: bytes, headers: Mapping[str, str]) -> UpstreamError:
        return self._wire.read_error(status, content, headers, now=time.time())

    def _url(self, path: str, query: str) -> RequestURL:
        """The URL, parsed once: the paths come from settings, and a client uses few different queries."""
        url = self._urls.get((path, query))
        if url is None:
            if len(self._urls) > _MAX_URLS:
                self._urls.clear()
            try:
                url = self._urls[path, query] = parse_url(self._base.join(path, query))
            except ValueError:
                raise InvalidRequest("the query string cannot be forwarded: it is not valid in a URL") from None
        return url


def _import_error_reading() -> None:
    for name in _ERROR_READING:
        importlib.import_module(name)


def open_upstreams(backends: Mapping[str, Backend], client: HTTPClient, state: RunningState) -> dict[str, Upstream]:
    """The upstream of each backend.  Those of one state share what they find out about a server."""
    upstreams = {}
    for name, backend in backends.items():
        server = (backend.base_url, msgspec.to_builtins(backend.dialect))  # dialects compare by identity
        corrections = state.keep("corrections", name, server, CorrectionStore)
        upstreams[name] = Upstream(backend, client, corrections)
    return upstreams
