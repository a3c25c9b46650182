"""A Messages request -> a chat completion request.

`to_chat` is the order of work; each step has a module of its own:

    pairs, history, blocks      the conversation
    toolset, tools, names       the tools, and what they are called
    reasoning, parameters       the rest of the fields
    dialects, corrections, capabilities     what the model server understands, known beforehand and found out

Rule for everything that the other wire cannot say: leave it out and report it.  Only what would change what the caller
gets is refused: 400, naming the field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from msgspec import Raw

from asgi_llmgate.errors import InvalidRequest, ThreadsUnsupported
from asgi_llmgate.exchange import Target
from asgi_llmgate.protocol.messages.blocks import Block, Message
from asgi_llmgate.protocol.messages.request import MessagesRequest
from asgi_llmgate.protocol.rawjson import objects
from asgi_llmgate.protocol.rawjson.body import TOO_DEEP
from asgi_llmgate.protocol.rawjson.objects import to_json
from asgi_llmgate.protocol.servers.capabilities import without_capabilities
from asgi_llmgate.protocol.servers.context_window import NO_PROMPT_COUNT, PromptCount
from asgi_llmgate.protocol.servers.corrections import NO_CORRECTIONS, Corrections
from asgi_llmgate.protocol.servers.dialects import Dialect
from asgi_llmgate.protocol.translation import parameters, thinking, tools
from asgi_llmgate.protocol.translation.conversation import History, system_texts
from asgi_llmgate.protocol.translation.draft import Draft, Options
from asgi_llmgate.protocol.translation.response_plan import ResponsePlan
from asgi_llmgate.protocol.translation.tool_names import ToolNames

__all__ = ["ChatRequest", "Options", "to_chat"]

_READ = frozenset(
    {"model", "max_tokens", "messages", "system", "stream", "tools", "tool_choice", "stop_sequences", "temperature"}
    | {"top_p", "top_k", "thinking", "output_config", "output_format", "metadata", "prefill", "inference_geo"}
)
_REFUSED: Mapping[str, type[InvalidRequest]] = MappingProxyType(
    {"mcp_servers": InvalidRequest, "container": InvalidRequest, "thread": ThreadsUnsupported}
)

_ADVICE = frozenset(
    {"cache_control", "eager_input_streaming", "diagnostics", "service_tier", "speed", "tags", "context_management"}
    | {"betas", "caller", "citations", "stream_options", "prompt_cache_key", "user", "thinking", "redacted_thinking"}
    | {"effort", "safeguards", "fallbacks", "compaction"}
)
"""What costs or shows differently when it is left out, but does not change what is answered: `strict` lets it pass."""


@dataclass(frozen=True, slots=True, repr=False)
class ChatRequest:
    """What to send, and what to remember for the answer.

    `body` is the chat completion request.  Where `local_text` is not None nobody is called: the answer is that text
    ("" for an empty answer), and `body` is empty.  `dropped` names what was left out or changed.
    """

    body: bytes
    plan: ResponsePlan
    dropped: tuple[str, ...] = ()
    local_text: str | None = None
    stream: bool = False


def to_chat(
    request: MessagesRequest,
    *,
    target: Target,
    dialect: Dialect,
    options: Options,
    request_id: str,
    session_id: str = "",
    corrections: Corrections = NO_CORRECTIONS,
    input_estimate: int | None = None,
    prompt_count: PromptCount = NO_PROMPT_COUNT,
    counting: bool = False,
) -> ChatRequest:
    """Translate a request for one target; with `counting` only its prompt matters, and nothing is answered here.

    `session_id` is the conversation's (`x-claude-code-session-id`), `corrections` what this upstream has refused
    before, `input_estimate` the prompt's tokens where somebody knows better than `request.input_tokens_estimate`,
    `prompt_count` what this upstream said about them when it refused the request.

    Raises `InvalidRequest` for what cannot be sent without changing what the caller gets, for tool calls and results
    that do not match, and, with `options.strict`, for anything that would be left out and matters.
    """
    draft = Draft(
        request=request,
        target=target,
        dialect=without_capabilities(dialect.for_model(target.model), corrections.missing),
        options=options,
        corrections=corrections,
        input_estimate=request.input_tokens_estimate if input_estimate is None else input_estimate,
        prompt_count=prompt_count,
        names=ToolNames(request.toolset.declared),
        images_over=0 if corrections.max_images is None else request.images - corrections.max_images,
    )
    try:
        return _translate(draft, request_id, session_id, counting=counting)
    except RecursionError:
        raise InvalidRequest(TOO_DEEP) from None


def _translate(draft: Draft, request_id: str, session_id: str, *, counting: bool) -> ChatRequest:
    _top_level(draft)
    plan = ResponsePlan(
        message_id=f"msg_{request_id}",
        model=draft.request.model if draft.options.response_model == "requested" else draft.target.model,
        echo_model=draft.options.response_model == "requested",
        input_estimate=draft.prompt_count.estimate(draft.input_estimate),
        think_tags=draft.dialect.think_tags,
        names=draft.names.back,
    )
    stream = draft.request.stream
    local = None if counting else "" if draft.request.max_tokens == 0 else tools.answer_instead(draft)
    if local is not None:
        return ChatRequest(b"", plan, draft.report.names, local, stream)
    asked_thinking = thinking.asked(draft)
    draft.body["model"] = to_json(draft.target.model)
    draft.body["messages"] = _messages(draft)
    with_tools = tools.write(draft)
    thinking.write(draft, asked_thinking, with_tools=with_tools)
    parameters.write_sampling(draft)
    parameters.write_user(draft, session_id)
    parameters.write_stream(draft)
    plan = replace(
        plan,
        thinking=thinking.shown(draft, asked_thinking),
        prefill="" if stream or not draft.dialect.echoes_prefill else draft.prefill,
        stop_sequences=parameters.write_stops(draft),
        output_limit=parameters.write_max_tokens(draft),
    )
    body = parameters.finish(draft)
    if draft.options.strict and not counting:
        _refuse_losses(draft)
    return ChatRequest(body, plan, draft.report.names, None, stream)


def _top_level(draft: Draft) -> None:
    """Refuse the fields that stand for something that nobody here can do, report those that nobody here reads."""
    fields = draft.request.fields
    for name, refusal in _REFUSED.items():
        if objects.read_value(fields.get(name)):
            raise refusal(f"{name}: not supported by this gateway")
    geo = objects.get_raw(fields, "inference_geo")
    if geo is not None and objects.read_value(geo) not in ("global", draft.dialect.region):
        raise InvalidRequest("inference_geo: the model server does not state that it runs there")
    draft.report.unknown("", fields, _READ)


def _messages(draft: Draft) -> bytes:
    messages = list(draft.request.messages)
    prefill = objects.get_raw(draft.request.fields, "prefill")
    if objects.read_str(prefill):
        assert prefill is not None
        messages.append(Message("assistant", [Block("text", {"text": prefill})], {}))
    elif prefill is not None:
        draft.report.add("prefill")
    history = History(draft)
    schema = parameters.write_format(draft)
    history.write_system(system_texts(draft) + ([] if schema is None else [schema]))
    history.write(messages)
    if not history.written:
        raise InvalidRequest("messages: at least one message with content is required")
    if history.written[-1].startswith(b'{"role":"assistant"'):
        draft.prefill = objects.read_str((objects.read_object(Raw(history.written[-1])) or {}).get("content"))
        draft.body.update((name, to_json(value)) for name, value in draft.dialect.prefill.items())
    return b"[%s]" % b",".join(history.written)


def _refuse_losses(draft: Draft) -> None:
    for name in draft.report.names:
        if name.rpartition(".")[2] not in _ADVICE:
            raise InvalidRequest(f"{name}: not supported here, and this gateway is set to refuse what it cannot do")
