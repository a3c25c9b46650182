"""The errors of outgoing requests, with their words.

Messages name no host, and say "the server": it may be an identity provider as well.  Clients read such an error only of
a model server, so `client_message` says that it is one, and what to do.  `detail` is for the operator and may name the
host, but never quotes what a server sent.
"""

from __future__ import annotations

from asgi_llmgate.errors import TRY_AGAIN, Broken, ConnectionRefused, MaybeSent, Unreachable

_CANNOT_BE_REACHED = f"the model server cannot be reached; {TRY_AGAIN}"


def refused(detail: str) -> ConnectionRefused:
    return ConnectionRefused("the server refused the connection", client_message=_CANNOT_BE_REACHED, detail=detail)


def unreachable(message: str, detail: str) -> Unreachable:
    return Unreachable(message, client_message=_CANNOT_BE_REACHED, detail=detail)


def no_response(detail: str, *, reused: bool) -> MaybeSent:
    """The connection broke before a head had arrived; `reused` as in MaybeSent."""
    return MaybeSent(
        "the server closed the connection without a response",
        client_message=f"the model server closed the connection without a response; {TRY_AGAIN}",
        detail=detail,
        reused=reused,
    )


def not_http(detail: str) -> Broken:
    return unreadable("the server's response is not HTTP", detail)


def head_too_large(detail: str) -> Broken:
    return unreadable("the server's response has a head that is too large", detail)


def cut_off(detail: str) -> Broken:
    told = f"the response of the model server was cut off; {TRY_AGAIN}"
    return Broken("the server's response was cut off", client_message=told, detail=detail)


def unreadable(message: str, detail: str) -> Broken:
    """The error for a response that is not what its protocol has."""
    return Broken(
        message, client_message=f"the response of the model server cannot be read; {TRY_AGAIN}", detail=detail
    )
