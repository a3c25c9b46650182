from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from asgi_llmgate.auth.keys.sources import (
    URL,
    Discovery,
    KeyFetchError,
    discovery_url,
    load_discovered,
    load_url,
)
from asgi_llmgate.errors import SettingsError, Unreachable
from asgi_llmgate.net.urls import require_https

DOCUMENT_URL = "https://idp.test/.well-known/openid-configuration"
JWKS_URL = "https://idp.test/jwks.json"


def body(document: Any) -> bytes:
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    "url",
    [
        "https://idp.test/jwks",
        "http://localhost:8080/k",
        "http://127.0.0.1/k",
        "http://127.8.9.1/k",
        "http://[::1]:9/k",
    ],
)
def test_keys_come_over_https_or_from_this_machine(url: str) -> None:
    require_https(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://idp.test/jwks",
        "http://127.0.0.1.evil.test/",
        "http://localhost.evil.test/",
        "http://10.0.0.1/",
        "file:///etc/passwd",
        "ftp://idp.test/",
        "https://",
        "https:idp.test",
        "idp.test",
        "",
        "http://[::1",
    ],
)
def test_and_from_nowhere_else(url: str) -> None:
    with pytest.raises(SettingsError, match="an https URL is needed"):
        require_https(url)
    with pytest.raises(SettingsError):
        URL(url)
    with pytest.raises(SettingsError):
        Discovery(url)


@pytest.mark.parametrize(
    ("issuer", "url"),
    [
        ("https://idp.test", DOCUMENT_URL),
        ("https://idp.test/", DOCUMENT_URL),
        ("https://idp.test//", "https://idp.test//.well-known/openid-configuration"),
        ("https://idp.test/a/b", "https://idp.test/a/b/.well-known/openid-configuration"),
    ],
)
def test_the_standard_address_drops_one_slash(issuer: str, url: str) -> None:
    assert discovery_url(issuer) == url


@pytest.mark.parametrize(
    ("cache_control", "seconds"),
    [
        ("max-age=600", 600),
        ("public, max-age=3600, must-revalidate", 3600),
        ('MAX-AGE = "60"', 60),
        ("s-maxage=99, max-age=7", 7),
        ("no-cache", None),
        ("max-age=soon", None),
        ("", None),
        ("max-age=99999999999999999999", 999999999),
    ],
)
async def test_cache_control_is_read(cache_control: str, seconds: float | None, web: Any, published: Any) -> None:
    web.pages[JWKS_URL] = (
        200,
        {"cache-control": cache_control, "content-type": "application/jwk-set+json"},
        body(published),
    )
    assert (await load_url(URL(JWKS_URL), web.fetch))[1] == seconds


@pytest.mark.parametrize(
    "answer",
    [
        (500, {}, b"{}"),
        (404, {}, b""),
        (204, {}, b""),
        (200, {}, b"<html>"),
        (200, {}, b'{"keys": null}'),
        (200, {}, b'{"keys": {"a": 1}}'),
        (200, {}, b'{"keys": []}'),
        (200, {}, b'{"keys": [{"kty": "oct", "k": "AAAA"}]}'),
        (200, {}, b"[]"),
        (200, {}, b'\xff{"keys": []}'),
        (200, {}, b'{"keys": ' + b"[" * 100_000),
        (302, {"location": "https://evil.test/jwks.json"}, b""),
        (302, {"location": "http://idp.test/jwks.json"}, b""),
        (302, {"location": "//evil.test/jwks.json"}, b""),
        (302, {"location": "https://idp.test:8443/jwks.json"}, b""),
        (302, {"location": "http://["}, b""),
        (302, {"location": "/jwks.json"}, b""),
        (302, {}, b""),
        (304, {}, b""),
    ],
    ids=lambda answer: f"{answer[0]} {str(answer[1] or answer[2])[:40]}",
)
async def test_an_answer_that_is_no_key_set_is_a_failure(answer: Any, web: Any, published: Any) -> None:
    web.pages = {JWKS_URL: answer, "https://evil.test/jwks.json": published, "http://idp.test/jwks.json": published}
    with pytest.raises(KeyFetchError):
        await load_url(URL(JWKS_URL), web.fetch)
    assert set(web.asked) == {JWKS_URL}
    assert len(web.asked) <= 4


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_within_the_origin_is_followed(status: int, web: Any, published: Any) -> None:
    web.pages = {JWKS_URL: (status, {"location": "/v2/keys"}, b""), "https://idp.test/v2/keys": published}
    keys, _ = await load_url(URL(JWKS_URL), web.fetch)
    assert "rsa" in keys.by_kid


async def test_a_token_file_is_read_at_each_fetch(web: Any, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("first\n")
    source = URL(JWKS_URL, token_file=tmp_path / "token")
    await load_url(source, web.fetch)
    (tmp_path / "token").write_text("second\n")
    await load_url(source, web.fetch)
    assert web.shown == [[(b"authorization", b"Bearer first")], [(b"authorization", b"Bearer second")]]
    (tmp_path / "token").unlink()
    with pytest.raises(KeyFetchError):
        await load_url(source, web.fetch)


async def test_discovery_leads_to_the_keys_also_at_another_origin(web: Any, published: Any) -> None:
    web.pages = {
        DOCUMENT_URL: {"issuer": "https://idp.test", "jwks_uri": "https://keys.test/v3/certs"},
        "https://keys.test/v3/certs": published,
    }
    keys, _ = await load_discovered(DOCUMENT_URL, ["https://idp.test"], web.fetch)
    assert "rsa" in keys.by_kid


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://idp.test/", "jwks_uri": JWKS_URL},
        {"issuer": "https://evil.test", "jwks_uri": JWKS_URL},
        {"issuer": ["https://idp.test"], "jwks_uri": JWKS_URL},
        {"jwks_uri": JWKS_URL},
        {"issuer": "https://idp.test"},
        {"issuer": "https://idp.test", "jwks_uri": 5},
        {"issuer": "https://idp.test", "jwks_uri": "http://idp.test/jwks.json"},
        {"issuer": "https://idp.test", "jwks_uri": "file:///etc/passwd"},
        {"issuer": "https://idp.test", "jwks_uri": "https://["},
        [],
    ],
    ids=str,
)
async def test_a_document_that_is_not_the_issuers_own_is_a_failure(document: Any, web: Any) -> None:
    web.pages[DOCUMENT_URL] = document
    with pytest.raises(KeyFetchError):
        await load_discovered(DOCUMENT_URL, ["https://idp.test"], web.fetch)
    assert web.asked == [DOCUMENT_URL]


async def test_what_the_network_raises_is_not_swallowed(web: Any) -> None:
    web.pages[JWKS_URL] = web.down()
    with pytest.raises(Unreachable):
        await load_url(URL(JWKS_URL), web.fetch)
