"""The table of wires: how a call of a client is written for a model server, and what handles the response.

    client      server      upstream request                                   response handler
    ----------  ----------  -------------------------------------------------  ------------------------------------
    messages    chat        the call, translated                               translation.response.translator
    messages    messages    the client's bytes with the target's `model`,      messages.forwarding
                            its `anthropic-*` headers and its query string
    chat        chat        the client's bytes with the target's `model`,      chat.forwarding
                            and `include_usage` for streams

A pair that is not in `PAIRS` cannot be served.  A further wire is a folder beside `messages/` and `chat/`, a row here
for each wire that its clients or servers can be paired with, and a row in `SERVER_WIRES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

import msgspec

from asgi_llmgate.errors import UpstreamError
from asgi_llmgate.exchange_values import Target, Wire
from asgi_llmgate.protocol.buffer_limit import BufferLimit
from asgi_llmgate.protocol.chat.forwarding import ChatForwarder, forwarded_body
from asgi_llmgate.protocol.chat.refusals import find_refusal
from asgi_llmgate.protocol.forwarded_request import ForwardedRequest
from asgi_llmgate.protocol.messages.events import Emitter, MessageEmitter, SSEEmitter
from asgi_llmgate.protocol.messages.forwarding import MessagesForwarder, anthropic_headers, forwarded_error
from asgi_llmgate.protocol.messages.request import MessagesRequest
from asgi_llmgate.protocol.messages.safeguards import BETA
from asgi_llmgate.protocol.rawjson import objects
from asgi_llmgate.protocol.response_handler import ResponseHandler
from asgi_llmgate.protocol.servers.context_window import NO_PROMPT_COUNT, PromptCount
from asgi_llmgate.protocol.servers.corrections.changes import NO_CORRECTIONS, Correction, Corrections
from asgi_llmgate.protocol.servers.corrections.tool_schemas import SentTool
from asgi_llmgate.protocol.servers.dialects import Dialect
from asgi_llmgate.protocol.servers.errors.upstream_errors import upstream_error
from asgi_llmgate.protocol.translation.carriers import Seal
from asgi_llmgate.protocol.translation.request.chat_request import ChatRequest, Options, to_chat
from asgi_llmgate.protocol.translation.response.translator import Translator


class WriteContext(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One call and one target, as the writer of the upstream request needs them.

    `corrections` are the changes that earlier upstream errors asked for.  `session_id` is the client's conversation,
    `caller` who asks (empty where that is not known), `client_headers` and `query` are the client's own.
    `input_estimate` is the tokens of the prompt, `prompt_count` what the server said about them in an upstream error.
    `retained` limits how much of the response is kept in memory.
    `seal` is for what the client keeps for the server.  `safeguards`: the client asks for verdicts on the tool calls of
    the response, and gets them.
    """

    request: MessagesRequest | ForwardedRequest
    target: Target
    dialect: Dialect
    options: Options
    request_id: str
    input_estimate: int
    retained: BufferLimit
    corrections: Corrections = NO_CORRECTIONS
    prompt_count: PromptCount = NO_PROMPT_COUNT
    session_id: str = ""
    caller: tuple[str, ...] = ()
    seal: Seal | None = None
    client_headers: Mapping[str, str] = {}
    query: str = ""
    safeguards: bool = False

    __repr__ = object.__repr__  # headers and query are the client's own, and a repr may reach a log


class UpstreamRequest(msgspec.Struct, frozen=True, eq=False):
    """What is sent to a model server, and what will handle its response.

    `make_handler` is called once per response.  With `is_local` nothing is sent: the handler holds the response
    already.  `dropped` names the fields of the call that were left out or changed.  `tools` are the tools in the body,
    as far as they can be corrected.
    """

    body: bytes
    make_handler: Callable[[], ResponseHandler]
    headers: tuple[tuple[bytes, bytes], ...] = ()
    query: str = ""
    dropped: tuple[str, ...] = ()
    is_local: bool = False
    tools: Sequence[SentTool] = ()

    __repr__ = object.__repr__  # the body is a prompt


def translate_messages_to_chat(context: WriteContext) -> UpstreamRequest:
    """The writer for (messages, chat).  Raises InvalidRequest for a call that cannot be translated."""
    request = context.request
    assert isinstance(request, MessagesRequest)
    chat = to_chat(
        request,
        target=context.target,
        dialect=context.dialect,
        options=context.options,
        corrections=context.corrections,
        request_id=context.request_id,
        session_id=context.session_id,
        caller=context.caller,
        input_estimate=context.input_estimate,
        prompt_count=context.prompt_count,
        seal=context.seal,
        safeguards=context.safeguards,
    )
    make_handler = partial(_translator, chat, context.request_id, context.retained)
    return UpstreamRequest(
        chat.body, make_handler, dropped=chat.dropped, is_local=chat.local_text is not None, tools=chat.tools
    )


