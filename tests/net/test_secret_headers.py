"""Secrets among the headers, and in a form: plain in the request alone, and nowhere in what is raised about it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from asgi_llmgate.errors import GateError
from asgi_llmgate.net import HTTPClient, Timeouts
from asgi_llmgate.secret_values import Secret
from tests.helpers.certificates import self_signed
from tests.helpers.stack_frames import chain, frames_of, shown

KEY, EXTRA = "sk-up5tream-key", "an-extra-5ecret"
FOREIGN = "site-packages"

Listen = Callable[..., Awaitable[int]]


async def answer_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    await asyncio.Event().wait()


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")


async def speak_another_language(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"220 mail.test ESMTP\r\n")


async def repeat_what_was_sent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    sent = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
    writer.write(b"HTTP/1.1 407 not with " + b" ".join(sent) + EXTRA.encode() + b"\r\ncontent-length: 0\r\n\r\n")


class Defect(httpx.AsyncBaseTransport):
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        plain = dict(request.headers)
        try:
            raise KeyError(plain["authorization"])
        except KeyError as error:
            raise RuntimeError("a defect") from error


def server_tls(tmp_path: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path / "pem"))
    return context


@pytest.fixture
async def stages(
    own_transport: str, listen: Listen, closed_port: int, tmp_path: Path
) -> dict[str, tuple[str, HTTPClient]]:
    def at(port: int, scheme: str = "http") -> tuple[str, HTTPClient]:
        return f"{scheme}://127.0.0.1:{port}/", HTTPClient(proxy="none")

    repeating = await listen(repeat_what_was_sent)
    dead_proxy = HTTPClient(proxy=f"http://bob:{EXTRA}@127.0.0.1:{closed_port}")
    return {
        "refused": (f"http://127.0.0.1:{closed_port}/", HTTPClient(proxy="none")),
        "a certificate that is not trusted": at(await listen(answer_nothing, ssl=server_tls(tmp_path)), "https"),
        "no TLS": at(await listen(speak_another_language), "https"),
        "no HTTP": at(await listen(speak_another_language)),
        "reset": at(await listen(hang_up)),
        "no answer": at(await listen(answer_nothing)),
        "no proxy": ("https://model.test/", dead_proxy),
        "refused by a proxy": ("https://model.test/", HTTPClient(proxy=f"http://bob:{EXTRA}@127.0.0.1:{repeating}")),
        "no such scheme": (f"gopher://bob:{EXTRA}@model.test/", HTTPClient(proxy="none")),
        "a defect": ("http://model.test/", HTTPClient(transport=Defect())),
    }


STAGES = ["refused", "a certificate that is not trusted", "no TLS", "no HTTP", "reset", "no answer", "no proxy"]
STAGES += ["refused by a proxy", "no such scheme", "a defect"]


@pytest.mark.parametrize("content", [b"{}", Secret(f"client_secret={KEY}")], ids=["a call", "a form"])
@pytest.mark.parametrize("stage", STAGES)
async def test_what_the_client_raises_shows_no_secret(stages: Any, stage: str, content: bytes | Secret) -> None:
    url, client = stages[stage]
    headers = [(b"authorization", Secret("Bearer " + KEY)), (b"x-extra", Secret(EXTRA))]
    timeouts = Timeouts(first_byte=0.05 if stage == "no answer" else 5)
    with pytest.raises(Exception) as caught:
        await client.open("POST", httpx.URL(url), headers, content, timeouts)
    await client.aclose()
    assert isinstance(caught.value, RuntimeError if stage == "a defect" else GateError)
    frames = frames_of(caught.value)
    assert [frame for frame in frames if FOREIGN in frame.f_code.co_filename] == []
    text = shown(frames) + repr(caught.value) + str(getattr(caught.value, "detail", ""))
    assert KEY not in text
    assert EXTRA not in text


@pytest.mark.parametrize(
    "value", ["k\n-" + KEY, "k\0" + KEY, "…" + KEY, "\ud800" + KEY, KEY + "\r\nx: y", "\x7f" + KEY]
)
async def test_a_key_that_no_header_can_hold_is_told_without_it(value: str) -> None:
    client = HTTPClient(transport=httpx.MockTransport(lambda _: httpx.Response(200)))
    with pytest.raises(GateError) as caught:
        await client.open("POST", httpx.URL("http://m.test"), [(b"api-key", Secret(value))], b"", Timeouts())
    assert caught.value.detail == "it has characters that a header cannot contain"
    assert KEY not in shown(frames_of(caught.value)) + repr(list(chain(caught.value)))


async def test_the_log_says_where_the_transport_has_a_defect(caplog: pytest.LogCaptureFixture) -> None:
    client = HTTPClient(transport=Defect())
    with pytest.raises(RuntimeError):
        await client.open("GET", httpx.URL("http://m.test"), [(b"authorization", Secret(KEY))], b"", Timeouts())
    (entry,) = caplog.records
    assert entry.getMessage().startswith(f"RuntimeError in the transport at {__file__}:")
    assert entry.exc_info is None
