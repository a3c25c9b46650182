"""Server-sent events: chunks of bytes in, the data of complete events out.

The grammar is https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream.  An OpenAI stream
uses only `data:`, so other names, ids, retry times and comments are skipped.  Lines may end in LF, CRLF or CR; the
space after the colon is optional; a byte order mark may come first.  What else is read, or differs from the standard:

- An event that has no blank line after it because the stream ends counts if it is complete, since some servers leave
  the last blank line out.  An incomplete one is dropped; the response handler then finds that the end is missing.
- llama.cpp once sent lines like `error: {...}`; they are read as `data: {"error": {...}}`.
- DashScope names an event `error` and writes only `{"code": ..., "message": ...}` into it, with the status in a comment
  `:HTTP_STATUS/400`; it is read as `data: {"status": 400, "error": {...}}`.
- A line that is a JSON object counts as `data:`: proxies write an error into a stream as it is.
- An event has at most `max_event` bytes.
"""

from __future__ import annotations

from asgi_llmgate.errors import Broken
from asgi_llmgate.protocol.buffer_limit import BufferLimit
from asgi_llmgate.protocol.rawjson.strings import escape

END = b"[DONE]"
"""The data of the event that ends an OpenAI stream."""

KEEPALIVES = frozenset({b"null", b"ping", b"keep-alive", b"keepalive", b"heartbeat"})
"""The data of events that servers send only to keep the connection alive."""

MAX_EVENT = 16 * 2**20
"""Bytes of one event."""

BOM = b"\xef\xbb\xbf"
"""The byte order mark of UTF-8."""


class SSEReader:
    """Reads one stream.

    `max_event` is in bytes, of the lines of one event, and of one line.  `retained` must have room for a line or an
    event that is not complete yet.

    `feed` and `end` raise `errors.Broken` when a limit is exceeded; nothing can be read after that.  The events before
    an oversized one still arrive: then the next call raises.
    """

    __slots__ = (
        *("_begun", "_data", "_ends_in_cr", "_error", "_is_error", "_max", "_more", "_pending", "_retained", "_size"),
        "_status",
    )

    def __init__(self, *, max_event: int = MAX_EVENT, retained: BufferLimit | None = None) -> None:
        self._max = max_event
        self._retained = retained or BufferLimit(max_event)
        # An incomplete line.  One bytearray: a list of small pieces can take 20 times their bytes.
        self._pending = bytearray()
        self._data: bytes | None = None  # the first data line of an incomplete event
        self._more = bytearray()  # its further data lines
        self._size = 0  # bytes of all its lines
        self._is_error = False  # it is named `error`
        self._status = b""  # of DashScope's comment
        self._ends_in_cr = False
        self._begun = False
        self._error: Broken | None = None

    def feed(self, data: bytes) -> list[bytes]:
        """The data of each event that `data` completes, its lines joined with LF."""
        if self._error is not None:
            raise self._error
        # Nearly always one event of one line comes.
        if (
            data.startswith(b"data: ")
            and data.endswith(b"\n\n")
            and data.count(b"\n") == 2
            and b"\r" not in data
            and 8 < len(data) <= self._max
            and not (self._pending or self._data or self._is_error or self._ends_in_cr)
        ):
            self._begun = True
            return [data[6:-2]]
        if self._ends_in_cr and data:
            data = data.removeprefix(b"\n")  # the second half of a CRLF
            self._ends_in_cr = False
        if b"\r" in data:
            self._ends_in_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        end = data.rfind(b"\n") + 1
        lines, rest = data[:end], data[end:]
        if lines and self._pending:
            lines = self._take_pending() + lines
        if lines and not self._begun:
            self._begun = True
            lines = lines.removeprefix(BOM)
        # Nearly always there are events of one line each, which are read together.
        is_between = self._data is None and not self._is_error
        events = _plain_events(lines) if is_between and len(lines) <= self._max else []
        try:
            if not events:
                self._read_lines(lines, events)
            if rest:
                self._check(len(self._pending) + len(rest))
                self._pending += rest
        except Broken as error:
            if not events:
                raise
            self._error = error
        return events

    def end(self) -> list[bytes]:
        """The last event, if the stream ended without the blank line after it."""
        if self._error is not None:
            raise self._error
        if self._pending:
            line = self._take_pending()
            self._read_line(line if self._begun else line.removeprefix(BOM))
        if self._data is not None:
            event, self._data = self._take_event(), None
            if event.endswith(b"}") or event == END:
                return [event]
        return []

    def _read_lines(self, lines: bytes, events: list[bytes]) -> None:
        """Read complete lines.  Adds to `events`."""
        for line in lines.split(b"\n")[:-1]:
            if line:
                # Of most events it is the only one with data: it is read here, without a call.
                if self._data is None and line.startswith(b"data: ") and len(line) <= self._max:
                    self._data = line[6:] or None
                    self._size = len(line)
                else:
                    self._read_line(line)
            elif self._data is not None:
                events.append(self._take_event() if self._more or self._is_error else self._data)
                self._data = None
            else:
                self._is_error = False

    def _read_line(self, line: bytes) -> None:
        if len(line) > self._max:
            self._check(len(line))
        if line.startswith(b"data:"):
            value = line[6:] if line.startswith(b"data: ") else line[5:]
        elif line.startswith(b"error:"):
            value = b'{"error":%b}' % line[6:].strip()
        elif line.startswith(b"{") and line.endswith(b"}"):
            value = line
        else:
            self._read_name(line)
            return
        if self._data is not None:
            self._size += len(line)  # an empty data line counts too: it becomes a byte of the event
            self._check(self._size)
            self._more += b"\n"
            self._more += value
        elif value:
            self._size = len(line)
            self._data = value

    def _read_name(self, line: bytes) -> None:
        if line.startswith(b"event:"):
            self._is_error = line[6:].strip() == b"error"
        elif line.startswith(b":HTTP_STATUS/"):
            self._status = line[13:].strip()

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
        event = self._data + self._take_more()
        if self._is_error:
            event, self._is_error = _as_error(event, self._status), False
        return event

    def _take_more(self) -> bytes:
        more = bytes(self._more)
        self._more.clear()
        return more


def _plain_events(lines: bytes) -> list[bytes]:
    """The data of events that are a line `data: ...` and a blank line each; nothing where there is anything else."""
    if not (lines.startswith(b"data: ") and lines.endswith(b"\n\n")):
        return []
    events = lines[6:-2].split(b"\n\ndata: ")
    return events if lines.count(b"\n") == 2 * len(events) and all(events) else []


def _as_error(data: bytes, status: bytes) -> bytes:
    """The data of an event named `error`, with the error in a field `error` as nearly every server writes it."""
    if b'"error"' in data:
        return data
    error = data if data.startswith(b"{") else b'"%b"' % escape(data.decode("utf-8", "replace"))
    return b'{"status":%b,"error":%b}' % (status if status.isdigit() and len(status) == 3 else b"0", error)
