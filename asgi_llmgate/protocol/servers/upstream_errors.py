"""What a model server's refusal means, from its status, its words and its headers.

Servers agree on little: OpenAI, Azure, OpenRouter and llama.cpp send `{"error": {"message", "type", "code"}}`, Ollama
`{"error": "text"}`, vLLM either that or the inner object alone, FastAPI `{"detail": ...}`, Gemini a list, proxies a
JSON text inside a JSON text, and load balancers HTML.  All of it is read into `_Said`; then `_RULES`, and after them
`_STATUSES`, say which branch of the error tree it is.  How that looks to the caller is the business of `errors.TABLE`
alone.

Only a refusal of the request itself is handed on in the server's own words, because clients act on them; and never
without `redacted`.  Our credential's and our account's trouble is not the caller's: it gets a sentence of ours.

Servers quote in their words what they were sent (vLLM and Mistral the whole `input`).  So the words are in `told`
alone, which only the caller reads, whose request it is; `message` and `detail` are ours, with the status and the code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from asgi_llmgate.errors import (
    Broken,
    CredentialRefused,
    Failed,
    Overloaded,
    PromptTooLong,
    QuotaExhausted,
    RequestRejected,
    Throttled,
    TimedOut,
    TooLarge,
    UnknownModel,
    UpstreamError,
)
from asgi_llmgate.protocol.rawjson import truncated
from asgi_llmgate.protocol.rawjson.strings import parse_or_none, repair
from asgi_llmgate.protocol.redaction import redacted
from asgi_llmgate.protocol.servers.error_codes import known_codes
from asgi_llmgate.protocol.servers.error_patterns import capability_token, overflow_message
from asgi_llmgate.protocol.servers.retry_after import seconds_to_wait

_LONGEST = 4000
"""Characters of an error that are looked at."""

_CODE = 64
"""Characters of a code that are looked at."""


class _Said(NamedTuple):
    """`codes`: every `code`, `type` and `status`, lower-case; `status`: the first of them that is an HTTP status,
    else 0."""

    text: str = ""
    codes: str = ""
    status: int = 0


_STATUSES: Mapping[int, type[UpstreamError]] = MappingProxyType(
    {
        401: CredentialRefused,
        402: QuotaExhausted,
        403: CredentialRefused,
        404: Broken,
        405: Broken,
        408: TimedOut,
        409: Overloaded,
        413: TooLarge,
        425: Overloaded,
        429: Throttled,
        502: Overloaded,
        503: Overloaded,
        504: TimedOut,
        520: Overloaded,
        521: Overloaded,
        522: TimedOut,
        524: TimedOut,
        529: Overloaded,
    }
)
"""What a status alone says; any other 4xx is RequestRejected, any other 5xx Failed."""

_RULES: tuple[tuple[frozenset[int], re.Pattern[str], type[UpstreamError]], ...] = tuple(
    (frozenset(statuses), re.compile(pattern, re.DOTALL), error)
    for statuses, pattern, error in (
        (
            (400, 403, 429),
            r"insufficient_quota|billing_(?:hard_limit|not_active)|exceeded your current quota|insufficient balance"
            r"|insufficient credits|credit balance|key limit exceeded|arrearage",
            QuotaExhausted,
        ),
        ((403,), r"moderation|flagged|content[_ ]?(?:filter|policy)", RequestRejected),
        # LiteLLM 1.108.7 looks for an unknown key in a database, and says so where it has none
        ((400,), r"invalid_api_key|api key not valid|incorrect api key|no_db_connection", CredentialRefused),
        ((404,), r"no endpoints found that support", RequestRejected),
        (
            (400, 404, 422),
            r"model_not_found|deploymentnotfound|not a valid model|no such model|invalid model\b|no endpoints found for"
            r"|(?:model|deployment)\b:? ?(?:[`'\"][^`'\"]{1,200}[`'\"]|\S{1,200})? ?"
            r"(?:was |is |does )?not (?:found|exist|available)",
            UnknownModel,
        ),
        ((400, 500), r"loading model|model is (?:still |currently )?loading", Overloaded),
        (
            (500,),
            r"mmproj|system message must be|roles must alternate",
            RequestRejected,
        ),  # llama.cpp: the chat template's own
    )
)
"""What the words say where the status alone does not: the first match wins."""

_NAMES: Mapping[str, int] = MappingProxyType(
    {
        "insufficient_quota": 402,
        "billing_error": 402,
        "rate_limit": 429,
        "too_many_requests": 429,
        "toomanyrequests": 429,
        "resource_exhausted": 429,
        "overloaded": 529,
        "unavailable": 503,
        "timeout": 504,
        "deadline_exceeded": 504,
        "context_length_exceeded": 400,
        "exceed_context_size": 400,
        "model_not_found": 404,
        "not_found": 404,
        "notfound": 404,
        "invalid_api_key": 401,
        "authentication": 401,
        "permission": 403,
        "invalid": 400,
        "badrequest": 400,
    }
)
"""The status that a `type` or `code` stands for, where an error comes without one; found by the first name inside
it."""

MESSAGES: Mapping[type[UpstreamError], str] = MappingProxyType(
    {
        CredentialRefused: "the gateway's own credential was refused by the model server",
        QuotaExhausted: "the gateway's upstream account has no quota",
        UnknownModel: "model: not known to the model server",
        TooLarge: "the model server does not take a request of this size",
        TimedOut: "the model server timed out",
        Broken: "the model server did not answer as a chat completions server does",
        Throttled: "the model server limits requests",
        Overloaded: "the model server is overloaded or not ready",
        Failed: "the model server failed",
        RequestRejected: "the model server refused the request",
    }
)
"""What we say ourselves; the last four go on, for the caller, with the server's words."""

