"""The upstream request of a call, written with what the exchange says about it."""

from __future__ import annotations

from dataclasses import dataclass, field

from asgi_llmgate.exchange import Exchange, Secret, Target
from asgi_llmgate.protocol.buffer_limit import BufferLimit
from asgi_llmgate.protocol.forwarded_request import ForwardedRequest
from asgi_llmgate.protocol.messages.request import MessagesRequest
from asgi_llmgate.protocol.servers.context_window import NO_PROMPT_COUNT, PromptCount
from asgi_llmgate.protocol.servers.corrections import Corrections
from asgi_llmgate.protocol.servers.dialects import Dialect
from asgi_llmgate.protocol.translation.request import Options
from asgi_llmgate.protocol.wire_pairs import PAIRS, UpstreamRequest, WriteContext

Headers = tuple[tuple[bytes, bytes | Secret], ...]


@dataclass(frozen=True, slots=True)
class Asking:
    """One call for one target.

    `input_estimate` is the tokens of the prompt, `query` the client's query string, `prompt_count` what the server said
    about the prompt in an upstream error, `retained` counts what is kept of the response.
    """

    exchange: Exchange
    request: MessagesRequest | ForwardedRequest
    target: Target
    input_estimate: int
    query: str = ""
    prompt_count: PromptCount = NO_PROMPT_COUNT
    retained: BufferLimit = field(default_factory=BufferLimit)


def write(asking: Asking, dialect: Dialect, options: Options, corrections: Corrections) -> UpstreamRequest:
    """The upstream request, with all corrections that are known.

    Raises InvalidRequest where the call cannot be translated.
    """
    exchange = asking.exchange
    context = WriteContext(
        request=asking.request,
        target=asking.target,
        dialect=dialect,
        options=options,
        request_id=exchange.request_id,
        input_estimate=asking.input_estimate,
        retained=asking.retained,
        corrections=corrections,
        prompt_count=asking.prompt_count,
        session_id=exchange.call.session_id if exchange.call else "",
        client_headers=exchange.headers,
        query=asking.query,
    )
    return PAIRS[exchange.wire, dialect.wire](context)
