"""What is sent to a model server beside the call: keys and headers."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from asgi_llmgate import Gateway
from asgi_llmgate.errors import CredentialUnavailable, RequestRejected, SettingsError, UpstreamError
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.net import CallableSource, CredentialSource, FileSecret, HTTPClient
from asgi_llmgate.protocol.servers.dialects import DIALECTS, derive
from asgi_llmgate.protocol.wire_pairs import UpstreamRequest
from asgi_llmgate.secret_values import Secret
from asgi_llmgate.upstream import Backend, Upstream, connection
from tests.net.test_headers import UNSENDABLE

CALL = UpstreamRequest(b"{}", None)  # type: ignore[arg-type]


class Renewed(CredentialSource):
    """Gives k1; when that is refused k2, as long as there is another."""

    def __init__(self, keys: int = 2) -> None:
        self._keys = keys
        self.key = 1

    async def get(self, exchange: Exchange) -> Secret:
        return Secret(f"k{self.key}")

    def refused(self, exchange: Exchange) -> bool:
        self.key += self.key < self._keys
        return self._keys > 1


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize(("takes", "asked"), [("k1", 1), ("k2", 2), ("k3", 2)])
async def test_a_question_beside_a_call_renews_a_refused_credential_once(status: int, takes: str, asked: int) -> None:
    shown: list[str] = []

    def server(request: httpx.Request) -> httpx.Response:
        shown.append(request.headers["authorization"].removeprefix("Bearer "))
        return httpx.Response(200 if shown[-1] == takes else status, json={"count": 3})

    client = HTTPClient(transport=httpx.MockTransport(server))
    upstream = Upstream(Backend(base_url="http://model.test/v1", api_key=Renewed(3)), client)
    if takes == "k3":
        with pytest.raises(UpstreamError):
            await upstream.fetch("/tokenize", b"{}", Exchange())
    else:
        assert await upstream.fetch("/tokenize", b"{}", Exchange()) == b'{"count":3}'
    assert shown == ["k1", "k2"][:asked]


@pytest.mark.parametrize(
    ("query", "at_root", "url"),
    [
        ("", False, "http://model.test/v1/tokenize"),
        ("a=1&b=2", False, "http://model.test/v1/tokenize?a=1&b=2"),
        ("", True, "http://model.test/tokenize"),
        ("a=1", True, "http://model.test/tokenize?a=1"),
    ],
)
async def test_a_small_request_goes_beside_v1_or_under_it_with_its_query(query: str, at_root: bool, url: str) -> None:
    sent: list[str] = []

    def server(request: httpx.Request) -> httpx.Response:
        sent.append(str(request.url))
        return httpx.Response(200, json={})

    upstream = Upstream(Backend(base_url="http://model.test/v1"), HTTPClient(transport=httpx.MockTransport(server)))
    await upstream.fetch("/tokenize", b"{}", Exchange(), query=query, at_root=at_root)
    assert sent == [url]


async def test_a_question_is_not_asked_again_where_there_is_no_other_credential() -> None:
    shown: list[httpx.Request] = []

    def server(request: httpx.Request) -> httpx.Response:
        shown.append(request)
        return httpx.Response(401)

    client = HTTPClient(transport=httpx.MockTransport(server))
    for key in (Renewed(1), None):
        with pytest.raises(UpstreamError):
            await Upstream(Backend(base_url="http://model.test/v1", api_key=key), client).fetch("/x", b"{}", Exchange())
    assert len(shown) == 2


@pytest.mark.parametrize("client", ["stays", "leaves"])
async def test_the_first_error_is_read_in_time_and_its_connection_given_back(
    client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What reads errors is imported in a thread, while other calls go on and this one may be cancelled."""
    body, importing, imported = Closed(b'{"error": {"message": "no"}}'), asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def do_import() -> None:
        loop.call_soon_threadsafe(importing.set)
        imported.wait(10)

    monkeypatch.setattr(connection, "_ERROR_READING", {"a module that is not imported yet"})
    monkeypatch.setattr(connection, "_import_error_reading", do_import)
    http = HTTPClient(transport=httpx.MockTransport(lambda request: httpx.Response(400, stream=body)))
    asking = asyncio.create_task(Upstream(Backend(base_url="http://model.test/v1"), http).send(CALL, Exchange()))
    await importing.wait()
    if client == "leaves":
        asking.cancel()
        await asyncio.wait([asking])
    imported.set()
    with pytest.raises(asyncio.CancelledError if client == "leaves" else RequestRejected):
        await asking
    assert body.closed


