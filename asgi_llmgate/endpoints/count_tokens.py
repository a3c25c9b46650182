"""`POST /v1/messages/count_tokens`: the model server's own count if it has a tokenizer, else an estimate.

    dialect.tokenizer   upstream requests
    -----------------   -----------------------------------------------------------------------------------------
    messages            vLLM: /tokenize takes the conversation and counts it with the model's own chat template
    template            llama.cpp: /apply-template makes the prompt, /tokenize its tokens
    none                none
    (wire: messages)    /messages/count_tokens, Anthropic's own

If a tokenizer fails the response is an estimate. A missing one is not requested again for RETRY_INTERVAL: after a 404
for one model (a server may route by the name in the body), after 405 and 501 for all models of the server.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

from asgi_llmgate.errors import UnknownModel, UpstreamError
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.exchange_values import Target
from asgi_llmgate.protocol.messages.forwarding import anthropic_headers
from asgi_llmgate.protocol.messages.request import MessagesRequest
from asgi_llmgate.protocol.rawjson.objects import to_json
from asgi_llmgate.protocol.servers import tokenizers
from asgi_llmgate.protocol.token_estimate import Estimator
from asgi_llmgate.protocol.translation.request.chat_request import to_chat
from asgi_llmgate.protocol.wire_pairs import SERVER_WIRES
from asgi_llmgate.upstream import ExpiringCache, Upstream

log = logging.getLogger("llmgate")

RETRY_INTERVAL = 300.0
"""Seconds until a tokenizer that was missing is requested again."""

_NO_TOKENIZER = frozenset({405, 501})


class TokenCounter:
    """Counts the tokens of prompts.

    `upstreams` maps a backend's name to it. `estimator` estimates where a server cannot count, and learns from the
    counts of servers. `now` gives monotonic seconds.
    """

    def __init__(
        self,
        upstreams: Mapping[str, Upstream],
        *,
        estimator: Estimator,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._upstreams = upstreams
        self._estimator = estimator
        self._missing = ExpiringCache[bool](now, RETRY_INTERVAL)

    async def count(self, exchange: Exchange, request: MessagesRequest, target: Target, *, query: str = "") -> int:
        """The tokens of the prompt.

        Raises the errors of a server with Anthropic's wire, and InvalidRequest for a prompt that cannot be translated.
        """
        upstream = self._upstreams[target.backend]
        if SERVER_WIRES[upstream.dialect.wire].counts_tokens:
            body = request.forwarded({"model": to_json(target.model)})
            path = upstream.dialect.path + "/count_tokens"
            headers = anthropic_headers(exchange.headers)
            return tokenizers.read_count(await upstream.fetch(path, body, exchange, headers=headers, query=query))
        if upstream.dialect.tokenizer != "none" and not self._is_missing(target):
            try:
                found = await self._fetch_count(upstream, exchange, request, target)
            except UpstreamError as error:
                self._note_missing(error, target)
                log.info("backend %s cannot count tokens: %s %s", target.backend, error.message, error.detail)
            else:
                self._estimator.observe(target.model, request.size, found, exchange.identity.key)
                return found
        return self._estimator.estimate(request.size, target.model, exchange.identity.key)

    def _is_missing(self, target: Target) -> bool:
        return any(self._missing.get(key) for key in ((target.backend, None), (target.backend, target.model)))

    def _note_missing(self, error: UpstreamError, target: Target) -> None:
        """Remember that a tokenizer is missing. A missing model does not mean that."""
        if error.status in _NO_TOKENIZER:
            self._missing.put((target.backend, None), True)
        elif error.status == 404 and not isinstance(error, UnknownModel):
            self._missing.put((target.backend, target.model), True)

    async def _fetch_count(
        self, upstream: Upstream, exchange: Exchange, request: MessagesRequest, target: Target
    ) -> int:
        chat = to_chat(
            request, target=target, dialect=upstream.dialect, options=upstream.options, request_id="", counting=True
        )
        prompt = tokenizers.prompt_body(chat.body)
        if upstream.dialect.tokenizer == "messages":
            return tokenizers.read_count(await upstream.fetch("/tokenize", prompt, exchange, at_root=True))
        text = tokenizers.read_prompt(await upstream.fetch("/apply-template", prompt, exchange, at_root=True))
        body = tokenizers.text_body(text)
        return tokenizers.read_count(await upstream.fetch("/tokenize", body, exchange, at_root=True))
