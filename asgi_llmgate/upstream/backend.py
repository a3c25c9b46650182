"""One model server: where it is, what it speaks, its key, and what it has taught us.

`Backend` is what the settings say.  `Upstream` adds what running brings: the HTTP client, and the lessons of refusals
(a field that the server does not know, fewer output tokens than were asked for), so that each costs one extra call and
not one per request.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import httpx

from asgi_llmgate.net import HTTPAnswer, HTTPClient, SecretSource, Timeouts
from asgi_llmgate.protocol.dialects import DIALECTS, Dialect
from asgi_llmgate.protocol.failures import upstream_error
from asgi_llmgate.protocol.learnt import NOTHING, Learnt, learn
from asgi_llmgate.protocol.request import Options

_ERROR_BODY = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """What is known of a model server at start.

    `base_url` is where `/chat/completions` hangs (it usually ends in `/v1`).  `provider` is the name in rules and
    records (`gen_ai.provider.name`).  `api_key` is asked for each request, so that it can rotate.
    """

    base_url: str
    provider: str = "openai"
    dialect: Dialect = DIALECTS["openai"]
    api_key: SecretSource | None = None
    extra_headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    options: Options = field(default_factory=Options)
    timeouts: Timeouts = field(default_factory=Timeouts)


class Upstream:
    """A backend that can be asked.  `dialect` and `options` say how to write a request for it."""

    def __init__(self, backend: Backend, client: HTTPClient) -> None:
        self.dialect = backend.dialect
        self.options = backend.options
        self._api_key = backend.api_key
        self._timeouts = backend.timeouts
        self._client = client
        self._url = httpx.URL(backend.base_url.rstrip("/") + backend.dialect.path)
        self._key_header = backend.dialect.key_header.encode("ascii")
        self._headers = [
            (b"content-type", b"application/json"),
            *((name.lower().encode("ascii"), value.encode("latin-1")) for name, value in backend.extra_headers.items()),
        ]
        self._lessons: dict[str, Learnt] = {}

    def lessons(self, model: str) -> Learnt:
        """What this server has taught about a model of its."""
        return self._lessons.get(model, NOTHING)

    async def send(self, body: bytes, model: str) -> HTTPAnswer | None:
        """Send a chat completions request: its answer is a 200 whose body has not been read.

        None when it was refused in a way that `lessons` now knows about: written anew, it may pass.  Raises
        UpstreamError for everything else.
        """
        headers = self._headers
        if self._api_key is not None:
            key = await self._api_key.get()
            value = key.reveal().encode("latin-1")
            headers = [
                *headers,
                (self._key_header, b"Bearer " + value if self._key_header == b"authorization" else value),
            ]
        answer = await self._client.open("POST", self._url, headers, body, self._timeouts)
        if answer.status == 200:
            return answer
        async with answer:
            content = await answer.read(_ERROR_BODY)
        lesson = learn(answer.status, content.decode("utf-8", "replace"), self.lessons(model))
        if lesson is None:
            raise upstream_error(answer.status, content, answer.headers, now=time.time())
        self._lessons[model] = lesson
        return None
