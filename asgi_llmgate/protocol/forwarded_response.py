"""What an answer that is handed on is, whichever wire it is on: pieces that go out as they came, and one end."""

from __future__ import annotations

from typing import ClassVar

from asgi_llmgate.errors import Broken, GateError
from asgi_llmgate.exchange import Wire
from asgi_llmgate.protocol.error_bodies import error_event


class Forwarder:
    """The part of a ResponseHandler that does not depend on the wire.  `stream`: the client asked for events."""

    wire: ClassVar[Wire]

    def __init__(self, *, stream: bool, request_id: str) -> None:
        self.started = False
        self.done = False
        self.error: GateError | None = None
        self.changed: tuple[str, ...] = ()
        self._stream = stream
        self._request_id = request_id
        self._out: list[bytes] = []

    def ping(self) -> None:
        """A comment: the server's own first event has to come first."""
        self._out.append(b": ping\n\n")

    def fail(self, error: GateError) -> None:
        """The last that a client hears, in our words and with our request id."""
        if self.done:
            return
        self.done = True
        self.error = error
        self._out.append(error_event(error, self._request_id, self.wire))

    def take(self) -> bytes:
        out = b"".join(self._out)
        self._out.clear()
        return out

    def _is_unasked(self) -> bool:
        """Whether events come to a client that waits for one document, which is the end of the answer: they are the
        client's own wire, and it is not read well enough here to be put together."""
        if not self._stream:
            self.fail(Broken("the model server streamed an answer that was to be one document"))
        return not self._stream

    def _pass(self, event: bytes, name: str = "") -> None:
        """One event, whole."""
        head = b"event: %b\n" % name.encode() if name else b""
        self._out.append(b"%bdata: %b\n\n" % (head, event.replace(b"\n", b"\ndata: ")))

    def _pass_whole(self, document: bytes) -> None:
        self._out.append(document)
        self.started = self.done = True