class Closed(httpx.AsyncByteStream):
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._data

    async def aclose(self) -> None:
        self.closed = True


@pytest.mark.parametrize("key", UNSENDABLE, ids=ascii)
@pytest.mark.parametrize("dialect", ["openai", "azure"])
async def test_a_key_that_no_header_can_hold_is_never_sent(key: str, dialect: str) -> None:
    client = HTTPClient(transport=httpx.MockTransport(lambda request: pytest.fail("sent")))
    source = CallableSource(lambda exchange: f"sk-canary{key}")
    upstream = Upstream(Backend(base_url="http://model.test/v1", api_key=source, dialect=DIALECTS[dialect]), client)
    for asking in (upstream.send(CALL, Exchange()), upstream.fetch("/tokenize", b"{}", Exchange())):
        with pytest.raises(CredentialUnavailable) as caught:
            await asking
        assert "a header cannot contain" in caught.value.detail
        assert "canary" not in f"{caught.value!r} {caught.value.detail} {caught.value.__cause__}"


def bad_key(exchange: Exchange) -> str:
    return "sk-canary\nsk-other"


@pytest.mark.parametrize("kind", ["file", "callable"])
def test_a_key_that_goes_bad_at_run_time_is_a_503_without_it(
    own_transport: str, serve: Callable[..., str], tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    (tmp_path / "key").write_text("sk-good")
    given: Any = f"file:{tmp_path / 'key'}" if kind == "file" else {"callable": f"{__name__}:bad_key"}
    gateway = Gateway.from_settings(
        {
            "auth": {"mode": "off"},
            "policy": {"default": "allow"},
            "backends": {"main": {"base_url": "http://127.0.0.1:9/v1", "api_key": given}},
            "models": [{"match": "*", "use": "main/m"}],
        }
    )
    (tmp_path / "key").write_text("sk-canary\nsk-other")
    caplog.set_level(logging.DEBUG)
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    reply = httpx.post(serve(gateway) + "/v1/messages", json=body, trust_env=False)
    assert reply.status_code == 503
    assert "a header cannot contain" in caplog.text
    assert "Traceback" not in caplog.text
    assert "canary" not in caplog.text + reply.text


@pytest.mark.parametrize(
    ("more", "place"),
    [({"extra_headers": {"X-Org": value}}, "backends.main.extra_headers.X-Org") for value in UNSENDABLE]
    + [
        ({"extra_headers": {name: "a"}}, f"backends.main.extra_headers.{name}".rstrip("."))
        for name in ("", "a b", "a:b", "\xe4", "a\n")
    ]
    + [({"dialect": {"base": "openai", "key_header": "api key"}}, "backends.main.dialect.key_header")]
    + [({"api_key": "env:TWO_KEYS"}, "backends.main.api_key")],
)
def test_a_header_that_cannot_be_sent_is_found_at_start(
    monkeypatch: pytest.MonkeyPatch, more: dict[str, Any], place: str
) -> None:
    monkeypatch.setenv("TWO_KEYS", "sk-canary\nsk-other")
    settings = {
        "auth": {"mode": "off"},
        "policy": {"default": "allow"},
        "backends": {"main": {"base_url": "http://127.0.0.1:9/v1", **more}},
        "models": [{"match": "*", "use": "main/m"}],
    }
    with pytest.raises(SettingsError) as caught:
        Gateway.from_settings(settings)
    assert caught.value.path == place
    assert "canary" not in str(caught.value)


def test_a_backend_in_python_says_so_too() -> None:
    with pytest.raises(SettingsError, match=r"^extra_headers.X: it has characters that a header cannot contain"):
        Backend(base_url="http://model.test/v1", extra_headers={"X": "a\nb"})
    with pytest.raises(SettingsError, match=r"^dialect.key_header: not a header name"):
        Backend(base_url="http://model.test/v1", dialect=derive("openai", {"key_header": "a b"}))


def test_a_file_is_not_asked_for_a_header_where_it_is_none(tmp_path: Path) -> None:
    (tmp_path / "pem").write_text("-----BEGIN\n-----END\n")
    assert FileSecret(tmp_path / "pem").secret.reveal() == "-----BEGIN\n-----END"
