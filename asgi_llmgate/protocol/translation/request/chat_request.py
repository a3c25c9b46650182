"""A Messages request as a chat completion request.

`to_chat` is the order of work; each step has a module of its own:

    conversation, content, tool_pairs   the messages
    tools, tool_schemas, tool_choice, tool_search, tool_names   the tools, and what they are called
    thinking, parameters                the other fields
    target_format                       what depends on the target only; made of `servers/`: what the model server
                                        accepts, known (dialects) and found out (corrections)

What the other wire cannot express is left out and reported.  Only what would change what the caller gets is refused,
with a 400 that names the field.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import msgspec

from asgi_llmgate.errors import InvalidRequest, ThreadsUnsupported
from asgi_llmgate.exchange_values import Target
from asgi_llmgate.protocol.messages.blocks import Block, Message
from asgi_llmgate.protocol.messages.request import MessagesRequest
from asgi_llmgate.protocol.rawjson import objects
from asgi_llmgate.protocol.rawjson.body import TOO_DEEP
from asgi_llmgate.protocol.servers.context_window import NO_PROMPT_COUNT, PromptCount
from asgi_llmgate.protocol.servers.corrections.changes import NO_CORRECTIONS, Corrections
from asgi_llmgate.protocol.servers.corrections.tool_schemas import SentTool
from asgi_llmgate.protocol.servers.dialects import Dialect
from asgi_llmgate.protocol.translation.carriers import Seal
from asgi_llmgate.protocol.translation.request import leaked_calls, parameters, roles
from asgi_llmgate.protocol.translation.request.conversation import MessageWriter, texts_of
from asgi_llmgate.protocol.translation.request.draft import Draft
from asgi_llmgate.protocol.translation.request.roles import ChatMessage
from asgi_llmgate.protocol.translation.request.target_format import Options, target_format
from asgi_llmgate.protocol.translation.request.thinking import (
    NOTHING_ASKED,
    read_thinking,
    shows_thinking,
    wants_thinking,
    without_thinking,
    write_thinking,
)
from asgi_llmgate.protocol.translation.request.tool_names import ToolNames
from asgi_llmgate.protocol.translation.request.tools import unavailable_text, write_tools
from asgi_llmgate.protocol.translation.response.plan import ResponsePlan

__all__ = ["ChatRequest", "Options", "to_chat"]

_TRANSLATED = frozenset(
    {"model", "max_tokens", "messages", "system", "stream", "tools", "tool_choice", "stop_sequences", "temperature"}
    | {"top_p", "top_k", "thinking", "output_config", "output_format", "metadata", "prefill", "inference_geo"}
)
"""Fields of a Messages request that are translated; others are reported."""

_TRANSLATED_WITH_SAFEGUARDS = _TRANSLATED | {"safeguards"}

_REFUSED: Mapping[str, type[InvalidRequest]] = MappingProxyType(
    {"mcp_servers": InvalidRequest, "container": InvalidRequest, "thread": ThreadsUnsupported}
)
"""Fields that ask Anthropic's server to do something, with the error for each."""

_HARMLESS = frozenset(
    {"cache_control", "eager_input_streaming", "diagnostics", "service_tier", "speed", "tags", "context_management"}
    | {"betas", "caller", "citations", "stream_options", "prompt_cache_key", "user", "thinking", "redacted_thinking"}
    | {"effort", "safeguards", "fallbacks", "compaction", "input_schema", "signature"}
)
"""Fields and blocks that `strict` lets pass: without them the response may cost more or look different, but it says the
same."""


class ChatRequest(msgspec.Struct, frozen=True, eq=False):
    """What to send, and what to keep for the response.

    `body` is the chat completion request.  Where `local_text` is not None nothing is sent and `body` is empty: the
    gateway itself responds with that text ("": an empty response).  `dropped` names what was left out or changed.
    `tools` are the tools in the body, and the schema of the response.
    """

    body: bytes
    plan: ResponsePlan
    dropped: tuple[str, ...] = ()
    local_text: str | None = None
    stream: bool = False
    tools: Sequence[SentTool] = ()

    __repr__ = object.__repr__  # the body is a prompt, and a repr may reach a log


def to_chat(
    request: MessagesRequest,
    *,
    target: Target,
    dialect: Dialect,
    options: Options,
    request_id: str,
    session_id: str = "",
    caller: tuple[str, ...] = (),
    corrections: Corrections = NO_CORRECTIONS,
    input_estimate: int | None = None,
    prompt_count: PromptCount = NO_PROMPT_COUNT,
    counting: bool = False,
    seal: Seal | None = None,
    safeguards: bool = False,
) -> ChatRequest:
    """Translate a request for one target.

    session_id      the conversation's id (`x-claude-code-session-id`)
    caller          who asks: identity provider, issuer and subject; empty where that is not known
    corrections     what this upstream has asked for in earlier errors
    input_estimate  the prompt's tokens; by default `request.input_tokens_estimate`
    prompt_count    what this upstream stated about the prompt when it refused this request
    counting        only the prompt is wanted, to count its tokens: the gateway does not respond itself
    seal            seals what the client keeps for this target's server; without it nothing is kept
    safeguards      the gateway responds to the field `safeguards`

    Raises InvalidRequest for what cannot be sent without changing what the caller gets, for tool calls and results
    that do not match, and, with `options.strict`, for anything that would be left out and is not harmless.
    """
    format = target_format(target, dialect, options, corrections)
    draft = Draft(
        request=request,
        format=format,
        dialect=format.dialect,
        input_estimate=request.input_tokens_estimate if input_estimate is None else input_estimate,
        prompt_count=prompt_count,
        tool_names=ToolNames(request.toolset.declared, letter_first=format.letter_first),
        seal=seal,
        excess_images=0 if corrections.max_images is None else request.images - corrections.max_images,
    )
    try:
        _check_fields(draft, _TRANSLATED_WITH_SAFEGUARDS if safeguards else _TRANSLATED)
        return _translate(draft, request_id, session_id, caller, counting=counting, safeguards=safeguards)
    except RecursionError:  # by a decoder, in a value that is opened here
        raise InvalidRequest(TOO_DEEP) from None


