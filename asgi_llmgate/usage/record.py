"""The usage record: what is written down about one request.

A UsageRecord is built once, when the response ends, from what the layers have put into the Exchange.  Its attributes
have short Python names.  The names that leave the process stand beside them and follow OpenTelemetry's conventions for
generative AI, version 1.41 (https://github.com/open-telemetry/semantic-conventions/tree/v1.41.1/docs/gen-ai), so that a
log line, a span and a row of the ledger use the same names.

A value that is not known keeps its default and is left out of the flat form.  A record never contains prompts,
completions, tokens, keys, query strings, or claims that are not in `usage.fields`.

Texts that come from outside are cut to a maximum length, and characters that are invisible or change the text beside
them are replaced.  A sink can therefore write a value as it is: no user agent of 10 kB, no terminal escape sequence.
"""

from __future__ import annotations

import json
import math
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec import field

from asgi_llmgate.clipping import clip
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.exchange_values import Call, ResponseMetadata, Target, Usage
from asgi_llmgate.usage.verdicts import VerdictAudit, VerdictRecord, remove_private_values

Field = Callable[[Exchange], object]
"""Reads a value that the operator wants in each record, such as the claim `jwt.team`.  If it raises, the value is left
out of that record."""

Cost = Callable[[Exchange], float | None]
"""Returns the cost of an exchange that has ended in US dollars, None if it is not known."""

Value = str | int | float | bool | list[str]
"""What a record can hold as a value of `fields`."""

NO_FIELDS: Mapping[str, Any] = MappingProxyType({})

_IDENTIFIER = re.compile(r"[\w.:/+=@-]*")

# Limits of what one record holds: characters of a path or an error message, and items of a list.
_LONG = 256
_MAX_ITEMS = 16


class UsageRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request and its response, after the response has ended.

    A call that the gateway makes itself, such as to a classifier, has a record of its own, whose `parent_request_id` is
    the request that it was made for.

    `time` is the end, RFC 3339 in UTC with milliseconds.  Durations are milliseconds: `duration_ms` of the whole
    exchange, `ttft_ms` from the client's request to the first token of the response, `upstream_ms` from sending the
    upstream request to the end.

    `input_tokens` counts all input including cached tokens, `output_tokens` includes `reasoning_tokens`.  Both are None
    if the model server reported no usage; `estimated` is True if the gateway estimated them.

    `request_model` is the model that was sent, `client_model` the one that the client asked for.  `tools` are the names
    of the tools that the response calls, each once; `safeguards` are the verdicts on these calls.  `error_type` is the
    class name in errors.py, `error` and `detail` are the `message` and `detail` of that error.  `user` is what the
    operator calls the caller (`usage.user`), empty where that has no value; `fields` are the operator's own values
    (`usage.fields`).
    """

    time: str
    request_id: str
    parent_request_id: str = field(default="", name="llmgate.parent_request_id")
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
    user: str = field(default="", name="llmgate.user")

    operation: str = field(default="", name="gen_ai.operation.name")
    vendor: str = field(default="", name="gen_ai.provider.name")
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
    safeguards: tuple[VerdictRecord, ...] = field(default=(), name="llmgate.safeguards")
    trace_id: str = ""
    span_id: str = ""
    # The last one in JSON, so that a log line need not move it (json_line in access_log.py).
    fields: Mapping[str, Value] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        exchange: Exchange,
        fields: Mapping[str, Field] = NO_FIELDS,
        cost: Cost | None = None,
        user: Field | None = None,
        audit: VerdictAudit | None = None,
    ) -> UsageRecord:
        """The record of an exchange that has ended (`ended_at` is set)."""
        values = _request_values(exchange)
        if fields:
            values["fields"] = _read_fields(exchange, fields)
        if trace := current_trace():
            values["trace_id"], values["span_id"] = trace
        identity = exchange.identity
        values["subject"], values["issuer"] = clip(identity.subject), clip(identity.issuer)
        if user is not None:
            values["user"] = _read_user(exchange, user)
        if exchange.call is not None:
            _add_call(values, exchange.call)
        if exchange.target is not None:
            _add_target(values, exchange, exchange.target)
            if exchange.response is not None:
                _add_response(values, exchange.response)
        if exchange.usage is not None:
            _add_usage(values, exchange.usage)
        if cost is not None and (dollars := cost(exchange)) is not None:
            # The ledger stores billionths of a dollar, so further digits would make the two differ.
            values["cost_usd"] = round(dollars, 9)
        if exchange.decision is not None:
            values["policy_rule"] = clip(exchange.decision.rule)
            if exchange.decision.dry_run:
                values["policy_dry_run"] = _clip_all(exchange.decision.dry_run)
        if exchange.dropped:
            values["dropped"] = _clip_all(exchange.dropped)
        if exchange.verdicts:
            values["safeguards"] = (audit or VerdictAudit()).records(exchange.verdicts)
        return cls(**values)

    @classmethod
    def minimal(cls, exchange: Exchange) -> UsageRecord:
        """The values that every request has.  Used when `of` has raised, so that there is a record in any case."""
        return cls(**_request_values(exchange))

    @property
    def caller(self) -> str:
        """What reports call the caller: `user`, or the token's subject."""
        return self.user or self.subject

    def flat(self) -> dict[str, Any]:
        """The record as a dict of JSON values under the names that leave the process.  Unknown values are left out."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        found |= found.pop("fields", {})
        for verdict in found.get("llmgate.safeguards", ()):
            remove_private_values(verdict)
        return found


def to_json(value: object) -> bytes:
    """The value, such as a record, as JSON in ASCII without a line break."""
    # msgspec encodes ten times as fast.  What is not ASCII it leaves as it is, and a lone surrogate is an error to it.
    try:
        line = _encode(value)
    except UnicodeEncodeError:
        pass
    else:
        if line.isascii():
            return line
    return _encode_ascii(msgspec.to_builtins(value)).encode("ascii")


_encode = msgspec.json.Encoder().encode
_encode_ascii = json.JSONEncoder(separators=(",", ":")).encode

NAMES = frozenset(UsageRecord.__struct_encode_fields__)
"""The names of a record's own values.  A name in `usage.fields` must be none of these."""


