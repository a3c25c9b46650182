"""Chunks of a chat completion become events of a Message: text only."""

from __future__ import annotations

from msgspec import Raw, Struct
from msgspec.json import Decoder

from benchmarks.side_by_side.yardstick.documents import STOP_REASONS, Usage, usage_of


class Delta(Struct):
    content: Raw = Raw(b"null")


class Choice(Struct):
    delta: Delta
    finish_reason: str | None = None


class Chunk(Struct):
    id: str
    model: Raw
    choices: list[Choice] = []
    usage: Usage | None = None


_decode = Decoder(Chunk).decode

START = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_%s","type":"message","role":"assistant",'
    b'"model":%s,"content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":0,"output_tokens":0}}}\n\n'
    b'event: content_block_start\ndata: {"type":"content_block_start","index":0,'
    b'"content_block":{"type":"text","text":""}}\n\n'
)
BEFORE = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":'
)
AFTER = b"}}\n\n"
END = (
    b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"%s","stop_sequence":null},'
    b'"usage":%s}\n\n'
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
)


class Events:
    """The events for what has come of a response.

    Chunks with text are alike but for the text.  So the bytes around it are kept from the first one, and a chunk that
    has the same around a text without quotes and escapes is not decoded.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._started = False
        self._around: tuple[bytes, bytes] | None = None
        self._reason = b"end_turn"
        self.usage = Usage()

    def feed(self, data: bytes) -> bytes:
        *chunks, self._rest = (self._rest + data).split(b"\n\n")
        return b"".join(map(self._one, chunks))

    def _one(self, chunk: bytes) -> bytes:
        if self._around is not None:
            prefix, suffix = self._around
            if chunk.startswith(prefix) and chunk.endswith(suffix):
                text = chunk[len(prefix) : -len(suffix)]
                if text and b'"' not in text and b"\\" not in text:
                    return b'%s"%s"%s' % (BEFORE, text, AFTER)
        return self._decoded(chunk)

    def _decoded(self, chunk: bytes) -> bytes:
        if chunk == b"data: [DONE]":
            return END % (self._reason, usage_of(self.usage))
        decoded = _decode(chunk[6:])
        events = b""
        if not self._started:
            self._started = True
            events = START % (decoded.id.encode(), decoded.model)
        self.usage = decoded.usage or self.usage
        for choice in decoded.choices:
            self._reason = STOP_REASONS.get(choice.finish_reason or "", self._reason)
            text = bytes(choice.delta.content)
            if text not in (b"null", b'""'):
                self._around = _around(chunk, text)
                events += BEFORE + text + AFTER
        return events


def _around(chunk: bytes, text: bytes) -> tuple[bytes, bytes]:
    prefix, _, suffix = chunk.partition(text)
    return prefix + b'"', b'"' + suffix
