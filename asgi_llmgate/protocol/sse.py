"""Server-sent events, read as they come: arbitrary pieces of bytes in, the data of whole events out.

The grammar is https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream, of which an
OpenAI-style stream uses only `data:`.  So names, ids, retry times and comments are passed over.  Lines may end in LF,
CRLF or CR; the space after the colon is optional; a byte order mark may come first.  Three things go beyond the
standard:

- An event that the end of the stream cuts off before its blank line still counts if it is whole, because some servers
  leave that line out; half an event is dropped, and `Translator.finish` will find that something is missing.
- llama.cpp once sent `error: {...}` lines; they are read as the error events that they were meant to be.
- An event may not grow over `max_event` bytes: a server gone mad must not fill our memory.

Many servers do not say that they stream: they call it `application/json` (Foundry), `application/x-ndjson` (LitServe),
or nothing.  Others call a JSON document an event stream (9router).  `is_event_stream` looks at the first byte as well.
"""

from __future__ import annotations

from collections.abc import Iterator

from asgi_llmgate.errors import Broken
from asgi_llmgate.protocol.buffer_limit import BufferLimit

END = b"[DONE]"
"""The data of the event that ends an OpenAI stream."""

KEEPALIVES = frozenset({b"null", b"ping", b"keep-alive", b"keepalive", b"heartbeat"})
"""The data of events by which servers only say that they are still there."""

MAX_EVENT = 16 * 2**20

_BOM = b"\xef\xbb\xbf"

_FIELDS = frozenset(b"deir:")
"""What the lines of a stream begin with: data, event, error, id, retry, comments.  No JSON begins so."""


def media_type(content_type: str) -> str:
    """`text/event-stream` of `Text/Event-Stream; charset=utf-8`: RFC 9110 section 8.3.1 has no regard to case."""
    return content_type.partition(";")[0].strip().lower()


def is_event_stream(content_type: str, begin: bytes = b"") -> bool:
    """Whether an answer is a stream of events; `begin` is its beginning, without white space before it."""
    begin = begin.removeprefix(_BOM)
    if begin[:1] in (b"{", b"["):
        return False
    return media_type(content_type) == "text/event-stream" or (bool(begin) and begin[0] in _FIELDS)


def document(body: bytes) -> bytes:
    """A JSON document without the end of a stream that 9router puts behind it."""
    return body.rstrip().removesuffix(b"data: [DONE]")


class SSEReader:
    """Reads one stream.  `max_event` is in bytes, of one event's lines and of one line; `retained` has to have room for
    what comes without its end.

    `feed` and `end` yield as they read, so that what came before an oversized event is still told: they must be
    iterated.  Both raise `errors.Broken` when a limit is passed; nothing can be read after that.
    """

    __slots__ = ("_begun", "_data", "_ends_in_cr", "_max", "_more", "_pending", "_retained", "_size")

    def __init__(self, *, max_event: int = MAX_EVENT, retained: BufferLimit | None = None) -> None:
        self._max = max_event
        self._retained = retained or BufferLimit(max_event)
        self._pending = bytearray()  # a line without its end; a list of its pieces can take 20 times its bytes
        self._data: bytes | None = None  # the first data line of an event without its end
        self._more = bytearray()  # the others
        self._size = 0  # of all its lines
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
            elif self._data is not None:
                yield self._take_event()
        if rest:
            self._check(len(self._pending) + len(rest))
            self._pending += rest

    def end(self) -> Iterator[bytes]:
        """The last event, if the stream ended without the blank line after it."""
        if self._pending:
            self._read(self._take_pending())
        if self._data is not None:
            event = self._take_event()
            if event.endswith(b"}") or event == END:
                yield event

    def _read(self, line: bytes) -> None:
        if len(line) > self._max:
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
        if self._data is not None:
            self._size += len(line)  # also of an empty one, which costs something, too
            self._check(self._size)
            self._more += b"\n"
            self._more += value
        elif value:
            self._size = len(line)
            self._data = value

    def _check(self, size: int) -> None:
        if size > self._max:
            raise Broken(f"the model server sent an event of more than {self._max} bytes")
        self._retained.check(size)

    def _take_pending(self) -> bytes:
        line = bytes(self._pending)
        self._pending.clear()
        return line

    def _take_event(self) -> bytes:
        assert self._data is not None
        event = self._data + self._more if self._more else self._data
        self._data = None
        self._more.clear()
        return event