def _translator(chat: ChatRequest, request_id: str, retained: BufferLimit) -> Translator:
    emitter: Emitter = SSEEmitter(request_id) if chat.stream else MessageEmitter(retained)
    translator = Translator(chat.plan, emitter, retained)
    if chat.local_text is not None:
        translator.write_local(chat.local_text)
    return translator


def forward_messages(context: WriteContext) -> UpstreamRequest:
    """The writer for (messages, messages)."""
    request = context.request
    assert isinstance(request, MessagesRequest)
    changes = {"model": objects.to_json(context.target.model)}
    changes.update((name, objects.to_json(value)) for name, value in context.options.extra_body.items())
    # Only where the gateway responds to the field: else the client has to know that its server refuses it.
    refused = "safeguards" if context.safeguards and "safeguards" in context.corrections.refused_fields else ""
    forwarder: Callable[..., ResponseHandler] = MessagesForwarder
    if context.safeguards:
        from asgi_llmgate.protocol.messages.judged_forwarding import JudgedForwarder

        forwarder = partial(JudgedForwarder, retained=context.retained)
    make_handler = partial(
        forwarder,
        stream=request.stream,
        request_id=context.request_id,
        input_estimate=context.input_estimate,
    )
    return UpstreamRequest(
        request.forwarded(changes, without=refused),
        make_handler,
        headers=anthropic_headers(context.client_headers, without=BETA if refused else ""),
        query=context.query,
        dropped=(refused,) if refused else (),
    )


def forward_chat(context: WriteContext) -> UpstreamRequest:
    """The writer for (chat, chat)."""
    request = context.request
    assert isinstance(request, ForwardedRequest)
    body, shows_usage = forwarded_body(
        request,
        model=context.target.model,
        dialect=context.dialect,
        extra_body=context.options.extra_body,
        corrections=context.corrections,
    )
    make_handler = partial(
        ChatForwarder,
        stream=request.stream,
        request_id=context.request_id,
        input_estimate=context.input_estimate,
        shows_usage=shows_usage,
    )
    return UpstreamRequest(body, make_handler)


Writer: TypeAlias = Callable[[WriteContext], UpstreamRequest]

PAIRS: Mapping[tuple[Wire, Wire], Writer] = MappingProxyType(
    {
        ("messages", "chat"): translate_messages_to_chat,
        ("messages", "messages"): forward_messages,
        ("chat", "chat"): forward_chat,
    }
)
"""(client wire, server wire) -> what writes the upstream request."""


def can_serve(client: Wire, server: Wire) -> bool:
    """Whether servers of one wire can serve calls of clients of the other."""
    return (client, server) in PAIRS


class ServerWire(NamedTuple):
    """What depends on the server's wire only.

    `read_error` takes the status, the first bytes of the body, and the headers of an error response.
    `read_corrections` takes the status and the text of one: the changes that the server asks for.  `find_refusal` takes
    the first chunk of a response with the status 200: the error that it is.  `counts_tokens`: the server has
    `POST /messages/count_tokens`.
    """

    read_error: Callable[..., UpstreamError]
    read_corrections: Callable[[int, str], tuple[Correction, ...]]
    find_refusal: Callable[[bytes], UpstreamError | None]
    counts_tokens: bool


def _corrections(status: int, error_text: str) -> tuple[Correction, ...]:
    from asgi_llmgate.protocol.servers.corrections import table  # with the first error, as `upstream_errors`

    return table.find_corrections(status, error_text)


def _forwarded_corrections(status: int, error_text: str) -> tuple[Correction, ...]:
    from asgi_llmgate.protocol.servers.corrections import table

    return table.find_corrections(status, error_text, table.FORWARDED_ROWS)


def _no_refusal(first: bytes) -> None:
    return None


SERVER_WIRES: Mapping[Wire, ServerWire] = MappingProxyType(
    {
        "chat": ServerWire(upstream_error, _corrections, find_refusal, counts_tokens=False),
        "messages": ServerWire(forwarded_error, _forwarded_corrections, _no_refusal, counts_tokens=True),
    }
)
