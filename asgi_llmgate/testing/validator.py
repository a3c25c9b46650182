"""The messages that an ASGI app may send in response to one HTTP request, and their order.

Servers tolerate different errors: one drops a header that another sends twice, one closes the connection where another
waits.  This validator tolerates none, so a response that passes here is the same behind every server.

    state   message                 next
    ------  ----------------------  -----------------------------
    idle    http.response.start     body
    body    http.response.body      body while `more_body`, then done
    done    (nothing)

Source: the HTTP part of the ASGI specification, https://asgi.readthedocs.io/en/latest/specs/www.html.  Messages of
extensions are refused: the scope that a Driver builds offers none.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from asgi_llmgate._types import Message

State = Literal["idle", "body", "done"]

_EXPECTED: dict[State, str] = {"idle": "http.response.start", "body": "http.response.body"}
_KEYS = {
    "http.response.start": {"type", "status", "headers", "trailers"},
    "http.response.body": {"type", "body", "more_body"},
}

# RFC 9110 section 5.1, in lower case as ASGI asks for.
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_VALUE = re.compile(rb"(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?")

# RFC 9110 section 7.6.1: they belong to the connection, which is the server's.  All servers understand
# `connection: close`, though.
_HOP_BY_HOP = {b"connection", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade"}

_NO_BODY = {204, 304}


class ProtocolViolation(AssertionError):
    """The app has sent what ASGI does not allow, or has not sent what it requires."""


class Validator:
    """Checks the messages of one response, one after the other.

    `method` is the request's: a response to HEAD has no body.
    """

    def __init__(self, method: str) -> None:
        self.state: State = "idle"
        self._method = method
        self._bodyless = method == "HEAD"
        self._promised: int | None = None
        self._sent = 0

    def check(self, message: Message) -> None:
        """Take the next message.  Raises ProtocolViolation."""
        kind = message.get("type")
        if self.state == "done":
            raise ProtocolViolation(f"{kind} after the response was complete")
        if kind != _EXPECTED[self.state]:
            raise ProtocolViolation(f"{kind} where {_EXPECTED[self.state]} is due")
        if unknown := message.keys() - _KEYS[kind]:
            raise ProtocolViolation(f"{kind} has no {', '.join(sorted(unknown))}")
        if kind == "http.response.start":
            self._start(message)
        else:
            self._body(message)

    def end(self) -> None:
        """The app has returned.  Raises ProtocolViolation where the response is not complete."""
        if self.state != "done":
            missing = "a response" if self.state == "idle" else "completing the response"
            raise ProtocolViolation(f"the app returned without {missing}")

    def _start(self, message: Message) -> None:
        status = message.get("status")
        if type(status) is not int or not 200 <= status <= 599:
            raise ProtocolViolation(f"status is {status!r}, not a final HTTP status")
        for pair in message.get("headers", ()):
            name, value = _header(pair)
            if name == b"content-length":
                self._promise(value)
        self._bodyless = self._bodyless or status in _NO_BODY
        self.state = "body"

    def _promise(self, value: bytes) -> None:
        if self._promised is not None or not value.isdigit():
            raise ProtocolViolation("content-length must be one number, given once")
        self._promised = int(value)

    def _body(self, message: Message) -> None:
        body, more = message.get("body", b""), message.get("more_body", False)
        if type(body) is not bytes:
            raise ProtocolViolation(f"body is {type(body).__name__}, not bytes")
        if type(more) is not bool:
            raise ProtocolViolation(f"more_body is {type(more).__name__}, not bool")
        if body and self._bodyless:
            raise ProtocolViolation("a body where HTTP allows none (HEAD, 204, 304)")
        self._sent += len(body)
        self._measure(complete=not more)
        if not more:
            self.state = "done"

    def _measure(self, *, complete: bool) -> None:
        if self._promised is None or self._bodyless:
            return
        if self._sent > self._promised or (complete and self._sent < self._promised):
            raise ProtocolViolation(f"content-length promised {self._promised} bytes, the body has {self._sent}")


def _header(pair: Any) -> tuple[bytes, bytes]:
    if not isinstance(pair, (list, tuple)) or len(pair) != 2 or not all(type(part) is bytes for part in pair):
        raise ProtocolViolation(f"a header is a pair of bytes, not {type(pair).__name__}")
    name, value = pair
    if not _NAME.fullmatch(name):
        raise ProtocolViolation(f"header name {name!r} is not a lower-case token")
    if name in _HOP_BY_HOP and (name, value) != (b"connection", b"close"):
        raise ProtocolViolation(f"header {name!r} belongs to the server")
    if not _VALUE.fullmatch(value):
        raise ProtocolViolation(f"the value of header {name!r} has control characters or outer blanks")
    return name, value
