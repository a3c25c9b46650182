"""What is written down about one request.

A UsageRecord is built once, when the answer ends, from what the layers left in the Exchange.  Its attributes are short
words for Python; the names that leave the process stand beside them and are those of OpenTelemetry's conventions for
generative AI, version 1.41 (https://github.com/open-telemetry/semantic-conventions/tree/v1.41.1/docs/gen-ai), so that a
log line, a span and a row of the ledger say the same thing with the same word.

A fact that is not known is absent: it keeps its default and is left out of the flat form.  Never in a record:
prompts, completions, tokens, keys, query strings, and claims that nobody has asked for.  Text that comes from outside
is clipped and cleaned, because a sink should not have to think about a user agent of 10 kB, or one that turns the
terminal of its reader red: no control characters, and nothing that hides or turns around what stands beside it.
"""

from __future__ import annotations

import math
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec import field

from asgi_llmgate.exchange import Call, Exchange, Usage

Field = Callable[[Exchange], object]
"""A fact of the operator's own choice, such as the claim `jwt.team`.  What it raises means: not known here."""

Cost = Callable[[Exchange], float | None]
"""US dollars of a call that has ended, None where they are not known."""

Value = str | int | float | bool | list[str]

NO_FIELDS: Mapping[str, Any] = MappingProxyType({})

_UNSEEN = re.compile(
    r"[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    r"\U000e0000-\U000e007f]"
)
"""Line breaks of any kind, terminal escapes, what has no width, bidirectional overrides, halves of characters."""

_NAME = re.compile(r"[\w.:/+=@-]*")

_SHORT = 128
_LONG = 256
_ITEMS = 16


class UsageRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request, as it ended.

    `time` is when it ended, RFC 3339 in UTC with milliseconds.  `duration_ms`, `ttft_ms` (until the first token of the
    answer was there) and `upstream_ms` (from sending the call until the end) are milliseconds.  `input_tokens` holds
    all input, cached tokens included, and `output_tokens` includes `reasoning_tokens`; all are None where nobody has
    said, and `estimated` marks numbers that we had to guess.  `request_model` is the model that was sent,
    `client_model` the one that was asked for.  `tools` are the names of the tools that the answer calls, each once.
    `error_type` is the name of the class in errors.py, `error` and `detail` are its `message` and `detail`: our own
    words.  `fields` are the operator's own.
    """

    time: str
    request_id: str
    method: str
    path: str
    status: int = 0
    outcome: str = ""
    reason: str = ""
    error: str = ""
    error_type: str = field(default="", name="error.type")
    detail: str = field(default="", name="llmgate.detail")
    duration_ms: float
    ttft_ms: float | None = None
    client_ip: str = ""
    user_agent: str = ""

    subject: str = field(default="", name="jwt.sub")
    issuer: str = field(default="", name="jwt.iss")
    fields: Mapping[str, Value] = NO_FIELDS

    operation: str = field(default="", name="gen_ai.operation.name")
    provider: str = field(default="", name="gen_ai.provider.name")
    request_model: str = field(default="", name="gen_ai.request.model")
    client_model: str = field(default="", name="llmgate.client.model")
    response_model: str = field(default="", name="gen_ai.response.model")
    response_id: str = field(default="", name="gen_ai.response.id")
    finish_reasons: tuple[str, ...] = field(default=(), name="gen_ai.response.finish_reasons")
    tools: tuple[str, ...] = field(default=(), name="llmgate.tools")
    max_tokens: int = field(default=0, name="gen_ai.request.max_tokens")
    stream: bool = field(default=False, name="gen_ai.request.stream")
    temperature: float | None = field(default=None, name="gen_ai.request.temperature")

    input_tokens: int | None = field(default=None, name="gen_ai.usage.input_tokens")
    output_tokens: int | None = field(default=None, name="gen_ai.usage.output_tokens")
    cache_read_tokens: int = field(default=0, name="gen_ai.usage.cache_read.input_tokens")
    cache_creation_tokens: int = field(default=0, name="gen_ai.usage.cache_creation.input_tokens")
    reasoning_tokens: int = field(default=0, name="gen_ai.usage.reasoning.output_tokens")
    estimated: bool = field(default=False, name="llmgate.estimated")
    cost_usd: float | None = field(default=None, name="llmgate.cost_usd")

    conversation_id: str = field(default="", name="gen_ai.conversation.id")
    agent_id: str = field(default="", name="gen_ai.agent.id")
    backend: str = field(default="", name="llmgate.backend")
    attempts: int = field(default=0, name="llmgate.attempts")
    upstream_ms: float | None = field(default=None, name="llmgate.upstream_ms")
    dropped: tuple[str, ...] = field(default=(), name="llmgate.dropped")
    policy_rule: str = field(default="", name="policy.rule")
    policy_dry_run: tuple[str, ...] = field(default=(), name="policy.dry_run")
    trace_id: str = ""
    span_id: str = ""

    @classmethod
    def of(cls, exchange: Exchange, fields: Mapping[str, Field] = NO_FIELDS, cost: Cost | None = None) -> UsageRecord:
        """The record of an exchange that has ended (`ended_at` is set)."""
        facts = _bare(exchange)
        facts["fields"] = _chosen(exchange, fields) if fields else NO_FIELDS
        facts["trace_id"], facts["span_id"] = current_trace()
        identity = exchange.identity
        facts["subject"], facts["issuer"] = clip(identity.subject), clip(identity.issuer)
        if exchange.call is not None:
            facts |= _asked(exchange.call)
        if exchange.target is not None:
            facts |= _called(exchange)
        if exchange.usage is not None:
            facts |= _used(exchange.usage)
        if cost is not None and (dollars := cost(exchange)) is not None:
            facts["cost_usd"] = round(dollars, 9)
        if exchange.decision is not None:
            facts["policy_rule"] = clip(exchange.decision.rule)
            facts["policy_dry_run"] = _clip_all(exchange.decision.dry_run)
        if exchange.dropped:
            facts["dropped"] = _clip_all(exchange.dropped)
        return cls(**facts)

    @classmethod
    def bare(cls, exchange: Exchange) -> UsageRecord:
        """What is true of any request: for a record where `of` has failed on somebody's unforeseen value."""
        return cls(**_bare(exchange))

    def flat(self) -> dict[str, Any]:
        """The record as one level of JSON values under the names that leave the process, without absent facts."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        found |= found.pop("fields", {})
        return found


NAMES = frozenset(UsageRecord.__struct_encode_fields__)
"""The names that a record has of its own; an operator's field cannot have one of them."""


