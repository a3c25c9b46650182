"""K24: the content type is missing, there are two, or it names something else. The bytes say what a response is."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable

import pytest

from asgi_llmgate.testing.grammar import check_stream
from tests.gateway.families.conftest import MakeGate
from tests.helpers.wire_server import WireRequest, Writer, chunk, completion, head, sse

USAGE = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}
EVENTS = [
    chunk({"role": "assistant", "content": "fi"}),
    chunk({"content": "ne"}),
    chunk(finish="stop"),
    chunk(usage=USAGE),
]
STREAM = sse(*EVENTS, "[DONE]")
DOCUMENT = json.dumps(completion()).encode()

TYPES: dict[str, list[bytes]] = {
    "none": [],
    "empty": [b"content-type:"],
    "a stream": [b"content-type: text/event-stream"],
    "in upper case": [b"CONTENT-TYPE: TEXT/EVENT-STREAM;CHARSET=UTF-8"],
    "json": [b"content-type: application/json"],
    "json lines": [b"content-type: application/x-ndjson"],
    "text": [b"content-type: text/plain; charset=utf-8"],
    "html": [b"content-type: text/html"],
    "bytes": [b"content-type: application/octet-stream"],
    "two in one": [b"content-type: application/json, text/event-stream; charset=utf-8"],
    "two": [b"content-type: text/event-stream", b"content-type: application/json"],
    "another charset": [b"content-type: text/event-stream; charset=iso-8859-1"],
    "nonsense": [b"content-type: ;;;"],
}

BODIES: dict[str, bytes] = {
    "a stream": STREAM,
    "without spaces": STREAM.replace(b"data: ", b"data:"),
    "in CRLF": STREAM.replace(b"\n", b"\r\n"),
    "with names": STREAM.replace(b"data: ", b"event: message\ndata: "),
    "with ids": STREAM.replace(b"data: ", b"id: 1\nretry: 5\ndata: "),
    "after a byte order mark": b"\xef\xbb\xbf" + STREAM,
    "after blank lines": b"\n \r\n\n" + STREAM,
    "after comments": b": OPENROUTER PROCESSING\n\n:\n\n" + STREAM,
    "a document": DOCUMENT,
    "a document, indented": json.dumps(completion(), indent=2).encode(),
    "a document after a byte order mark": b"\xef\xbb\xbf" + DOCUMENT,
    "a document after blank lines": b"\n         \n\n         \n" + DOCUMENT,
    "a document after comments": b": keep-alive\n\n: keep-alive\n\n" + DOCUMENT,
    "a document and an end": DOCUMENT + b"\n\ndata: [DONE]\n\n",
    "a document in an event": sse(completion()),
    "json lines": b"\n".join(json.dumps(event).encode() for event in EVENTS),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("fields", TYPES.values(), ids=TYPES)
async def test_a_response_is_what_its_bytes_are(gate: MakeGate, fields: list[bytes], body: bytes) -> None:
    async def respond(request: WireRequest, writer: Writer) -> bool:
        writer.write(head(*fields) + body)
        return True

    made = await gate(respond)
    streamed = check_stream((await made.ask(stream=True)).body)
    whole = (await made.ask()).json()
    for message in (streamed, whole):
        assert message["content"] == [{"type": "text", "text": "fine"}]
        assert (message["stop_reason"], message["usage"]["output_tokens"]) == ("end_turn", 2)


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("fields", [TYPES["none"], TYPES["json"], TYPES["a stream"]], ids=["none", "json", "a stream"])
async def test_it_may_come_byte_by_byte(gate: MakeGate, fields: list[bytes], body: bytes) -> None:
    async def respond(request: WireRequest, writer: Writer) -> None:
        pieces = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
        writer.write(head(b"transfer-encoding: chunked", *fields) + pieces + b"0\r\n\r\n")

    message = check_stream((await (await gate(respond)).ask(stream=True)).body)
    assert message["content"] == [{"type": "text", "text": "fine"}]


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        (b"gzip", gzip.compress),
        (b"x-gzip", gzip.compress),
        (b"GZIP", gzip.compress),
        (b"deflate", zlib.compress),
        (b"deflate", raw_deflate),
        (b"identity", bytes),
        (b"utf-8", bytes),
        (b"", bytes),
        (b"gzip", bytes),
    ],
    ids=["gzip", "x-gzip", "upper case", "zlib", "deflate", "identity", "a charset", "empty", "no gzip"],
)
@pytest.mark.parametrize("body", [STREAM, DOCUMENT], ids=["stream", "document"])
async def test_it_may_be_compressed_although_that_was_not_asked_for(
    gate: MakeGate, encoding: bytes, pack: Callable[[bytes], bytes], body: bytes
) -> None:
    async def respond(request: WireRequest, writer: Writer) -> bool:
        assert b"accept-encoding: identity" in request.head.lower()
        writer.write(head(b"content-encoding: " + encoding) + pack(body))
        return True

    made = await gate(respond)
    assert check_stream((await made.ask(stream=True)).body)["content"] == [{"type": "text", "text": "fine"}]
    assert (await made.ask()).json()["content"] == [{"type": "text", "text": "fine"}]


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, br", "compress"])
async def test_another_compression_is_named(gate: MakeGate, encoding: str) -> None:
    async def respond(request: WireRequest, writer: Writer) -> bool:
        writer.write(head(b"content-encoding: " + encoding.encode()) + b"\x1b\x00")
        return True

    reply = await (await gate(respond)).ask()
    assert (reply.status, "compressed its response" in reply.json()["error"]["message"]) == (502, True)