def _translate(
    draft: Draft, request_id: str, session_id: str, caller: tuple[str, ...], *, counting: bool, safeguards: bool
) -> ChatRequest:
    stream = draft.request.stream
    # `max_tokens: 0` asks for no output at all.
    local_text = None
    if not counting:
        local_text = "" if draft.request.max_tokens == 0 else unavailable_text(draft)
    plan = _plan(draft, request_id, safeguards=safeguards)
    if local_text is not None:
        return ChatRequest(b"", plan, tuple(draft.dropped.names), local_text, stream)
    thinking = read_thinking(draft)
    # The order of these lines is the order of the fields; a stable order keeps the beginning of requests equal.
    draft.body["model"] = draft.format.model
    draft.body["messages"] = _messages(draft)
    tools, choice = write_tools(draft)
    if choice.without_thinking:
        thinking = without_thinking(draft, thinking)
    if thinking is not NOTHING_ASKED or draft.dialect.tools_effort is not None:
        write_thinking(draft, thinking, with_tools=bool(tools.sent))
    parameters.write_sampling(draft)
    parameters.write_user(draft, session_id, caller)
    parameters.write_stream(draft)
    plan.stop_sequences = parameters.write_stops(draft)
    plan.output_limit = parameters.write_max_tokens(draft)
    plan.leaked_calls, plan.tools = leaked_calls.declared_tools(draft, tools)
    if wants_thinking(thinking):
        plan.thinking = shows_thinking(draft, thinking)
        plan.seal = draft.seal
    if draft.dialect.echoes_prefill and not stream:
        plan.prefill = draft.prefill
    body = parameters.serialize(draft)
    if draft.format.options.strict and not counting:
        _refuse_dropped(draft)
    schemas = tools.sent if draft.schema is None else (*tools.sent, draft.schema)
    return ChatRequest(body, plan, tuple(draft.dropped.names), None, stream, schemas)


def _plan(draft: Draft, request_id: str, *, safeguards: bool) -> ResponsePlan:
    """The plan for the response, without what is known only when the request is written."""
    echo_model = draft.format.options.response_model == "requested"
    return ResponsePlan(
        message_id=f"msg_{request_id}",
        model=draft.request.model if echo_model else draft.format.model,
        echo_model=echo_model,
        input_estimate=draft.prompt_count.estimate(draft.input_estimate),
        think_tags=draft.dialect.think_tags,
        channels=draft.format.channels,
        names=draft.tool_names.back,
        safeguards=safeguards,
    )


def _check_fields(draft: Draft, translated: frozenset[str]) -> None:
    """Refuse the fields that ask for something that this gateway cannot do; report those that are not translated."""
    fields = draft.request.fields
    if fields.keys() <= translated and "inference_geo" not in fields:
        return
    for name, refusal in _REFUSED.items():
        if name in fields and objects.read_value(fields[name]):
            raise refusal(f"{name}: not supported by this gateway")
    geo = objects.get_raw(fields, "inference_geo")
    if geo is not None and objects.read_value(geo) not in ("global", draft.dialect.region):
        raise InvalidRequest("inference_geo: it is not known that the model server runs there")
    draft.dropped.add_unknown("", fields, translated)


def _messages(draft: Draft) -> list[ChatMessage]:
    """The whole `messages` list."""
    messages = draft.request.messages
    if "prefill" in draft.request.fields:
        prefill = objects.get_raw(draft.request.fields, "prefill")
        if objects.read_str(prefill):
            assert prefill is not None
            messages = [*messages, Message("assistant", [Block("text", {"text": prefill})], {})]
        elif prefill is not None:
            draft.dropped.add("prefill")
    writer = MessageWriter(draft, messages)
    schema = parameters.write_format(draft)
    system = texts_of(draft, draft.request.system, "system[].")
    writer.write_system(system if schema is None else [*system, schema])
    writer.write()
    if not writer.written:
        raise InvalidRequest("messages: at least one message with content is required")
    if roles.is_assistant(writer.written):
        draft.prefill = objects.read_str(writer.written[-1].get("content"))
        roles.end_with_assistant(writer.written, draft.dialect.last_assistant)
        if roles.is_assistant(writer.written):
            draft.body.update(draft.dialect.prefill)
    return writer.written


def _refuse_dropped(draft: Draft) -> None:
    for name in draft.dropped.names:
        if name.rpartition(".")[2] not in _HARMLESS:
            raise InvalidRequest(
                f"{name}: not supported by this gateway, which refuses a request that it cannot serve completely"
            )
