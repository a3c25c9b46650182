"""Refusals that come inside a response with the status 200.

Some servers send the status before they look at the request, so that a refusal is the first event of the stream, or the
document: llama.cpp (ggml-org/llama.cpp#14566), SGLang (sgl-project/sglang#12081), TGI (huggingface_hub#2514), and
probably LM Studio (zed#45379).  Nothing has been generated then, and the request can be corrected like one that was
refused with a 400.
"""

from __future__ import annotations

import re
from copy import copy

from asgi_llmgate.errors import UpstreamError
from asgi_llmgate.protocol.chat.chunks import read_chunk
from asgi_llmgate.protocol.chat.metadata import MetadataReader
from asgi_llmgate.protocol.response_format import ResponseStart
from asgi_llmgate.protocol.servers.errors.upstream_errors import unnamed_error
from asgi_llmgate.protocol.sse import END, KEEPALIVES, SSEReader

MAX_REFUSAL = 64 * 1024
"""Bytes at the beginning of a response in which a refusal is looked for."""

_CONTENT = re.compile(rb'"choices"\s{0,9}:\s{0,9}\[\s{0,9}\{')
"""What the first event of a response has, and a refusal has not."""


def find_refusal(first: bytes) -> UpstreamError | None:
    """The error with which a response begins; `first` is its first chunk.  None for anything else."""
    if _CONTENT.search(first) or len(first) > MAX_REFUSAL:
        return None
    event = _first_event(ResponseStart().feed(first))
    if not event.startswith((b"{", b"[")):
        return None
    try:
        chunk = read_chunk(event)
    except UpstreamError:  # no chunk: a list, or the beginning of a long document
        return unnamed_error(event)
    try:
        MetadataReader(0).read_chunk(chunk, event)
    except UpstreamError as error:
        # A copy: the traceback of the original leads to the frames of the call, and so to the request and its body.
        return copy(error)
    return None


def _first_event(data: bytes) -> bytes:
    if data.startswith((b"{", b"[")):
        return data
    reader = SSEReader(max_event=2 * MAX_REFUSAL)
    events = [event for event in (*reader.feed(data), *reader.end()) if event not in KEEPALIVES and event != END]
    return events[0] if events else b""
