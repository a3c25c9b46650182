"""One model server: where it is, what it speaks, its key, and what it has taught us.

`Backend` is what the settings say.  `Upstream` adds what running brings: the HTTP client, and the lessons of refusals
(a field that the server does not know, fewer output tokens than were asked for), so that each costs one extra call and
not one per request.  What a lesson is, and when it is kept, is attempt.py's to say.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from asgi_llmgate.errors import InvalidRequest, SettingsError, UpstreamError
from asgi_llmgate.exchange import Exchange, Secret
from asgi_llmgate.net import CredentialSource, Fetched, HTTPClient, HTTPResponse, Timeouts, header_name, header_value
from asgi_llmgate.net.client import RawHeaders
from asgi_llmgate.protocol.servers.context_window import NO_PROMPT_COUNT, PromptCount, read_prompt_count
from asgi_llmgate.protocol.servers.corrections import Correction, Corrections
from asgi_llmgate.protocol.servers.dialects import DIALECTS, Dialect
from asgi_llmgate.protocol.translation.request import Options
from asgi_llmgate.protocol.wire_pairs import SERVER_WIRES, UpstreamRequest
from asgi_llmgate.upstream.correction_store import CorrectionStore
from asgi_llmgate.upstream.outgoing import Headers

if TYPE_CHECKING:
    import httpx

ASKING = 5.0
"""Seconds for a question beside a call, such as how many tokens a prompt has."""

_ERROR_BODY = 64 * 1024
"""Bytes of a refusal that are judged: vLLM repeats the whole input for each of its complaints, up to 100 MB."""

_ASKED = 8 * 2**20
"""Bytes of the answer to a question: vLLM and llama.cpp send the number of each token along, a million in 7 MB."""

_PORTS = {"http": 80, "https": 443}
_URLS = 64
_JSON = ((b"content-type", b"application/json"),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """What is known of a model server at start.

    `base_url` is where `/chat/completions` hangs (it usually ends in `/v1`).  `provider` is the name in rules and
    records (`gen_ai.provider.name`).  `api_key` is asked for each request, so that it can rotate, or depend
    on who calls.  Raises SettingsError for a header that cannot be sent.
    """

    base_url: str = field(repr=False)
    provider: str = "openai"
    dialect: Dialect = DIALECTS["openai"]
    api_key: CredentialSource | None = None
    extra_headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    options: Options = field(default_factory=Options)
    timeouts: Timeouts = field(default_factory=Timeouts)

    def __post_init__(self) -> None:
        _require("dialect.key_header", header_name, self.dialect.key_header)
        for name, value in self.extra_headers.items():
            _require("extra_headers", header_name, name)
            _require(f"extra_headers.{name}", header_value, value)


def _require(path: str, check: Callable[[str], bytes], text: str) -> None:
    try:
        check(text)
    except ValueError as error:
        raise SettingsError(str(error), path=path) from None


@dataclass(frozen=True, slots=True)
class Corrected:
    """A refusal that says what to do about it: written anew with one of the `corrections`, the call may pass.
    `prompt_count` is what it says about this call's prompt."""

    refusal: UpstreamError
    corrections: tuple[Correction, ...]
    prompt_count: PromptCount = NO_PROMPT_COUNT


