"""What forwarded responses have in common on every wire: events go out as they came, and the end is checked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from asgi_llmgate.errors import Broken, GateError
from asgi_llmgate.exchange_values import Verdict, Wire
from asgi_llmgate.protocol.error_bodies import error_event
from asgi_llmgate.protocol.response_handler import Held


class Forwarder(ABC):
    """The part of a ResponseHandler that does not depend on the wire.  `stream`: the client asked for events."""

    wire: ClassVar[Wire]
    changed: tuple[str, ...] = ()

    def __init__(self, *, stream: bool, request_id: str) -> None:
        self.started = False
        self.stopped = False
        self.done = False
        self.error: GateError | None = None
        self.held: Held | None = None
        self._stream = stream
        self._request_id = request_id
        self._out: list[bytes] = []

    def ping(self) -> None:
        """Write a comment: the first event of the stream must be the server's own."""
        self._out.append(b": ping\n\n")

    def fail(self, error: GateError) -> None:
        """End the response with an error event with the gateway's request id.

        After a stop reason the response ends well all the same: only its usage can be missing.
        """
        if self.done:
            return
        if self.stopped and self._stream and self.held is None:
            self.end()
            return
        self.held = None
        self.stopped = self.done = True
        self.error = error
        self._out.append(error_event(error, self._request_id, self.wire))

    def release(self, verdicts: Sequence[Verdict]) -> None:
        """Write the end of a response that is held.  Only wires with verdicts hold one."""
        self.held = None

    @abstractmethod
    def end(self) -> None:
        """The server's events have ended."""

    def take(self) -> bytes:
        """The bytes that are ready for the client, once."""
        out = b"".join(self._out)
        self._out.clear()
        return out

    def _fail_unexpected_stream(self) -> None:
        # A translated response could be collected into one document; a forwarded one is not read well enough for that.
        self.fail(Broken("the model server streamed a response that should be one JSON document"))

    def _forward_event(self, event: bytes, name: str = "") -> None:
        """Write one complete event, each of its lines as a `data:` line."""
        head = b"event: %b\n" % name.encode() if name else b""
        self._out.append(b"%bdata: %b\n\n" % (head, event.replace(b"\n", b"\ndata: ")))

    def _forward_document(self, document: bytes) -> None:
        """Write the whole response."""
        self._out.append(document)
        self.started = self.stopped = self.done = True
