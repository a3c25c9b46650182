"""The fields of one object of an error: its text, its codes, and what it states in place of headers."""

from __future__ import annotations

from typing import Any, NamedTuple

LONGEST_CODE = 64
"""Characters of one code."""

MOST = 16
"""Members of a list, and codes, that are read."""

TEXTS = (
    *("message", "msg", "Message", "detail", "error_description", "error_message", "errorMessage", "error_msg"),
    *("status_msg", "faultstring", "description", "title"),
)
"""Where a text stands; the first one counts."""

CODES = (
    *("code", "Code", "type", "status", "http_code", "error_code", "error_type", "errorType", "errorCode"),
    *("status_code", "statusCode", "reason", "__type", "quotaId"),
)
"""Where codes stand."""

_WAITS = {
    "retryDelay": "retry-after",  # google.rpc.RetryInfo: "36s"
    "retry_after": "retry-after",
    "retryAfter": "retry-after",
    "retry_after_seconds": "retry-after",
    "retry_after_ms": "retry-after-ms",
    "reset_seconds": "retry-after",  # CLIProxyAPI
    "resets_in_seconds": "retry-after",  # Codex
    "estimated_time": "retry-after",  # Hugging Face: until the model is loaded
}
"""Fields that state a wait, and the header that says the same."""


class ErrorReport(NamedTuple):
    """What a server reports.

    `text` is its message.  `codes` are its codes and types, in lower case, separated by spaces; `status` is the first
    of them that is an HTTP status of an error, or 0.  `headers` are what the body states in place of headers:
    `retry-after` and `x-ratelimit-*`.
    """

    text: str = ""
    codes: str = ""
    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()


NO_REPORT = ErrorReport()


def read_fields(error: dict[str, Any]) -> ErrorReport:
    """What one object says, without the errors inside of it."""
    text: str = next((error[name] for name in TEXTS if isinstance(error.get(name), str) and error[name]), "")
    # llama.cpp has the numbers in fields of their own; `wordings.overflow` finds them in a text.
    if isinstance(error.get("n_prompt_tokens"), int) and isinstance(error.get("n_ctx"), int):
        text += (
            f" request ({error['n_prompt_tokens']} tokens) exceeds the available context size ({error['n_ctx']} tokens)"
        )
    given = [error.get(name) for name in CODES]
    if text:
        given.append(error.get("error"))
    if isinstance(violations := error.get("violations"), list):  # google.rpc.QuotaFailure
        given += [each.get("quotaId") for each in violations[:MOST] if isinstance(each, dict)]
    codes = [_format_code(code) for code in given if isinstance(code, (int, str)) and code]
    if "status_msg" in error:  # MiniMax's numbers mean something else than Zhipu's
        codes = [f"base_resp_{code}" for code in codes]
    statuses = [int(code) for code in codes if code.isascii() and code.isdigit() and 400 <= int(code) < 600]
    return ErrorReport(text, " ".join(codes[:MOST]), statuses[0] if statuses else 0, _read_headers(error))


def _format_code(code: int | str) -> str:
    """A code as one word in lower case: `ThrottlingException` of AWS's `com.amazon#ThrottlingException`."""
    return "_".join(str(code)[-LONGEST_CODE:].rpartition("#")[2].lower().split())


def _read_headers(error: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """What the body states in place of headers; OpenRouter repeats them in `metadata.headers`."""
    found = [(_WAITS[name], error[name]) for name in _WAITS if name in error]
    if isinstance(headers := error.get("headers"), dict):
        found += [
            (name.lower(), value)
            for name, value in headers.items()
            if "rate" in name.lower() or "retry" in name.lower()
        ]
    return tuple(
        (name, str(value)[:LONGEST_CODE]) for name, value in found[:MOST] if isinstance(value, (int, float, str))
    )