class Upstream:
    """A backend that can be asked.  `dialect` and `options` say how to write a request for it, `address` is its
    host and port."""

    def __init__(self, backend: Backend, client: HTTPClient) -> None:
        self.dialect = backend.dialect
        self.options = backend.options
        self._backend = backend
        self._client = client
        self._base = backend.base_url.rstrip("/")
        where = urlsplit(self._base)
        self.address = (where.hostname or "", where.port or _PORTS.get(where.scheme, 0))
        key_header = backend.api_key.key_header if backend.api_key is not None else ""
        self._key_header = header_name(key_header or backend.dialect.key_header)
        self._headers = tuple((header_name(name), Secret(value)) for name, value in backend.extra_headers.items())
        self._wire = SERVER_WIRES[backend.dialect.wire]
        self._corrections = CorrectionStore()
        self._urls: dict[tuple[str, str], httpx.URL] = {}

    def corrections(self, model: str) -> Corrections:
        """What this server has taught about a model of its."""
        return self._corrections.about(model)

    def keep(self, model: str, corrections: Corrections) -> None:
        """Spare other calls what one has found out."""
        self._corrections.keep(model, corrections)

    async def send(
        self,
        outgoing: UpstreamRequest,
        model: str,
        exchange: Exchange,
        more_headers: Iterable[tuple[bytes, bytes]] = (),
    ) -> HTTPResponse | Corrected:
        """Send a call: its answer is a 200 whose body has not been read.

        Raises UpstreamError for everything that neither answers nor corrects, and what the key's source raises.
        """
        url = self._url(self.dialect.path, outgoing.query)
        answer = await self._open("POST", url, (*outgoing.headers, *_JSON, *more_headers), outgoing.body, exchange)
        if answer.status == 200:
            return answer
        error, content = await self._refusal(answer)
        text = content.decode("utf-8", "replace")
        found = self._wire.read_corrections(answer.status, text)
        if not found:
            raise copy(error)  # its traceback holds this frame, which holds the one that is copied
        return Corrected(error, found, read_prompt_count(text))

    async def pass_on(
        self,
        method: str,
        path: str,
        query: str,
        headers: Sequence[tuple[bytes, bytes | Secret]],
        body: bytes,
        exchange: Exchange,
    ) -> HTTPResponse:
        """Send a request that nobody here understands to a path under `base_url`: its answer is a 2xx.

        Raises UpstreamError.
        """
        answer = await self._open(method, self._url(path, query), headers, body, exchange)
        if 200 <= answer.status < 300:
            return answer
        raise (await self._refusal(answer))[0]

    async def ask(
        self,
        path: str,
        body: bytes,
        exchange: Exchange,
        *,
        headers: Headers = (),
        query: str = "",
        at_root: bool = False,
    ) -> bytes:
        """The whole JSON answer to a small question, within ASKING seconds; `at_root`: beside `/v1`, not under it.

        Raises UpstreamError.
        """
        base = self._base.removesuffix("/v1") if at_root else self._base
        url = base + path + (f"?{query}" if query else "")

        async def fetch(credential: Headers) -> Fetched:
            sent = (*headers, *_JSON, *self._headers, *credential)
            return await self._client.fetch(
                url, method="POST", headers=sent, content=body, limit=_ASKED, timeout=ASKING
            )

        fetched = await fetch(await self._credential(exchange))
        if self._renews(fetched.status, exchange):
            fetched = await fetch(await self._credential(exchange))
        if fetched.status != 200:
            raise self._error(fetched.status, fetched.body[:_ERROR_BODY], fetched.headers)
        return fetched.body

    async def _open(
        self, method: str, url: httpx.URL, headers: RawHeaders, body: bytes, exchange: Exchange
    ) -> HTTPResponse:
        """The answer, after one more try with a new credential where there is one."""
        timeouts = self._backend.timeouts
        plain = [*headers, *self._headers]
        answer = await self._client.open(method, url, [*plain, *await self._credential(exchange)], body, timeouts)
        if self._renews(answer.status, exchange):
            await answer.aclose()
            answer = await self._client.open(method, url, [*plain, *await self._credential(exchange)], body, timeouts)
        return answer

    def _renews(self, status: int, exchange: Exchange) -> bool:
        """Whether our credential was refused, and another can be had."""
        source = self._backend.api_key
        return status in (401, 403) and source is not None and source.refused(exchange)

    async def _credential(self, exchange: Exchange) -> Headers:
        if self._backend.api_key is None:
            return ()
        key = await self._backend.api_key.get(exchange)
        bearer = self._key_header == b"authorization"
        return ((self._key_header, Secret("Bearer " + key.reveal()) if bearer else key),)

    async def _refusal(self, answer: HTTPResponse) -> tuple[UpstreamError, bytes]:
        async with answer:
            content = await answer.prefix(_ERROR_BODY)
        return self._error(answer.status, content, answer.headers), content

    def _error(self, status: int, content: bytes, headers: Mapping[str, str]) -> UpstreamError:
        return self._wire.read_error(status, content, headers, now=time.time())

    def _url(self, path: str, query: str) -> httpx.URL:
        """Parsed once: the paths are the settings' own, and of queries a client has few."""
        url = self._urls.get((path, query))
        if url is None:
            import httpx  # with the first call, as net/client.py does

            if len(self._urls) > _URLS:
                self._urls.clear()
            try:
                url = self._urls[path, query] = httpx.URL(self._base + path + (f"?{query}" if query else ""))
            except httpx.InvalidURL:
                raise InvalidRequest("the query string cannot be handed on") from None
        return url
