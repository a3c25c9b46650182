"""K25: long and many response headers. The usual limits, 8 KiB and 128 headers, are less than browsers take; ours are
64 KiB for each header and 512 headers (256 with aiohttp)."""

from __future__ import annotations

import json

import pytest

from asgi_llmgate.net.native.parser import MAX_HEADER, MAX_HEADERS
from tests.gateway.families.conftest import MakeGate
from tests.helpers.wire_server import WireRequest, Writer, ok, whole

GOOD = [
    pytest.param([b"content-security-policy: " + b"x" * 9_000], id="a policy of 9,000 bytes"),
    pytest.param([b"content-security-policy: " + b"x" * (MAX_HEADER - 200)], id="a policy of nearly 64 KiB"),
    pytest.param([b"set-cookie: s%d=%b; path=/" % (n, b"y" * 4000) for n in range(20)], id="cookies of 80 kB"),
    pytest.param([b"x-trace-%d: 1" % n for n in range(200)], id="200 headers"),
    pytest.param([b"link: <https://a.test/%d>; rel=preload" % n for n in range(250)], id="250 with one name"),
    pytest.param([b"x-" + b"n" * 12_000 + b": 1"], id="a name of 12,000 bytes"),
]

TOO_LARGE = [
    pytest.param([b"content-security-policy: " + b"x" * (MAX_HEADER + 1000)], id="a header over 64 KiB"),
    pytest.param([b"x-trace-%d: 1" % n for n in range(MAX_HEADERS + 10)], id="too many headers"),
]


@pytest.mark.usefixtures("own_transport")
@pytest.mark.parametrize("fields", GOOD)
@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
async def test_a_large_head_is_read(gate: MakeGate, fields: list[bytes], stream: bool) -> None:
    async def respond(request: WireRequest, writer: Writer) -> None:
        head, _, body = ok(request).partition(b"\r\n\r\n")
        for byte in (head + b"\r\n" + b"\r\n".join(fields) + b"\r\n\r\n", body):
            writer.write(byte)

    made = await gate(respond)
    for _ in range(2):
        reply = await made.ask(stream=stream)
        assert (reply.status, b"fine" in reply.body) == (200, True)
    assert made.server.connections == 1


@pytest.mark.usefixtures("own_transport")
@pytest.mark.parametrize("reason", [b"", b"OK", b"O" * 20_000, b"\xe4\xf6"], ids=["none", "ok", "long", "latin-1"])
async def test_a_reason_phrase_may_be_long(gate: MakeGate, reason: bytes) -> None:
    async def respond(request: WireRequest, writer: Writer) -> None:
        writer.write(ok(request).replace(b"200 OK", b"200 " + reason, 1))

    assert (await (await gate(respond)).ask()).status == 200


@pytest.mark.usefixtures("own_transport")
@pytest.mark.parametrize("fields", TOO_LARGE)
async def test_a_head_over_the_limits_is_an_error_of_the_server(gate: MakeGate, fields: list[bytes]) -> None:
    async def respond(request: WireRequest, writer: Writer) -> bool:
        writer.write(whole(json.dumps({}).encode(), *fields))
        return True

    reply = await (await gate(respond)).ask()
    assert (reply.status, reply.json()["error"]["message"]) == (
        502,
        "the response of the model server cannot be read; try again, or tell the operator of the gateway",
    )