def _request_values(exchange: Exchange) -> dict[str, Any]:
    started, ended = exchange.started, exchange.ended_at
    if ended is None:
        ended = time.monotonic()
    values = {
        # The wall clock is read once, at the start: if it is set meanwhile, `time` and `duration_ms` still agree.
        "time": _timestamp(exchange.started_at + ended - started),
        "request_id": exchange.request_id,
        "parent_request_id": exchange.parent_request_id,
        "method": clip(exchange.method),
        "path": clip(exchange.path, _LONG),
        "status": exchange.status,
        "outcome": exchange.outcome,
        "reason": exchange.reason,
        "error_type": exchange.error_type,
        "duration_ms": _ms(started, ended),
        "client_ip": clip(exchange.client),
        "user_agent": clip(exchange.headers.get("user-agent", "")),
    }
    if exchange.error or exchange.detail:
        values["error"], values["detail"] = clip(exchange.error, _LONG), clip(exchange.detail, _LONG)
    return values


def _add_call(values: dict[str, Any], call: Call) -> None:
    asked = call.request
    values["client_model"] = clip(asked.model)
    values["max_tokens"] = asked.max_tokens
    values["stream"] = asked.stream
    values["temperature"] = asked.temperature
    values["conversation_id"] = clip(call.session_id)
    values["agent_id"] = clip(call.agent_id)


def _add_target(values: dict[str, Any], exchange: Exchange, target: Target) -> None:
    values["operation"] = exchange.call.operation if exchange.call is not None else ""
    values["vendor"] = target.vendor
    values["request_model"] = clip(target.model)
    values["backend"] = target.backend
    values["attempts"] = len(exchange.attempts)
    values["ttft_ms"] = _ms(exchange.started, exchange.first_token_at)
    values["upstream_ms"] = _ms(exchange.sent_at, exchange.ended_at)


def _add_response(values: dict[str, Any], response: ResponseMetadata) -> None:
    values["response_model"] = clip(response.model)
    values["response_id"] = clip(_identifier(response.id))
    if response.finish_reasons:
        values["finish_reasons"] = _clip_all(map(_identifier, response.finish_reasons))
    if response.tools:
        values["tools"] = _clip_all(response.tools)


def _add_usage(values: dict[str, Any], usage: Usage) -> None:
    values["input_tokens"] = usage.input
    values["output_tokens"] = usage.output
    values["cache_read_tokens"] = usage.cache_read
    values["cache_creation_tokens"] = usage.cache_creation
    values["reasoning_tokens"] = usage.reasoning
    values["estimated"] = usage.estimated


def _read_fields(exchange: Exchange, fields: Mapping[str, Field]) -> dict[str, Value]:
    found = {}
    for name, read in fields.items():
        try:
            value = _convert_field(read(exchange))
        except Exception:  # noqa: S112 - a refused caller has no claims, so an expression over them fails: it is normal
            continue
        if value is not None:
            found[name] = value
    return found


def _read_user(exchange: Exchange, read: Field) -> str:
    """The caller's name as one text; empty where there is none, so that the subject stands for it."""
    value = _read_fields(exchange, {"user": read}).get("user")
    return str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""


def _convert_field(value: object) -> Value | None:
    """The value as a record can hold it: a scalar or a list of texts.  None for everything else, such as an object."""
    match value:
        case str():
            return clip(value)
        case bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else None  # JSON has no NaN and no infinity
        case list() | tuple():
            return list(_clip_all([str(item) for item in value if isinstance(item, (str, int))]))
        case _:
            return None


def _identifier(text: str) -> str:
    """A response id or a finish reason; "other" if it is not one word, because it might quote the prompt."""
    return text if _IDENTIFIER.fullmatch(text) else "other"


def _clip_all(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(map(clip, islice(texts, _MAX_ITEMS)))


def _ms(start: float | None, end: float | None) -> float | None:
    # A quarter of the time of round(milliseconds, 1).
    return None if start is None or end is None else round((end - start) * 10_000) / 10


def _timestamp(seconds: float) -> str:
    whole, milliseconds = divmod(round(seconds * 1000), 1000)
    return f"{_second(whole)}.{milliseconds:03}Z"


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().removesuffix("+00:00")


def current_trace() -> tuple[str, str] | None:
    """Trace id and span id of the current span, in hex; None if there is none."""
    # A host that traces has imported OpenTelemetry's API already.  If it has not, there is no reason to load it.
    api = sys.modules.get("opentelemetry.trace")
    if api is None:
        return None
    context = api.get_current_span().get_span_context()
    return (f"{context.trace_id:032x}", f"{context.span_id:016x}") if context.is_valid else None
