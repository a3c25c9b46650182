"""A call as one model server gets it, and what will carry its answer back.

the client speaks   the server speaks   what is sent
------------------  ------------------  -----------------------------------------------------------------
Messages            chat completions    the call, translated
Messages            Messages            the client's bytes, `model` written anew; `anthropic-*` headers, query
chat completions    chat completions    the client's bytes, `model` written anew; usage asked for
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from asgi_llmgate.exchange import Exchange, Secret, Target, Wire
from asgi_llmgate.protocol.buffer_limit import BufferLimit
from asgi_llmgate.protocol.chat.forwarding import ChatForwarder, completion_body
from asgi_llmgate.protocol.forwarded_request import ForwardedRequest
from asgi_llmgate.protocol.messages.forwarding import VERSION, MessagesForwarder
from asgi_llmgate.protocol.messages.request import MessagesRequest
from asgi_llmgate.protocol.rawjson import objects
from asgi_llmgate.protocol.response_handlers import ResponseHandler, Translated
from asgi_llmgate.protocol.servers.context_window import NO_PROMPT_COUNT, PromptCount
from asgi_llmgate.protocol.servers.corrections import Corrections
from asgi_llmgate.protocol.servers.dialects import Dialect
from asgi_llmgate.protocol.translation.request import Options, to_chat

Headers = tuple[tuple[bytes, bytes | Secret], ...]


@dataclass(frozen=True, slots=True, repr=False)
class Outgoing:
    """`carrier` makes what carries the answer.  With `is_local` nobody is asked.  `dropped` names what was left out."""

    body: bytes
    carrier: Callable[[], ResponseHandler]
    headers: Headers = ()
    query: str = ""
    dropped: tuple[str, ...] = ()
    is_local: bool = False


@dataclass(frozen=True, slots=True)
class Asking:
    """One call for one target; `input_estimate` is the prompt's tokens, `query` the client's query string,
    `prompt_count` what the server said about the prompt when it refused the call, `retained` what is kept of the
    answer."""

    exchange: Exchange
    request: MessagesRequest | ForwardedRequest
    target: Target
    input_estimate: int
    query: str = ""
    prompt_count: PromptCount = NO_PROMPT_COUNT
    retained: BufferLimit = field(default_factory=BufferLimit)


def write(asking: Asking, dialect: Dialect, options: Options, corrections: Corrections) -> Outgoing:
    """The call as a server should get it now, with all that it has taught.

    Raises InvalidRequest where the call cannot be carried over.
    """
    request = asking.request
    if isinstance(request, ForwardedRequest):
        return _completion(asking, request, dialect, options, corrections)
    if dialect.native:
        return _native(asking, request, options)
    return _translated(asking, request, dialect, options, corrections)


def serves(native: bool, wire: Wire) -> bool:
    """Whether a server can answer clients of a wire; only the way from Messages to chat completions is translated."""
    return wire == "anthropic" or not native


def _translated(
    asking: Asking, request: MessagesRequest, dialect: Dialect, options: Options, corrections: Corrections
) -> Outgoing:
    exchange = asking.exchange
    chat = to_chat(
        request,
        target=asking.target,
        dialect=dialect,
        options=options,
        corrections=corrections,
        request_id=exchange.request_id,
        session_id=exchange.call.session_id if exchange.call else "",
        input_estimate=asking.input_estimate,
        prompt_count=asking.prompt_count,
    )
    carrier = partial(
        Translated,
        chat.plan,
        stream=chat.stream,
        request_id=exchange.request_id,
        local=chat.local_text,
        retained=asking.retained,
    )
    return Outgoing(chat.body, carrier, dropped=chat.dropped, is_local=chat.local_text is not None)


def _native(asking: Asking, request: MessagesRequest, options: Options) -> Outgoing:
    changes = {"model": objects.to_json(asking.target.model)}
    changes.update((name, objects.to_json(value)) for name, value in options.extra_body.items())
    return Outgoing(
        request.body_to_forward.replace_values(changes),
        partial(
            MessagesForwarder,
            stream=request.stream,
            request_id=asking.exchange.request_id,
            input_estimate=asking.input_estimate,
        ),
        headers=anthropic_headers(asking.exchange.headers),
        query=asking.query,
    )


def _completion(
    asking: Asking, request: ForwardedRequest, dialect: Dialect, options: Options, corrections: Corrections
) -> Outgoing:
    body, shows_usage = completion_body(
        request,
        model=asking.target.model,
        dialect=dialect,
        options=options,
        corrections=corrections,
    )
    carrier = partial(
        ChatForwarder,
        stream=request.stream,
        request_id=asking.exchange.request_id,
        input_estimate=asking.input_estimate,
        shows_usage=shows_usage,
    )
    return Outgoing(body, carrier)


def anthropic_headers(headers: Mapping[str, str]) -> Headers:
    """What a client says about the wire to a server that speaks it too; nothing about the client itself."""
    said = tuple(
        (name.encode("latin-1"), value.encode("latin-1"))
        for name, value in headers.items()
        if name.startswith("anthropic-")
    )
    return said if "anthropic-version" in headers else (*said, VERSION)
