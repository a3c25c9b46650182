"""The error in a response body, whatever its shape.

OpenAI, Azure, OpenRouter and llama.cpp send `{"error": {"message", "type", "code"}}`, Ollama `{"error": "text"}`, vLLM
either that or the inner object alone, FastAPI `{"detail": ...}`, Gemini a list, proxies a JSON text inside a JSON text,
and load balancers HTML.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from asgi_llmgate.protocol.rawjson import truncated
from asgi_llmgate.protocol.rawjson.strings import parse_or_none, repair

_LONGEST_TEXT = 4000
"""Characters of an error's text."""

_LONGEST_CODE = 64
"""Characters of one code."""

_DEPTH = 3
"""How many errors inside one another are opened: a proxy behind a proxy."""


class ErrorReport(NamedTuple):
    """What a server reports.

    `text` is its message.  `codes` are every `code`, `type` and `status`, in lower case, separated by spaces.  `status`
    is the first of them that is an HTTP status of an error, or 0.
    """

    text: str = ""
    codes: str = ""
    status: int = 0


def read_report(body: bytes) -> ErrorReport | None:
    """The error in a body, or in the beginning of one; None for a body that is not a JSON object."""
    value = _parse(repair(body))
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, dict):
        return None
    report = _innermost(value, _DEPTH)
    # A cut may leave half a surrogate pair, which cannot be encoded as UTF-8.
    return report._replace(text=report.text[:_LONGEST_TEXT].encode("utf-8", "replace").decode())


def _parse(text: bytes) -> object:
    value = parse_or_none(text)
    return truncated.parse_truncated(text.decode()) if value is None else value


def _innermost(error: dict[str, Any], depth: int) -> ErrorReport:
    """The innermost error that has a text, with the codes of all errors around it."""
    inner: Any = error.get("error")
    if not isinstance(inner, (dict, str)):
        # OpenRouter: the error of the server behind it.
        inner = error.get("metadata")
        inner = inner.get("raw") if isinstance(inner, dict) else None
    if isinstance(inner, str) and inner.lstrip().startswith("{"):
        inner = _parse(inner.encode("utf-8", "replace"))
    own = _own_report(error)
    if not isinstance(inner, dict) or not depth:
        return own._replace(text=inner) if isinstance(inner, str) and not own.text else own
    found = _innermost(inner, depth - 1)
    return ErrorReport(found.text or own.text, f"{own.codes} {found.codes}".strip(), own.status or found.status)


def _own_report(error: dict[str, Any]) -> ErrorReport:
    text = error.get("message")
    if not isinstance(text, str):
        text = _read_detail(error.get("detail"))
    # llama.cpp has the numbers in fields of their own; `wordings.overflow` finds them in a text.
    if isinstance(error.get("n_prompt_tokens"), int) and isinstance(error.get("n_ctx"), int):
        text += (
            f" request ({error['n_prompt_tokens']} tokens) exceeds the available context size ({error['n_ctx']} tokens)"
        )
    given = (error.get(name) for name in ("code", "type", "status"))
    codes = [str(code)[:_LONGEST_CODE] for code in given if isinstance(code, (int, str)) and code]
    statuses = [int(code) for code in codes if code.isascii() and code.isdigit() and 400 <= int(code) < 600]
    return ErrorReport(text, " ".join(codes).lower(), statuses[0] if statuses else 0)


def _read_detail(detail: object) -> str:
    """FastAPI's `detail`: a text, or a list of `{"loc": [...], "msg": "..."}`."""
    if isinstance(detail, str):
        return detail
    if not isinstance(detail, list):
        return ""
    complaints = [item for item in detail if isinstance(item, dict)]
    return "; ".join(f"{_format_place(item.get('loc'))}: {_str_or_empty(item.get('msg'))}" for item in complaints)


def _format_place(loc: object) -> str:
    steps = loc if isinstance(loc, list) else [loc]
    return ".".join(str(step) for step in steps if isinstance(step, (int, str)))


def _str_or_empty(value: object) -> str:
    return value if isinstance(value, str) else ""
