"""Reads the errors of model servers: the work of `upstream_errors`, which says what each function returns, and imports
this module with the first error.

`reports` reads the body (`pages`, if it is not JSON), and `classes` decides which class of `errors` it is.  This module
and those that it uses have 400 regular expressions: a process that never meets an error does without.
"""

from __future__ import annotations

from collections.abc import Mapping

from asgi_llmgate.errors import (
    Broken,
    Failed,
    Overloaded,
    PromptTooLong,
    RequestRejected,
    Throttled,
    TimedOut,
    TooLarge,
    UnknownModel,
    UpstreamError,
)
from asgi_llmgate.protocol.redaction import redacted
from asgi_llmgate.protocol.servers.errors.actionable import (
    UNNUMBERED,
    capability_token,
    over_rate_message,
    overflow_message,
)
from asgi_llmgate.protocol.servers.errors.classes import Verdict, classify, find_status, longer_wait
from asgi_llmgate.protocol.servers.errors.codes import STATUS_ERRORS, known_codes
from asgi_llmgate.protocol.servers.errors.pages import read_page
from asgi_llmgate.protocol.servers.errors.report_fields import NO_REPORT, ErrorReport
from asgi_llmgate.protocol.servers.errors.reports import find_report, read_report
from asgi_llmgate.protocol.servers.errors.retry_after import seconds_to_wait
from asgi_llmgate.protocol.servers.errors.upstream_errors import MESSAGES
from asgi_llmgate.protocol.servers.wordings.statuses import UNKNOWN_MODEL_NAME

_WITH_SERVER_TEXT = frozenset({Throttled, Overloaded, Failed})
"""Errors whose `client_message` has the server's text behind the gateway's own."""

_MAY_BE_OVERFLOW = frozenset({RequestRejected, TooLarge, Failed, Overloaded})
"""Errors that may say that the prompt is too long: proxies turn the 400 of a server into a 500 or 503."""


def upstream_error(status: int, body: bytes, headers: Mapping[str, str], *, now: float | None = None) -> UpstreamError:
    report = read_report(body)
    if report is None or 300 <= status < 400:
        kind, message, report = read_page(status, body)
        if kind is not None:
            return _make(Verdict(kind, message), status, NO_REPORT, headers, now)
    if report is None:
        # Nothing that can be read: the meaning is in the status.
        return _make(Verdict(STATUS_ERRORS.get(status, Broken)), status, NO_REPORT, headers, now)
    if status < 400:
        return _reported(report)
    if aws_code := headers.get("x-amzn-errortype", ""):
        report = report._replace(codes=f"{report.codes} {aws_code.partition(':')[0][:64].lower()}".strip())
    return _classified(status, report, headers, now)


def reported_error(event: bytes) -> UpstreamError:
    return _reported(read_report(event) or NO_REPORT)


def unnamed_error(event: bytes) -> UpstreamError | None:
    report = find_report(event)
    return None if report is None else _reported(report)


def unreadable_response(data: bytes, message: str) -> UpstreamError:
    if (error := unnamed_error(data)) is not None:
        return error
    page = read_page(200, data)
    if page.kind is not None:
        return page.kind(page.message, detail="upstream 200", status=200)
    return Broken(message)


def silent_overflow() -> UpstreamError:
    message = "the context window was full before the first token of a response"
    return PromptTooLong(f"{UNNUMBERED}: {message}", detail="upstream 200", status=200)


def _reported(report: ErrorReport) -> UpstreamError:
    return _classified(find_status(report), report, {}, None)


def _classified(status: int, report: ErrorReport, headers: Mapping[str, str], now: float | None) -> UpstreamError:
    stated = seconds_to_wait(dict(report.headers), report.text, now=now)
    return _make(classify(status, report, stated), status, report, headers, now)


def _make(
    verdict: Verdict, status: int, report: ErrorReport, headers: Mapping[str, str], now: float | None
) -> UpstreamError:
    kind, own = verdict
    text = redacted(report.text)
    detail = f"upstream {status} {known_codes(report.codes)}".rstrip()
    if not own and (too_long := _too_long(kind, text, report.codes)) is not None:
        return PromptTooLong(_without_text(text, too_long), client_message=too_long, detail=detail, status=status)
    if kind is TimedOut:
        late = TimedOut(MESSAGES[TimedOut], phase="first_byte", detail=detail)
        late.status = status
        return late
    wait = seconds_to_wait({**dict(report.headers), **headers}, report.text, now=now, limited=kind is Throttled)
    if kind is Throttled:
        wait = longer_wait(report, wait)
    message, client_message = _messages(kind, own or MESSAGES[kind], text)
    error = kind(message, client_message=client_message, detail=detail, status=status, retry_after=wait)
    if kind is Broken and status in (404, 405):
        error.should_retry = False  # the address has no chat completions
    return error


def _too_long(kind: type[UpstreamError], text: str, codes: str) -> str | None:
    if kind in (Throttled, TooLarge) and (message := over_rate_message(text)) is not None:
        return message
    return overflow_message(text, codes) if kind in _MAY_BE_OVERFLOW else None


def _without_text(text: str, client_message: str) -> str:
    """`client_message` without the server's text, which is at its end if it is there."""
    return client_message.removesuffix(f": {text}") if text else client_message


def _messages(kind: type[UpstreamError], own: str, text: str) -> tuple[str, str]:
    """`message` and `client_message` of an error; `own` is the gateway's text."""
    if kind is UnknownModel:
        found = UNKNOWN_MODEL_NAME.search(text)
        return own, f"model: {found[1] or found[2] or found[3]}" if found else own
    if kind is RequestRejected and text:
        if own != MESSAGES[kind]:
            return own, f"{own}: {text}"
        token = capability_token(text)
        # Claude Code reads the token and leaves the feature out.
        refused = f"capability_rejected: {token}" if token else ""
        return refused or own, f"{refused}: {text}" if refused else text
    return own, f"{own}: {text}" if kind in _WITH_SERVER_TEXT and text else own
