"""Reads one response (RFC 9112): its bytes as they arrive -> status, headers and body.  No I/O.

    state     what comes                                   then
    --------  -------------------------------------------  ------------------------------------------------------------
    HEAD      an informational response (1xx)              HEAD: it is skipped (RFC 9110 section 15.2)
              101 Switching Protocols                      FAILED: nobody asked for it
              any other status, with a body                BODY
              204, 304, or the response to HEAD            COMPLETE (RFC 9112 section 6.3)
              more than the limits below                   FAILED
              the end of the connection                    FAILED
    BODY      the end of its chunks or content-length      COMPLETE
              the end of the connection                    COMPLETE if the body has neither; otherwise FAILED
              a chunk that is not valid                    FAILED, after the body before it was read
    COMPLETE  anything                                     COMPLETE, but the connection cannot be used again

How the bytes are divided makes no difference: tests/fuzz/fuzz_response.py.
"""
# httptools is a binding of llhttp, the parser of Node.js, which uvicorn uses too: about 2 microseconds for a response.
# Its leniencies are the three that aiohttp has, for servers that exist.

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from asgi_llmgate.errors import UpstreamError
from asgi_llmgate.net.failures import cut_off, head_too_large, no_response, not_http

MAX_HEADER = 64 * 1024
"""Bytes of one header.  Policies for browsers take more than the usual 8 KiB (aio-libs/aiohttp#2304)."""

MAX_HEADERS = 512
"""Headers of a response, with those of its informational responses and its trailer."""

MAX_HEAD = 256 * 1024
"""Bytes that are read in a row without a byte of the body: a head, a trailer, a chunk's extensions."""


class ResponseParser:
    """`has_head`: `status` and `headers` are known.  `is_complete`: the whole response has been read.

    headers     lower-case names; a name that comes more than once has its values joined by ", " (RFC 9110 section 5.3)
    keep_alive  whether the connection can take another request, once the response is complete
    failure     makes the error, if what came is no response
    """

    __slots__ = ("_count", "_feed", "_is_head", "_parser", "_pieces", "_since_body", "_until_close",
                 "failure", "has_head", "headers", "is_complete", "keep_alive", "status")  # fmt: skip

    def __init__(self, *, is_head: bool = False) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.has_head = False
        self.is_complete = False
        self.keep_alive = False
        self.failure: Callable[[], UpstreamError] | None = None
        self._is_head = is_head
        self._until_close = False
        self._pieces: list[bytes] = []
        self._count = 0
        self._since_body = 0
        self._parser = parser = HttpResponseParser(self)
        parser.set_dangerous_leniencies(
            lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )
        self._feed = parser.feed_data

    @property
    def has_begun(self) -> bool:
        """Whether a byte has arrived."""
        return self._since_body > 0 or self.has_head

    def feed(self, data: bytes) -> bytes:
        """What of the body is in `data`.  After a failure, or the end of the response, nothing."""
        if self.is_complete or self.failure is not None:
            self.keep_alive = self.keep_alive and not data.strip(b"\r\n")
            return b""
        self._since_body += len(data)
        try:
            self._feed(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._stop(error)
        if self._since_body > MAX_HEAD and not self.is_complete and self.failure is None:
            self.failure = partial(head_too_large, f"more than {MAX_HEAD} bytes")
        pieces = self._pieces
        if not pieces:
            return b""
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        return body

    def end(self, reason: str) -> None:
        """The connection has ended.  `reason` is a word for the operator."""
        self.keep_alive = False
        if self.is_complete or self.failure is not None:
            return
        if self._until_close:
            self.is_complete = True
        elif self.has_head:
            self.failure = partial(cut_off, reason)
        else:
            self.failure = partial(no_response, reason, reused=False)

    def release(self) -> None:
        """Ends the reference of llhttp to this object and back, so that both are freed at once."""
        self._parser = self._feed = None  # type: ignore[assignment]

    def _stop(self, error: Exception) -> None:
        self.keep_alive = False
        if self.is_complete:
            return  # what came after the response was no other response
        if isinstance(error.__context__, _LimitError):
            self.failure = partial(head_too_large, str(error.__context__))
        else:
            self.failure = partial(not_http, type(error).__name__)

    # What httptools calls.

    def on_message_begin(self) -> None:
        if self.is_complete:
            self.keep_alive = False  # a response that nobody has asked for

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count += 1
        if self._count > MAX_HEADERS:
            raise _LimitError(f"more than {MAX_HEADERS} headers")
        if len(name) + len(value) > MAX_HEADER:
            raise _LimitError(f"a header of more than {MAX_HEADER} bytes")
        if b"\0" in value:
            raise ValueError("a header with a NUL")
        if self.has_head:
            return  # a trailer, which nothing reads
        key = name.decode("latin-1").lower()
        text = value.decode("latin-1")
        known = self.headers.get(key)
        self.headers[key] = text if known is None else f"{known}, {text}"

    def on_headers_complete(self) -> None:
        if self.has_head:
            return
        status = self._parser.get_status_code()
        if status == 101:
            raise ValueError("another protocol")
        if status < 200:
            self.headers = {}
            return
        self.status = status
        self.has_head = True
        self.keep_alive = self._parser.should_keep_alive()
        codings = self.headers.get("transfer-encoding")
        if self._is_head:
            self.is_complete, self.keep_alive = True, False  # llhttp would wait for a body
        elif codings is None:
            self._until_close = "content-length" not in self.headers
        else:
            self._until_close = codings.rpartition(",")[2].strip().lower() != "chunked"

    def on_body(self, data: bytes) -> None:
        if not self.is_complete:
            self._since_body = 0
            self._pieces.append(data)

    def on_message_complete(self) -> None:
        if self.has_head:
            self.is_complete = True


class _LimitError(Exception):
    pass
