"""Error responses: the body in Anthropic's or OpenAI's shape, and the headers.

Anthropic: https://platform.claude.com/docs/en/api/errors, `{"type":"error","error":{"type","message"},"request_id"}`
with the id also in the header `request-id`; Claude Code takes a response without that header for one of a proxy on the
way.  OpenAI: https://platform.openai.com/docs/guides/error-codes, `{"error":{"message","type","param","code"}}`.
Status and types come from `errors.TABLE`, everything else from the error itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from asgi_llmgate.errors import GateError, MethodNotAllowed, row_for
from asgi_llmgate.exchange_values import Wire

_encode = msgspec.json.encode


def anthropic_error(error: GateError, request_id: str) -> bytes:
    """The body as JSON, also the data of a stream's `error` event.  An empty `request_id` is left out."""
    details: dict[str, object] = {"type": row_for(error).anthropic, "message": error.client_message}
    if error.error_code:
        details["details"] = {"error_code": error.error_code}
    body: dict[str, object] = {"type": "error", "error": details}
    if request_id:
        body["request_id"] = request_id
    return _encode(body)


def openai_error(error: GateError, request_id: str) -> bytes:
    """The body as JSON.  OpenAI has the request id in the headers only."""
    return _encode(
        {"error": {"message": error.client_message, "type": row_for(error).openai, "param": None, "code": None}}
    )


class _ErrorFormat(NamedTuple):
    write_body: Callable[[GateError, str], bytes]
    event_line: bytes
    """Before the data of a stream's event; Anthropic's clients need its name, OpenAI's read only the data."""


_FORMATS: Mapping[Wire, _ErrorFormat] = MappingProxyType(
    {
        "messages": _ErrorFormat(anthropic_error, b"event: error\n"),
        "chat": _ErrorFormat(openai_error, b""),
    }
)


def error_body(error: GateError, request_id: str, wire: Wire) -> bytes:
    """The body that the clients of a wire understand, as JSON."""
    return _FORMATS[wire].write_body(error, request_id)


def error_event(error: GateError, request_id: str, wire: Wire) -> bytes:
    """The error as the last event of a stream."""
    return b"%bdata: %b\n\n" % (_FORMATS[wire].event_line, error_body(error, request_id, wire))


def error_headers(error: GateError, request_id: str) -> list[tuple[bytes, bytes]]:
    """The headers of an error response, ready for `http.response.start`.

    `retry-after` is in whole seconds (RFC 9110 section 10.2.3), rounded up: a client that retries too early
    is refused again.
    """
    headers = [(b"content-type", b"application/json"), (b"request-id", request_id.encode("latin-1"))]
    if error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % math.ceil(error.retry_after)))
    if error.should_retry is not None:
        headers.append((b"x-should-retry", b"true" if error.should_retry else b"false"))
    if error.challenge is not None:
        headers.append((b"www-authenticate", error.challenge.encode("latin-1")))
    if isinstance(error, MethodNotAllowed):
        headers.append((b"allow", error.allow.encode("latin-1")))
    return headers
