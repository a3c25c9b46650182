"""The error in a response body, whatever its shape.

OpenAI, Azure, OpenRouter and llama.cpp send `{"error": {"message", "type", "code"}}`, Ollama `{"error": "text"}`, vLLM
either that or the inner object alone, FastAPI `{"detail": ...}`, Gemini a list, Cloudflare `{"errors": [...]}`, Mistral
a list of complaints inside `message`, AWS `{"__type", "Message"}`, MiniMax `base_resp`, Zhipu and SiliconFlow
`{"code", "msg"}`, Baidu `{"error_code", "error_msg"}`, Apigee `fault`, .NET `{"title", "status", "errors"}` (RFC 9457),
and proxies a JSON text inside a JSON text.

Some of them come with the status 200, and some in the middle of a stream; `find_report` tells them from chunks that
have nothing to say.
"""

from __future__ import annotations

from typing import Any

from asgi_llmgate.protocol.rawjson import truncated
from asgi_llmgate.protocol.rawjson.strings import parse_or_none, repair
from asgi_llmgate.protocol.servers.errors.report_fields import (
    CODES,
    LONGEST_CODE,
    MOST,
    NO_REPORT,
    TEXTS,
    ErrorReport,
    read_fields,
)

_LONGEST_BODY = 64 * 1024
"""Bytes of a body that are read."""

_LONGEST_TEXT = 4000
"""Characters of an error's text."""

_DEPTH = 6
"""How many errors inside one another are opened: a proxy behind a proxy, with a list inside."""

_INSIDE = (
    *("error", "Error", "errors", "Response", "metadata", "raw", "message", "detail", "fault", "base_resp", "details"),
)
"""Where another error may stand; the first one that has a text counts."""

_NO_ERRORS = frozenset(
    {
        *("", "0", "200", "ok", "success", "succeeded", "completed", "info", "message", "status", "progress", "ping"),
        *("heartbeat", "keepalive", "queued", "pending", "processing", "in_progress", "running", "loading"),
    }
)
"""Codes of a body that reports no error."""

_BESIDE = frozenset({*TEXTS, "request_id", "requestId", "id", "trace_id", "timestamp", "path"})
"""What may stand beside the text of an error that has no code."""


def read_report(body: bytes) -> ErrorReport | None:
    """The error in a body, or in the beginning of one; None for a body that is not a JSON object."""
    value = _load(body)
    return None if value is None else _report(value)


def find_report(body: bytes) -> ErrorReport | None:
    """The error in a body without choices whose status was 200; None where it reports none.

    A text alone is an error only where nothing else stands beside it: some servers write notes between chunks.
    """
    value = _load(body)
    if value is None or not _reports_error(value):
        return None
    return _report(value)


def cut(text: str) -> str:
    """The beginning of a text, as valid UTF-8: a cut may leave half a surrogate pair."""
    return text[:_LONGEST_TEXT].encode("utf-8", "replace").decode()


def _load(body: bytes) -> dict[str, Any] | None:
    value = _parse(repair(body[:_LONGEST_BODY]))
    if isinstance(value, list) and value:
        value = value[0]
    return value if isinstance(value, dict) else None


def _parse(text: bytes) -> object:
    value = parse_or_none(text)
    return truncated.parse_truncated(text.decode()) if value is None else value


def _report(value: dict[str, Any]) -> ErrorReport:
    found = _read_object(value, _DEPTH)
    return found._replace(text=cut(found.text))


def _reports_error(value: dict[str, Any]) -> bool:
    base = value.get("base_resp")
    if isinstance(base, dict):
        return base.get("status_code") not in (0, None)
    if value.get("success") is False or value.get("object") == "error":
        return True
    if any(value.get(name) for name in ("error", "errors", "fault", "Error", "Response")):
        return True
    if not any(isinstance(value.get(name), str) and value[name] for name in TEXTS):
        return False
    codes = (str(value.get(name) or "")[:LONGEST_CODE].lower() for name in CODES)
    return any(code not in _NO_ERRORS for code in codes) or value.keys() <= _BESIDE


def _read(value: object, depth: int) -> ErrorReport:
    if not depth:
        return NO_REPORT
    if isinstance(value, str):
        inner = _parse(value.encode("utf-8", "replace")) if value.lstrip()[:1] in ("{", "[") else None
        return ErrorReport(value) if inner is None else _read(inner, depth - 1)
    if isinstance(value, list):
        return _read_list(value[:MOST], depth)
    return _read_object(value, depth) if isinstance(value, dict) else NO_REPORT


def _read_list(items: list[Any], depth: int) -> ErrorReport:
    """FastAPI's complaints, `{"loc": [...], "msg": "..."}`, together; of errors the text of the first one."""
    complaints = [item for item in items if isinstance(item, dict) and "loc" in item]
    if complaints:
        texts = (f"{_format_place(item['loc'])}: {_str_or_empty(item.get('msg'))}" for item in complaints)
        return ErrorReport("; ".join(texts))
    found = NO_REPORT
    for item in items:
        found = _join(found, _read(item, depth - 1), found.text)
    return found


def _read_object(error: dict[str, Any], depth: int) -> ErrorReport:
    """The innermost error that has a text, with the codes of all errors around it."""
    own = read_fields(error)
    for name in _INSIDE:
        value = error.get(name)
        found = _read(value, depth - 1)
        if isinstance(value, str) and found.text == value:
            # Beside a text, `error` is a code: `{"error": "invalid_request", "error_description": "..."}`.
            own = own._replace(text=own.text or value)
        elif name in ("errors", "details"):
            # They belong to the text before them, if there is one.
            own = _join(own, found, _append(own.text, found.text or _flatten(value), name))
        else:
            inner = found.text or (_flatten(value) if name in ("message", "detail") and not own.text else "")
            own = _join(own, found, inner)
            if inner:
                break
    return own


def _join(one: ErrorReport, other: ErrorReport, text: str) -> ErrorReport:
    codes = " ".join(f"{one.codes} {other.codes}".split()[:MOST])
    return ErrorReport(text or one.text or other.text, codes, one.status or other.status, one.headers + other.headers)


def _append(text: str, more: str, name: str) -> str:
    if name == "details" or more in text:
        return text
    return f"{text}: {more}" if text else more


def _flatten(value: object) -> str:
    """`messages: too short` of `{"messages": ["too short"]}`."""
    if not isinstance(value, dict):
        return ""
    pairs = ((name, each[0] if isinstance(each, list) and each else each) for name, each in value.items())
    texts = [f"{name}: {each}" for name, each in pairs if isinstance(each, str) and name not in CODES]
    return "; ".join(texts[:MOST])


def _format_place(loc: object) -> str:
    steps = loc if isinstance(loc, list) else [loc]
    return ".".join(str(step) for step in steps if isinstance(step, (int, str)))


def _str_or_empty(value: object) -> str:
    return value if isinstance(value, str) else ""
