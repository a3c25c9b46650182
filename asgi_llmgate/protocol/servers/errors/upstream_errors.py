"""The errors of model servers as errors of the gateway.

`reading` reads them; it is imported with the first error, because that takes a tenth of the time until a gateway is
built.  How an error looks to the caller is in `errors.TABLE` alone.

An error has two messages.  `message` and `detail` go into logs and records: they are texts of the gateway with the
status and known codes.  `client_message` goes to the caller only.  It may hold the server's text, because clients act
on it, and because what a server quotes there (vLLM and Mistral quote the whole `input`) is the caller's own request;
secrets are removed from it (`redacted`).  Errors about the gateway's credential or account never hold that text.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from asgi_llmgate.errors import (
    Blocked,
    Broken,
    CredentialRefused,
    Failed,
    Overloaded,
    QuotaExhausted,
    RequestRejected,
    Throttled,
    TimedOut,
    TooLarge,
    UnknownModel,
    UpstreamError,
)

READING = "asgi_llmgate.protocol.servers.errors.reading"
"""The module that is imported with the first error."""

MESSAGES: Mapping[type[UpstreamError], str] = MappingProxyType(
    {
        Blocked: "something in front of the model server refused the request; tell the operator of the gateway",
        CredentialRefused: (
            "the gateway's own credential was refused by the model server; tell the operator of the gateway"
        ),
        QuotaExhausted: "the gateway's account with the model server has no quota; tell the operator of the gateway",
        UnknownModel: "model: not known to the model server",
        TooLarge: "the model server does not accept a request of this size",
        TimedOut: "the model server timed out",
        Broken: (
            "the model server did not respond as a chat completions server does; the operator of the gateway must "
            "check the address"
        ),
        Throttled: "the model server limits requests",
        Overloaded: "the model server is overloaded or not ready",
        Failed: "the model server failed",
        RequestRejected: "the model server refused the request",
    }
)
"""The gateway's own text for each error."""


def upstream_error(status: int, body: bytes, headers: Mapping[str, str], *, now: float | None = None) -> UpstreamError:
    """The error in a response that is not a completion.

    `headers` have lower-case names.  `now` is Unix seconds; it is needed only for a wait that is stated as a date.  Any
    status is possible, also 200: a JSON body with an `error` in it, or HTML of a login page.
    """
    from asgi_llmgate.protocol.servers.errors import reading

    return reading.upstream_error(status, body, headers, now=now)


def reported_error(event: bytes) -> UpstreamError:
    """The error in an event of a stream, or in a document, of a response whose status was 200."""
    from asgi_llmgate.protocol.servers.errors import reading

    return reading.reported_error(event)


def unnamed_error(event: bytes) -> UpstreamError | None:
    """The error in such an event that is not in a field `error`; None where it has none."""
    from asgi_llmgate.protocol.servers.errors import reading

    return reading.unnamed_error(event)


def unreadable_response(
    data: bytes, message: str = "the model server sent something that is not a chat completion"
) -> UpstreamError:
    """The error for an event or a document that is not what its wire has: what it says, or Broken with `message`."""
    from asgi_llmgate.protocol.servers.errors import reading

    return reading.unreadable_response(data, message)


def silent_overflow() -> UpstreamError:
    """The error for a response that a full context window has ended before its first token."""
    from asgi_llmgate.protocol.servers.errors import reading

    return reading.silent_overflow()
