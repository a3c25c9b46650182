"""What the HTTP client needs of a transport, and what a transport gets.

net/native       the gateway's own
net/over_httpx   any httpx transport: aiohttp's, a user's own, `httpx.MockTransport`
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from asgi_llmgate._version import __version__
from asgi_llmgate.concurrency.chunks import Chunks
from asgi_llmgate.net.credentials import unavailable
from asgi_llmgate.net.deadline import Timeouts
from asgi_llmgate.net.headers import NOT_A_HEADER_VALUE, is_header_value
from asgi_llmgate.net.request_url import RequestURL
from asgi_llmgate.secret_values import Secret

RawHeaders = Sequence[tuple[bytes, bytes | Secret]]
"""Names in lower case, and values; a value that must not be shown is a Secret until it is written."""

Content = bytes | Secret

_DEFAULT_HEADERS = [(b"user-agent", f"asgi-llmgate/{__version__}".encode()), (b"accept-encoding", b"identity")]


@dataclass(slots=True, repr=False)  # not frozen: that takes four times as long to make
class Request:
    """`new_connection`: no connection of the pool may be used, as in HTTPClient.open."""

    method: str
    url: RequestURL
    headers: RawHeaders
    content: Content
    timeouts: Timeouts
    new_connection: bool = False

    def check(self) -> None:
        """Raises CredentialUnavailable for a Secret that a header cannot contain."""
        for _, value in self.headers:
            if isinstance(value, Secret) and not is_header_value(value.reveal()):
                raise unavailable(NOT_A_HEADER_VALUE)

    def plain_headers(self) -> list[tuple[bytes, bytes]]:
        """All headers but `host` and those that frame the body.  Here and below secrets become plain text: a caller
        must not wait while it has them."""
        return _DEFAULT_HEADERS + [
            (name, value.reveal().encode("latin-1") if isinstance(value, Secret) else value)
            for name, value in self.headers
        ]

    def plain_content(self) -> bytes:
        return self.content.reveal().encode() if isinstance(self.content, Secret) else self.content


class Response(Protocol):
    """A response whose head has arrived.  `headers` have lower-case names."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def body(self) -> Chunks:
        """Raises UpstreamErrors.  Not to be read after `aclose`: it may be another response's then."""

    async def aclose(self) -> None:
        """Give the connection back, or close it if the body has not been read to its end.  May be repeated.

        If the caller is cancelled meanwhile, the connection is closed all the same.
        """


class Transport(Protocol):
    """Sends requests over connections of one event loop."""

    async def send(self, request: Request) -> Response:
        """Return when the head of the response has arrived.  Raises ConnectionRefused, Unreachable,
        CredentialUnavailable, MaybeSent, TimedOut and Broken.  If it is cancelled, the connection is closed at once.
        """

    async def aclose(self) -> None: ...