_QUOTED = frozenset({Throttled, Overloaded, Failed})

_MODEL = re.compile(
    r"(?:model|deployment)\b[^`'\"]{0,40}[`'\"]([^`'\"\s]{1,200})[`'\"]|(\S{1,200}) is not a valid model"
    r"|invalid model name passed in model=(\S{1,200}?)\.?(?:\s|$)",  # LiteLLM 1.108.7
    re.I,
)


def upstream_error(status: int, body: bytes, headers: Mapping[str, str], *, now: float | None = None) -> UpstreamError:
    """The error that an answer other than a completion is.

    `headers` have lower-case names; `now` is Unix seconds, wanted only for a `retry-after` that is a date.  Takes any
    status, 200 too (a JSON body with an `error` in it, HTML from a login page).
    """
    said = _read(body)
    if said is None:
        # Somebody in front of the model server: what it writes is a page, what it means is in the status.
        kind = _STATUSES.get(status, Broken)
        return _make(kind, status, _Said(), headers, now)
    if status < 400:
        return _make(Broken, status, said, headers, now) if status >= 300 else reported_error(body)
    return _make(_classify(status, said), status, said, headers, now)


def reported_error(event: bytes) -> UpstreamError:
    """The error that a server reports inside an answer that began well, as an event or a whole document."""
    said = _read(event) or _Said()
    status = said.status or next((number for name, number in _NAMES.items() if name in said.codes), 500)
    return _make(_classify(status, said), status, said, {}, None)


def _classify(status: int, said: _Said) -> type[UpstreamError]:
    words = f"{said.text} {said.codes}".lower()
    for statuses, pattern, error in _RULES:
        if status in statuses and pattern.search(words):
            return error
    return _STATUSES.get(status) or (RequestRejected if status < 500 else Failed)


