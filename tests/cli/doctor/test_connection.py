"""DNS, TCP and TLS: the cause is named, in the setting that has to change."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from asgi_llmgate.cli.doctor.connection import ENDS_SOON, check_connection
from asgi_llmgate.config.sections.backends import NetSettings
from asgi_llmgate.testing.model_server import ModelServer
from tests.cli.doctor.conftest import document
from tests.helpers.certificates import NEVER, self_signed

if TYPE_CHECKING:
    from tests.cli.doctor.conftest import Doctor

Listen = Callable[..., int]


@pytest.fixture
def tls_server(listen: Listen, tmp_path: Path) -> Callable[..., str]:
    """`tls_server(until=...) -> URL`: its certificate is for localhost, and in ca.pem."""

    def start(**options: Any) -> str:
        pem = self_signed(tmp_path / "ca.pem", **options)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        rows = {"object": "list", "data": [{"id": "m", "object": "model"}]}
        return f"https://localhost:{listen(document(rows), tls=context)}/v1"

    return start


def asked(doctor: Doctor, url: str, **net: Any) -> dict[str, Any]:
    """The first step about the server, and the only one where it is an error."""
    told = doctor({"backends": {"main": {"base_url": url}}, "net": net}, "--no-calls")
    first = (told.about("backends") + told.about("net"))[0]
    assert first["state"] == "ok" or len([step for step in told.steps if step["state"] == "error"]) >= 1
    return first


def test_a_trusted_authority(doctor: Doctor, tls_server: Callable[..., str]) -> None:
    step = asked(doctor, tls_server(), ca_file="ca.pem")
    assert step["state"] == "ok"
    assert "TLSv1.3; its certificate is valid for" in step["message"]


def test_an_unknown_authority(doctor: Doctor, tls_server: Callable[..., str]) -> None:
    step = asked(doctor, tls_server())
    assert step["path"] == "backends.main.base_url"
    assert "signed by an authority that this machine does not know" in step["message"]
    assert "net.ca_file" in step["hint"]
    assert "the model server cannot be reached" in step["shown"]


def test_another_authority(doctor: Doctor, tls_server: Callable[..., str], tmp_path: Path) -> None:
    url = tls_server()
    self_signed(tmp_path / "other.pem")
    assert "is it the right file?" in asked(doctor, url, ca_file="other.pem")["hint"]


def test_an_expired_certificate(doctor: Doctor, tls_server: Callable[..., str]) -> None:
    step = asked(doctor, tls_server(until=datetime(2001, 1, 1, tzinfo=UTC)), ca_file="ca.pem")
    assert step["message"].endswith("has expired")
    assert "renewed" in step["hint"]


def test_a_certificate_for_another_name(doctor: Doctor, tls_server: Callable[..., str]) -> None:
    step = asked(doctor, tls_server().replace("localhost", "127.0.0.1"), ca_file="ca.pem")
    assert step["message"].endswith("is for another name")


async def test_a_certificate_that_ends_soon(tls_server: Callable[..., str], tmp_path: Path) -> None:
    net = NetSettings(ca_file="ca.pem")
    url = tls_server()
    soon = NEVER.timestamp() - ENDS_SOON
    before = await check_connection("x", url, net, tmp_path, now=lambda: soon - 86400)
    after = await check_connection("x", url, net, tmp_path, now=lambda: soon + 86400)
    assert (before.state, after.state) == ("ok", "warning")


def test_https_where_http_is_spoken(doctor: Doctor, serve: Callable[..., str]) -> None:
    step = asked(doctor, serve(ModelServer()).replace("http://", "https://") + "/v1")
    assert "TLS handshake" in step["message"]
    assert "http://" in step["hint"]


def test_http_where_https_is_spoken(doctor: Doctor, tls_server: Callable[..., str]) -> None:
    told = doctor({"backends": {"main": {"base_url": tls_server().replace("https://", "http://")}}})
    found = told.the("error", "backends")
    assert "https://" in found["hint"]
    assert found["shown"].startswith("API Error: 502 ")


def test_a_name_that_nobody_knows(doctor: Doctor) -> None:
    step = asked(doctor, "https://no-such-host.invalid/v1")
    assert step["message"] == "the name no-such-host.invalid cannot be resolved"
    assert step["shown"].startswith("API Error: 502 ")


def test_a_host_that_does_not_answer(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asgi_llmgate.cli.doctor.connection.CONNECT_TIMEOUT", 0.0)
    step = asked(doctor, "http://127.0.0.1:1/v1")
    assert step["message"].startswith("no connection to 127.0.0.1:1 within")
    assert "firewall" in step["hint"]


def test_a_proxy_is_asked_in_place_of_the_server(doctor: Doctor) -> None:
    step = asked(doctor, "https://api.openai.test/v1", proxy="http://user:s3cr3t-word@127.0.0.1:1")
    assert step["path"] == "net.proxy"
    assert step["message"] == "nothing listens at 127.0.0.1:1, the proxy to https://api.openai.test/v1"


@pytest.mark.parametrize("url", ["http://localhost:99999/", "http://localhost:80-x", "http://[::1/", "gopher://a.test"])
async def test_what_is_no_url(url: str, tmp_path: Path) -> None:
    step = await check_connection("auth.providers[0].issuer", url, NetSettings(), tmp_path)
    assert (step.state, step.path) == ("error", "auth.providers[0].issuer")
