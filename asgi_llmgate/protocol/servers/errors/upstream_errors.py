"""The errors of model servers as errors of the gateway.

`reports` reads the body; the status, the text (`wordings.statuses`) and the codes (`codes`) decide
which class of `errors` it is.  How that looks to the caller is in `errors.TABLE` alone.

An error has two messages.  `message` and `detail` go into logs and records: they are texts of the gateway with the
status and known codes.  `client_message` goes to the caller only.  It may hold the server's text, because clients act
on it, and because what a server quotes there (vLLM and Mistral quote the whole `input`) is the caller's own request;
secrets are removed from it (`redacted`).  Errors about the gateway's credential or account never hold that text.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

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
from asgi_llmgate.protocol.redaction import redacted
from asgi_llmgate.protocol.servers.errors.actionable import capability_token, overflow_message
from asgi_llmgate.protocol.servers.errors.codes import STATUS_ERRORS, known_codes, status_of
from asgi_llmgate.protocol.servers.errors.reports import ErrorReport, read_report
from asgi_llmgate.protocol.servers.errors.retry_after import seconds_to_wait
from asgi_llmgate.protocol.servers.wordings.statuses import ERROR_RULES, UNKNOWN_MODEL_NAME

MESSAGES: Mapping[type[UpstreamError], str] = MappingProxyType(
    {
        CredentialRefused: "the gateway's own credential was refused by the model server",
        QuotaExhausted: "the gateway's upstream account has no quota",
        UnknownModel: "model: not known to the model server",
        TooLarge: "the model server does not accept a request of this size",
        TimedOut: "the model server timed out",
        Broken: "the model server did not respond as a chat completions server does",
        Throttled: "the model server limits requests",
        Overloaded: "the model server is overloaded or not ready",
        Failed: "the model server failed",
        RequestRejected: "the model server refused the request",
    }
)
"""The gateway's own text for each error."""

_WITH_SERVER_TEXT = frozenset({Throttled, Overloaded, Failed})
"""Errors whose `client_message` has the server's text behind the gateway's own."""


def upstream_error(status: int, body: bytes, headers: Mapping[str, str], *, now: float | None = None) -> UpstreamError:
    """The error in a response that is not a completion.

    `headers` have lower-case names.  `now` is Unix seconds; it is needed only for a `retry-after` that is a date.  Any
    status is possible, also 200: a JSON body with an `error` in it, or HTML of a login page.
    """
    report = read_report(body)
    if report is None:
        # Not JSON: a proxy in front of the model server.  Its body is a page, its meaning is in the status.
        return _make(STATUS_ERRORS.get(status, Broken), status, ErrorReport(), headers, now)
    if status < 400:
        return _make(Broken, status, report, headers, now) if status >= 300 else reported_error(body)
    return _make(_classify(status, report), status, report, headers, now)


def reported_error(event: bytes) -> UpstreamError:
    """The error in an event of a stream, or in a document, of a response whose status was 200."""
    report = read_report(event) or ErrorReport()
    status = report.status or status_of(report.codes)
    return _make(_classify(status, report), status, report, {}, None)


def _classify(status: int, report: ErrorReport) -> type[UpstreamError]:
    text = f"{report.text} {report.codes}".lower()
    for statuses, pattern, error in ERROR_RULES:
        if status in statuses and pattern.search(text):
            return error
    return STATUS_ERRORS.get(status) or (RequestRejected if status < 500 else Failed)


def _make(
    kind: type[UpstreamError], status: int, report: ErrorReport, headers: Mapping[str, str], now: float | None
) -> UpstreamError:
    text = redacted(report.text)
    detail = f"upstream {status} {known_codes(report.codes)}".rstrip()
    wait = seconds_to_wait(headers, report.text, now=now)
    if kind in (RequestRejected, TooLarge, Failed) and (too_long := overflow_message(text, report.codes)) is not None:
        return PromptTooLong(_without_text(text, too_long), client_message=too_long, detail=detail, status=status)
    if kind is TimedOut:
        error: UpstreamError = TimedOut(MESSAGES[TimedOut], phase="first_byte", detail=detail)
        error.status = status
        return error
    message, client_message = _messages(kind, text)
    return kind(message, client_message=client_message, detail=detail, status=status, retry_after=wait)


def _without_text(text: str, client_message: str) -> str:
    """`client_message` without the server's text, which is at its end if it is there."""
    return client_message.removesuffix(f": {text}") if text else client_message


def _messages(kind: type[UpstreamError], text: str) -> tuple[str, str]:
    """`message` and `client_message` of an error."""
    own = MESSAGES[kind]
    if kind is UnknownModel:
        found = UNKNOWN_MODEL_NAME.search(text)
        return own, f"model: {found[1] or found[2] or found[3]}" if found else own
    if kind is RequestRejected and text:
        token = capability_token(text)
        # Claude Code reads the token and leaves the feature out.
        refused = f"capability_rejected: {token}" if token else ""
        return refused or own, f"{refused}: {text}" if refused else text
    return own, f"{own}: {text}" if kind in _WITH_SERVER_TEXT and text else own
