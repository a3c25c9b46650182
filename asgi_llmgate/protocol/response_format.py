"""Tells a stream of events from a JSON document, by the bytes.

Many servers do not declare a stream: they call it `application/json` (Foundry), `application/x-ndjson` (LitServe), two
types at once (Triton), or nothing.  Others call a JSON document an event stream (9router).  So the first byte decides,
and only where it says nothing the `content-type`.

Before it may stand a byte order mark, white space (OpenRouter sends some while a model thinks) and the comments of a
stream.
"""

from __future__ import annotations

from asgi_llmgate.protocol.sse import BOM

_FIELDS = frozenset(b"deir:")
"""First bytes of the lines of a stream: data, event, error, id, retry, and comments.  JSON begins with none of them."""

_MAX_COMMENT = 4096
"""Bytes of a comment at the start whose end is waited for."""


def media_type(content_type: str) -> str:
    """`text/event-stream` of `Text/Event-Stream; charset=utf-8`: RFC 9110 section 8.3.1, without case."""
    return content_type.partition(";")[0].strip().lower()


def is_event_stream(content_type: str, first: bytes = b"") -> bool:
    """Whether a response is a stream of events.  `first` is its first bytes, as ResponseStart gives them."""
    if first[:1] in (b"{", b"["):
        return False
    return media_type(content_type) == "text/event-stream" or (bool(first) and first[0] in _FIELDS)


def document(body: bytes) -> bytes:
    """A JSON document without the `data: [DONE]` that 9router puts after it."""
    return body.rstrip().removesuffix(b"data: [DONE]")


def json_lines(body: bytes) -> list[bytes]:
    """The lines of a body that is one JSON object in each; none where it is a single document."""
    if not body[: max(0, body.find(b"\n"))].rstrip().endswith(b"}"):
        return []
    lines = [stripped for line in body.split(b"\n") if (stripped := line.strip())]
    are_objects = len(lines) > 1 and all(line.startswith(b"{") and line.endswith(b"}") for line in lines)
    return lines if are_objects else []


class ResponseStart:
    """Finds the first byte of a response that says something, however its chunks are cut."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        """The response from that byte on; nothing until it has come."""
        data = self._held + chunk
        while True:
            data = data.lstrip()
            if data.startswith(BOM):
                data = data[len(BOM) :]
            elif data.startswith(b":") and (end := _line_end(data)):
                data = data[end:]
            else:
                break
        is_open = BOM.startswith(data) or (data.startswith(b":") and len(data) <= _MAX_COMMENT)
        self._held = data if is_open else b""
        return b"" if is_open else data


def _line_end(data: bytes) -> int:
    """The end of the first line; 0 where that has not come."""
    ends = [end + 1 for end in (data.find(b"\n", 0, _MAX_COMMENT), data.find(b"\r", 0, _MAX_COMMENT)) if end >= 0]
    return min(ends, default=0)