def _make(
    kind: type[UpstreamError], status: int, said: _Said, headers: Mapping[str, str], now: float | None
) -> UpstreamError:
    text = redacted(said.text)
    detail = f"upstream {status} {known_codes(said.codes)}".rstrip()
    wait = seconds_to_wait(headers, said.text, now=now)
    if kind in (RequestRejected, TooLarge, Failed) and (too_long := overflow_message(text, said.codes)) is not None:
        return PromptTooLong(_without(text, too_long), told=too_long, detail=detail, status=status)
    if kind is TimedOut:
        error: UpstreamError = TimedOut(MESSAGES[TimedOut], phase="first_byte", detail=detail)
        error.status = status
        return error
    message, told = _message(kind, text)
    return kind(message, told=told, detail=detail, status=status, retry_after=wait)


def _without(text: str, told: str) -> str:
    """`told` as far as it is ours: the server's text stands at its end, if it is there."""
    return told.removesuffix(f": {text}") if text else told


def _message(kind: type[UpstreamError], text: str) -> tuple[str, str]:
    """What we say ourselves, and what the caller is told."""
    if kind is UnknownModel:
        found = _MODEL.search(text)
        return MESSAGES[kind], f"model: {found[1] or found[2] or found[3]}" if found else MESSAGES[kind]
    ours = MESSAGES[kind]
    if kind is RequestRejected and text:
        token = capability_token(text)
        refused = f"capability_rejected: {token}" if token else ""
        return refused or ours, f"{refused}: {text}" if refused else text
    return ours, f"{ours}: {text}" if kind in _QUOTED and text else ours


def _read(body: bytes) -> _Said | None:
    """What a body says, or the beginning of one; None for what is no JSON object."""
    value = _parsed(repair(body))
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, dict):
        return None
    said = _find(value, 3)
    return said._replace(text=said.text[:_LONGEST].encode("utf-8", "replace").decode())  # not half a surrogate


def _parsed(text: bytes) -> object:
    value = parse_or_none(text)
    return truncated.parse_truncated(text.decode()) if value is None else value


def _find(error: dict[str, Any], depth: int) -> _Said:
    """The innermost error that says something, with the codes found on the way."""
    inner: Any = error.get("error")
    if not isinstance(inner, (dict, str)):
        inner = error.get("metadata")
        inner = inner.get("raw") if isinstance(inner, dict) else None
    if isinstance(inner, str) and inner.lstrip().startswith("{"):
        inner = _parsed(inner.encode("utf-8", "replace"))
    own = _own(error)
    if not isinstance(inner, dict) or not depth:
        return own._replace(text=inner) if isinstance(inner, str) and not own.text else own
    found = _find(inner, depth - 1)
    return _Said(found.text or own.text, f"{own.codes} {found.codes}".strip(), own.status or found.status)


def _own(error: dict[str, Any]) -> _Said:
    text = error.get("message")
    if not isinstance(text, str):
        text = _detail(error.get("detail"))
    if isinstance(error.get("n_prompt_tokens"), int) and isinstance(error.get("n_ctx"), int):  # llama.cpp
        text += (
            f" request ({error['n_prompt_tokens']} tokens) exceeds the available context size ({error['n_ctx']} tokens)"
        )
    given = (error.get(name) for name in ("code", "type", "status"))
    codes = [str(code)[:_CODE] for code in given if isinstance(code, (int, str)) and code]
    statuses = [int(code) for code in codes if code.isascii() and code.isdigit() and 400 <= int(code) < 600]
    return _Said(text, " ".join(codes).lower(), statuses[0] if statuses else 0)


def _detail(detail: object) -> str:
    """FastAPI's `detail`: a text, or a list of places and complaints."""
    if isinstance(detail, str):
        return detail
    if not isinstance(detail, list):
        return ""
    complaints = [item for item in detail if isinstance(item, dict)]
    return "; ".join(f"{_place(item.get('loc'))}: {_words(item.get('msg'))}" for item in complaints)


def _place(loc: object) -> str:
    steps = loc if isinstance(loc, list) else [loc]
    return ".".join(str(step) for step in steps if isinstance(step, (int, str)))


def _words(msg: object) -> str:
    return msg if isinstance(msg, str) else ""
