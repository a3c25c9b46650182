from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from asgi_llmgate import Gateway
from asgi_llmgate.errors import SettingsError, Unreachable
from asgi_llmgate.net import HTTPClient
from asgi_llmgate.net.tls import tls_context
from tests.helpers.certificates import self_signed

Listen = Callable[..., Awaitable[int]]
Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter

pytestmark = pytest.mark.usefixtures("own_transport")

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"


async def answer_ok(reader: Reader, writer: Writer) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(OK)


async def fetch(client: HTTPClient, url: str) -> bytes:
    try:
        return (await client.fetch(url)).body
    finally:
        await client.aclose()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return self_signed(tmp_path_factory.mktemp("tls") / "localhost.pem")


def server_tls(certificate: Path, *, ask_for_client: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    if ask_for_client:
        context.load_verify_locations(certificate)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


async def test_a_certificate_is_trusted_only_if_its_authority_is(listen: Listen, certificate: Path) -> None:
    port = await listen(answer_ok, ssl=server_tls(certificate))
    url = f"https://localhost:{port}/"
    assert await fetch(HTTPClient(proxy="none", ca_file=str(certificate)), url) == b"ok"
    with pytest.raises(Unreachable) as failure:
        await fetch(HTTPClient(proxy="none"), url)
    assert "certificate" in failure.value.message


async def test_a_certificate_for_another_name_is_not_trusted(listen: Listen, certificate: Path) -> None:
    port = await listen(answer_ok, ssl=server_tls(certificate))
    with pytest.raises(Unreachable):
        await fetch(HTTPClient(proxy="none", ca_file=str(certificate)), f"https://127.0.0.1:{port}/")


async def test_a_client_certificate_is_shown(listen: Listen, certificate: Path) -> None:
    port = await listen(answer_ok, ssl=server_tls(certificate, ask_for_client=True))
    client = HTTPClient(proxy="none", ca_file=str(certificate), client_cert=str(certificate))
    assert await fetch(client, f"https://localhost:{port}/") == b"ok"


@pytest.mark.parametrize("setting", ["ca_file", "client_cert"])
@pytest.mark.parametrize("content", [None, "not a certificate"], ids=["missing", "no certificate"])
def test_a_file_that_cannot_be_used_is_found_at_start(tmp_path: Path, setting: str, content: str | None) -> None:
    path = tmp_path / "file.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SettingsError, match=rf"^{setting}: "):
        HTTPClient(**{setting: str(path)})


def test_an_encrypted_key_is_refused_and_not_asked_for_on_the_terminal(tmp_path: Path, certificate: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    encryption = serialization.BestAvailableEncryption(b"password")
    path = tmp_path / "key.pem"
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption))
    with pytest.raises(SettingsError, match="encrypted"):
        HTTPClient(client_cert=str(certificate), client_key=str(path))


@pytest.fixture
def contexts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The name of the thread that made a context, for each that is made."""
    made: list[str] = []

    def make(*files: str | None) -> ssl.SSLContext:
        made.append(threading.current_thread().name)
        return tls_context(*files)

    monkeypatch.setattr("asgi_llmgate.net.tls.tls_context", make)
    return made


async def test_authorities_are_read_in_a_thread_when_a_server_with_tls_is_asked_first(
    listen: Listen, certificate: Path, contexts: list[str]
) -> None:
    client = HTTPClient(proxy="none", transport="native")
    assert await fetch(client, f"http://localhost:{await listen(answer_ok)}/") == b"ok"
    assert contexts == []
    port = await listen(answer_ok, ssl=server_tls(certificate))
    for _ in range(2):
        with pytest.raises(Unreachable):
            await fetch(client, f"https://localhost:{port}/")
    assert len(contexts) == 1
    assert contexts != [threading.main_thread().name]


@pytest.mark.parametrize(("base_url", "made"), [("http://models.test/v1", 0), ("HTTPS://models.test/v1", 1)])
def test_a_gateway_reads_authorities_when_it_is_built_if_a_model_server_has_tls(
    base_url: str, made: int, contexts: list[str]
) -> None:
    backends = {"openai": {"dialect": "openai", "base_url": base_url}}
    models = [{"match": "*", "use": "openai/gpt"}]
    parts = {"auth": {"mode": "off"}, "policy": {"default": "allow"}, "net": {"transport": "native"}}
    Gateway.from_settings({**parts, "backends": backends, "models": models})
    assert len(contexts) == made


async def test_authorities_that_cannot_be_read_are_told_with_the_connection(
    listen: Listen, certificate: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tls_context.cache_clear()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "absent.pem"))
    with pytest.raises(Unreachable) as failure:
        await fetch(
            HTTPClient(proxy="none", transport="native"),
            f"https://localhost:{await listen(answer_ok, ssl=server_tls(certificate))}/",
        )
    assert failure.value.detail.startswith("FileNotFoundError")
