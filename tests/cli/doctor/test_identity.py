"""Identity providers that do not work, each in one way: the one line that names it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from asgi_llmgate.auth import JWTProvider
from asgi_llmgate.cli.doctor.identity import about_clock, check_provider
from asgi_llmgate.config.sections.backends import NetSettings
from asgi_llmgate.net import HTTPClient
from asgi_llmgate.testing.idp import MockIdP
from tests.cli.doctor.conftest import document, reply, silent
from tests.helpers.certificates import self_signed
from tests.helpers.token_server import Asked, TokenServer

if TYPE_CHECKING:
    from tests.cli.doctor.conftest import Doctor, Site

DISCOVERY = "/.well-known/openid-configuration"
BACKENDS = {"main": {"base_url": "http://127.0.0.1:1/v1"}}
IDP = MockIdP()
NOW = 1_800_000_000.0


def settings(**provider: Any) -> dict[str, Any]:
    return {
        "auth": {"providers": [{"audiences": ["llm"], **provider}]},
        "policy": {"rules": ["jwt.team == 'x'"]},
        "backends": BACKENDS,
    }


def good(site: Site) -> None:
    site[DISCOVERY] = document({"issuer": site.url, "jwks_uri": f"{site.url}/jwks.json"})
    site["/jwks.json"] = document(IDP.jwks)


def test_a_good_provider(doctor: Doctor, site: Site) -> None:
    good(site)
    told = doctor(settings(issuer=site.url), "--no-calls")
    messages = [step["message"] for step in told.about("auth.providers")]
    assert messages == [f"connected to {site.url.removeprefix('http://')}", "1 signing key for RS256"]
    assert told.states("auth.providers") == ["ok", "ok"]


def change(site: Site, what: str) -> None:
    """Break a good provider in one way."""
    key = IDP.jwks["keys"][0]
    jwks: dict[str, Any] = {
        "only encryption keys": [{**key, "use": "enc"}],
        "no keys": [],
        "a private key": [IDP.key.as_dict(private=True)],
        "a shared secret": [{"kty": "oct", "k": "c2VjcmV0", "kid": "a"}],
        "a key too short": [{**key, "n": "AQAB"}],
    }
    if what in jwks:
        site["/jwks.json"] = document({"keys": jwks[what]})
    documents: dict[str, Any] = {
        "another issuer": {"issuer": f"{site.url}/", "jwks_uri": f"{site.url}/jwks.json"},
        "no jwks_uri": {"issuer": site.url},
        "an unprotected jwks_uri": {"issuer": site.url, "jwks_uri": "http://keys.acme.test/jwks.json"},
        "a list": [],
    }
    if what in documents:
        site[DISCOVERY] = document(documents[what])
    redirect = {"status": "302 Found"}
    pages: dict[str, Any] = {
        "a sign-in page": reply(b"<!doctype html><title>Sign in</title>", content_type="text/html"),
        "a redirect to itself": reply(b"", **redirect, more=f"location: {DISCOVERY}\r\n"),
        "a redirect elsewhere": reply(b"", **redirect, more="location: https://sso.acme.test/login\r\n"),
        "a 404": reply(b"no realm", status="404 Not Found"),
        "a 403": reply(b"no", status="403 Forbidden"),
        "a 500": reply(b"oops", status="500 Internal Server Error"),
        "an empty 200": reply(b""),
        "a document without an end": reply(b"{" + b" " * 2_000_000),
        "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    }
    if what in pages:
        site[DISCOVERY] = pages[what]


BROKEN = {
    "only encryption keys": ("lists no key that can be used", "it must be JSON"),
    "no keys": ("lists no key that can be used", ""),
    "a private key": ("lists no key that can be used", ""),
    "a shared secret": ("lists no key that can be used", ""),
    "another issuer": ("is the document of another issuer", "a slash at the end"),
    "no jwks_uri": ("has no jwks_uri", ""),
    "an unprotected jwks_uri": ("an https URL is needed", ""),
    "a list": ("is not a JSON object", ""),
    "a sign-in page": ("is not a JSON object", "sign-in page"),
    "a redirect to itself": ("redirects more than 3 times", ""),
    "a redirect elsewhere": ("redirects to another origin", ""),
    "a 404": ("responded with 404", "realm or tenant"),
    "a 403": ("responded with 403", "token_file"),
    "a 500": ("responded with 500", ""),
    "an empty 200": ("is not a JSON object", ""),
    "a document without an end": ("too large", ""),
    "no HTTP": ("not HTTP", ""),
}


@pytest.mark.parametrize(("what", "words", "hint"), [(what, *told) for what, told in BROKEN.items()], ids=BROKEN)
def test_what_is_broken_is_one_error_with_its_setting(
    doctor: Doctor, site: Site, what: str, words: str, hint: str
) -> None:
    good(site)
    change(site, what)
    told = doctor(settings(issuer=site.url), "--no-calls")
    errors = [step for step in told.about("auth.providers") if step["state"] == "error"]
    assert errors[0]["path"] == "auth.providers[0].issuer"
    assert words in errors[0]["message"]
    assert hint in errors[0]["hint"]
    # A developer with a token of this provider: the gateway was asked with one that nobody has signed.
    assert errors[1]["path"] == "auth.providers[0]"
    assert errors[1]["shown"].startswith("API Error: 503 ")
    assert len(errors) == 2
    assert told.exit_code == 1


def test_a_provider_that_never_responds(doctor: Doctor, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asgi_llmgate.auth.keys.sources.FETCH_TIMEOUT", 0.2)
    site[DISCOVERY] = silent
    told = doctor(settings(issuer=site.url), "--no-calls")
    assert "timed out" in next(step for step in told.about("auth") if step["state"] == "error")["message"]


def test_a_provider_where_nobody_listens(doctor: Doctor) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    told = doctor(settings(issuer=url), "--no-calls")
    first, second = told.about("auth.providers")
    assert first["message"].startswith("nothing listens")
    assert second["shown"].startswith("API Error: 503 ")


def test_keys_of_other_algorithms_than_the_accepted_ones(doctor: Doctor, site: Site) -> None:
    good(site)
    told = doctor(settings(issuer=site.url, algorithms=["ES256"]), "--no-calls")
    found = told.the("error", "auth.providers")
    assert "none fits an accepted algorithm (ES256)" in found["message"]
    assert "algorithms" in found["hint"]


def test_keys_behind_an_authority_of_their_own(doctor: Doctor, listen: Callable[..., int], tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path / "ca.pem"))
    url = f"https://localhost:{listen(document(IDP.jwks), tls=context)}/jwks.json"
    good = doctor(settings(issuer="https://a.test", jwks={"url": url, "ca_file": "ca.pem"}), "--no-calls")
    assert good.states("auth.providers") == ["ok", "ok"]
    self_signed(tmp_path / "other.pem")
    other = doctor(settings(issuer="https://a.test", jwks={"url": url, "ca_file": "other.pem"}), "--no-calls")
    assert "auth.providers[0].jwks.ca_file" in other.about("auth.providers")[0]["hint"]


@pytest.mark.parametrize("where", ["url", "inline", "discovery_url"])
def test_keys_from_elsewhere(doctor: Doctor, site: Site, where: str) -> None:
    good(site)
    site["/elsewhere"] = site.pages[DISCOVERY]
    more: dict[str, Any] = {
        "url": {"jwks": {"url": f"{site.url}/jwks.json"}},
        "inline": {"jwks": {"inline": IDP.jwks}},
        "discovery_url": {"discovery_url": f"{site.url}/elsewhere"},
    }[where]
    told = doctor(settings(issuer=site.url, **more), "--no-calls")
    last = told.about("auth.providers")[-1]
    assert last["message"] == "1 signing key for RS256"
    assert last["path"] == f"auth.providers[0].{'discovery_url' if where == 'discovery_url' else 'jwks'}"


@pytest.mark.parametrize(
    ("seconds", "state", "words"),
    [
        (0, None, ""),
        (-12, "warning", "this machine's clock is 11 s ahead of the provider's"),
        (600, "error", "clock is 600 s behind the provider's, more than the leeway of 30 s"),
        (-600, "error", "clock is 599 s ahead of the provider's"),
    ],
)
async def test_a_wrong_clock(site: Site, tmp_path: Path, seconds: float, state: str | None, words: str) -> None:
    """`Date` has whole seconds, so that a second of the difference may be none."""
    good(site)
    date = f"date: {formatdate(NOW + seconds, usegmt=True)}\r\n"
    site["/jwks.json"] = document(IDP.jwks, more=date)
    client, provider = HTTPClient(), JWTProvider(issuers=[site.url], audiences=["llm"])
    asked = check_provider(provider, "auth", client, NetSettings(), tmp_path, now=lambda: NOW)
    steps = [step async for step in asked]
    await client.aclose()
    assert [step.state for step in steps] == ["ok", "ok", *([state] if state else [])]
    assert words in steps[-1].message


def test_a_clock_within_the_leeway_is_no_error() -> None:
    assert about_clock(4.9, 30, "a") is None
    within, beyond = about_clock(-30, 30, "a"), about_clock(31, 30, "a")
    assert within is not None
    assert within.state == "warning"
    assert beyond is not None
    assert beyond.state == "error"


INTROSPECTION = {
    "not active": ((200, {"active": False}), "ok", "accepts the gateway's client"),
    "a wrong secret": (
        (401, {"error": "invalid_client", "error_description": "wrong secret s3cr3t-of-the-gateway"}),
        "error", "invalid_client",
    ),
    "no such path": ((404, {}), "error", "responded with 404"),
    "a page": ((200, b"<html>"), "error", "not a JSON object"),
    "everything is active": ((200, {"active": True}), "error", "does not say `active: false`"),
    "another document": ((200, {"hello": 1}), "error", "does not say `active: false`"),
}  # fmt: skip


@pytest.mark.parametrize(("answer", "state", "words"), INTROSPECTION.values(), ids=INTROSPECTION)
def test_introspection(
    doctor: Doctor,
    serve: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    answer: tuple[int, Any],
    state: str,
    words: str,
) -> None:
    monkeypatch.setenv("CLIENT_SECRET", "s3cr3t-of-the-gateway")

    def respond(asked: Asked) -> tuple[int, Any]:
        assert asked.basic == ("gate", "s3cr3t-of-the-gateway")
        assert "not-a-token" in asked.form["token"] or "eyJ" in asked.form["token"]
        return answer

    url = serve(TokenServer(respond))
    introspection = {"url": f"{url}/introspect", "client_id": "gate", "client_secret": "env:CLIENT_SECRET"}
    provider = {"issuer": url, "introspection": {**introspection, "tokens": "all"}}
    told = doctor(settings(**provider), "--no-calls")
    step = told.about("auth.providers[0].introspection")[0]
    assert step["state"] == state
    assert words in step["message"]
    assert "s3cr3t" not in told.output