def _bare(exchange: Exchange) -> dict[str, Any]:
    ended = exchange.ended_at if exchange.ended_at is not None else time.monotonic()
    return {
        "time": _timestamp(exchange.started_at + ended - exchange.started),
        "request_id": exchange.request_id,
        "method": clip(exchange.method),
        "path": clip(exchange.path, _LONG),
        "status": exchange.status,
        "outcome": exchange.outcome,
        "reason": exchange.reason,
        "error": clip(exchange.error, _LONG),
        "error_type": exchange.error_type,
        "detail": clip(exchange.detail, _LONG),
        "duration_ms": _ms(exchange.started, ended),
        "client_ip": clip(exchange.client),
        "user_agent": clip(exchange.headers.get("user-agent", "")),
    }


def _asked(call: Call) -> dict[str, Any]:
    asked = call.asked
    return {
        "client_model": clip(asked.model),
        "max_tokens": asked.max_tokens,
        "stream": asked.stream,
        "temperature": asked.temperature,
        "conversation_id": clip(call.session_id),
        "agent_id": clip(call.agent_id),
    }


def _called(exchange: Exchange) -> dict[str, Any]:
    target, answer = exchange.target, exchange.answer
    assert target is not None
    facts = {
        "operation": exchange.call.operation if exchange.call is not None else "",
        "provider": target.provider,
        "request_model": clip(target.model),
        "backend": target.backend,
        "attempts": exchange.attempts,
        "ttft_ms": _ms(exchange.started, exchange.first_token_at),
        "upstream_ms": _ms(exchange.sent_at, exchange.ended_at),
    }
    if answer is not None:
        facts["response_model"] = clip(answer.model)
        facts["response_id"] = clip(_named(answer.id))
        facts["finish_reasons"] = _clip_all(map(_named, answer.finish_reasons))
        facts["tools"] = _clip_all(answer.tools)
    return facts


def _used(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input,
        "output_tokens": usage.output,
        "cache_read_tokens": usage.cache_read,
        "cache_creation_tokens": usage.cache_creation,
        "reasoning_tokens": usage.reasoning,
        "estimated": usage.estimated,
    }


def _chosen(exchange: Exchange, fields: Mapping[str, Field]) -> dict[str, Value]:
    found = {}
    for name, read in fields.items():
        with suppress(Exception):  # a refused caller has no claims: that is no news
            if (value := _value(read(exchange))) is not None:
                found[name] = value
    return found


def _value(value: object) -> Value | None:
    """A claim as a record can hold it: a scalar or a list of texts.  Objects are nobody's label."""
    match value:
        case str():
            return clip(value)
        case bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else None
        case list() | tuple():
            return list(_clip_all(str(item) for item in value if isinstance(item, (str, int))))
        case _:
            return None


def _named(text: str) -> str:
    """An id or a reason of a model server, if it is one: what else it says may be what it was sent."""
    return text if _NAME.fullmatch(text) else "other"


def clip(text: str, limit: int = _SHORT) -> str:
    """The text, cut to `limit` characters and without control characters; both are visible."""
    if not text.isprintable():
        text = _UNSEEN.sub("\ufffd", text[: limit + 1])
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _clip_all(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(clip(text) for text, _ in zip(texts, range(_ITEMS), strict=False))


def _ms(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else round((end - start) * 1000, 1)


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def current_trace() -> tuple[str, str]:
    """Trace id and span id of the span that is current here, in hex; empty texts without one.

    A host that traces has imported OpenTelemetry's API long ago; for one that does not, we do not import it.
    """
    api = sys.modules.get("opentelemetry.trace")
    if api is None:
        return "", ""
    context = api.get_current_span().get_span_context()
    return (f"{context.trace_id:032x}", f"{context.span_id:016x}") if context.is_valid else ("", "")
