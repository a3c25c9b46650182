"""Server-sent events, read as they come: arbitrary pieces of bytes in, the data of whole events out.

The grammar is https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream, of which an
OpenAI-style stream uses only `data:`.  So names, ids, retry times and comments are passed over.  Lines may end in LF,
CRLF or CR; the space after the colon is optional; a byte order mark may come first.  Three things go beyond the
standard:

- An event that the end of the stream cuts off before its blank line still counts if it is whole, because some servers
  leave that line out; half an event is dropped, and `Translator.finish` will find that something is missing.
- llama.cpp once sent `error: {...}` lines; they are read as the error events that they were meant to be.
- An event may not grow over `max_event` bytes: a server gone mad must not fill our memory.
"""

from __future__ import annotations

from collections.abc import Iterator

from asgi_llmgate.errors import Broken

END = b"[DONE]"
"""The data of the event that ends an OpenAI stream."""

KEEPALIVES = frozenset({b"null", b"ping", b"keep-alive", b"keepalive", b"heartbeat"})
"""The data of events by which servers only say that they are still there."""

MAX_EVENT = 16 * 2**20

_BOM = b"\xef\xbb\xbf"


class SSEReader:
    """Reads one stream.  `max_event` is in bytes, of one event's data and of one line.

    `feed` and `end` yield as they read, so that what came before an oversized event is still told: they must be
    iterated.  Both raise `errors.Broken` when the limit is passed; nothing can be read after that.
    """

    __slots__ = ("_begun", "_data", "_ends_in_cr", "_max", "_pending", "_pending_size", "_size")

    def __init__(self, *, max_event: int = MAX_EVENT) -> None:
        self._max = max_event
        self._pending: list[bytes] = []  # pieces of a line without its end
        self._pending_size = 0
        self._data: list[bytes] = []  # data lines of an event without its end
        self._size = 0
        self._ends_in_cr = False
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The data of each event that `data` completes, its lines joined with LF."""
        if self._ends_in_cr and data:
            data = data.removeprefix(b"\n")  # the other half of a CRLF
            self._ends_in_cr = False
        if b"\r" in data:
            self._ends_in_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = data.split(b"\n")
        if lines and self._pending:
            lines[0] = self._take_pending() + lines[0]
        for line in lines:
            if line:
                self._read(line)
            elif self._data:
                yield self._take_event()
        if rest:
            self._pending.append(rest)
            self._pending_size += len(rest)
            self._check(self._pending_size)

    def end(self) -> Iterator[bytes]:
        """The last event, if the stream ended without the blank line after it."""
        if self._pending:
            self._read(self._take_pending())
        if self._data:
            event = self._take_event()
            if event.endswith(b"}") or event == END:
                yield event

    def _read(self, line: bytes) -> None:
        self._check(len(line))
        if not self._begun:
            self._begun = True
            line = line.removeprefix(_BOM)
        if line.startswith(b"data:"):
            value = line[6:] if line.startswith(b"data: ") else line[5:]
        elif line.startswith(b"error:"):
            value = b'{"error":%b}' % line[6:].strip()
        else:
            return
        self._size += len(value)
        self._check(self._size)
        if value or self._data:
            self._data.append(value)

    def _check(self, size: int) -> None:
        if size > self._max:
            raise Broken(f"the model server sent an event of more than {self._max} bytes")

    def _take_pending(self) -> bytes:
        line = b"".join(self._pending)
        self._pending.clear()
        self._pending_size = 0
        return line

    def _take_event(self) -> bytes:
        event = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
        self._data.clear()
        self._size = 0
        return event
