"""Identity providers: the discovery document, the keys, the clock, and the endpoint that introspects tokens.

Documents and keys are read by the gateway's own code, through its own HTTP client.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import msgspec

from asgi_llmgate.auth.keys.key_set import BadKeySet, Keys, read_keys
from asgi_llmgate.auth.keys.sources import (
    URL,
    Discovery,
    File,
    Inline,
    KeyFetchError,
    document_url,
    load_remote,
)
from asgi_llmgate.auth.providers.jwt_provider import Introspection, JWTProvider
from asgi_llmgate.auth.reasons import TokenRefused
from asgi_llmgate.cli.doctor.connection import check_connection
from asgi_llmgate.cli.doctor.steps import Step, Steps, told
from asgi_llmgate.config.sections.backends import NetSettings
from asgi_llmgate.errors import GateError
from asgi_llmgate.net import HTTPClient
from asgi_llmgate.net.client import Fetch, Fetched
from asgi_llmgate.net.oauth import OAuthError, OAuthUnavailable, encode_form
from asgi_llmgate.net.urls import redact_url
from asgi_llmgate.secret_values import Secret

_NOTICEABLE = 5.0
"""Seconds of difference between two clocks that are worth a warning."""


@dataclass(slots=True)
class _Recorder:
    """A `fetch` that keeps what it has fetched: the discovery document, and the clock of the server."""

    fetch: Fetch
    now: Callable[[], float]
    documents: dict[str, Fetched] = field(default_factory=dict)
    skew: float | None = None

    async def __call__(self, url: str, **options: Any) -> Fetched:
        asked_at = self.now()
        response = await self.fetch(url, **options)
        self.documents[url] = response
        server = _date(response.headers)
        if server is not None:
            # `Date` has whole seconds; the server wrote it at some time between the question and now.
            early, late = server - self.now(), server + 1 - asked_at
            self.skew = early if early > 0 else late if late < 0 else 0.0
        return response


async def check_provider(
    provider: JWTProvider,
    path: str,
    client: HTTPClient,
    net: NetSettings,
    folder: Path,
    *,
    now: Callable[[], float] = time.time,
) -> Steps:
    """Ask one provider. `path` is its place in the settings, `now` Unix seconds."""
    recorder = _Recorder(client.fetch, now)
    introspection, source = provider.introspection, provider.jwks
    if introspection is None or introspection.tokens == "opaque":
        own = None
        if isinstance(source, URL) and source.ca_file:  # as in JWTVerifier: an authority belongs to a whole client
            own, net = HTTPClient(ca_file=str(source.ca_file)), NetSettings(ca_file=str(source.ca_file))
            recorder.fetch = own.fetch
        async for step in _check_keys(provider, path, recorder, net, folder):
            yield step
        if own is not None:
            await own.aclose()
            recorder.fetch = client.fetch
    if introspection is not None:
        yield await _check_introspection(introspection, f"{path}.introspection", recorder)
    if recorder.skew is not None and (clocks := about_clock(recorder.skew, provider.leeway, path)) is not None:
        yield clocks


async def _check_keys(provider: JWTProvider, path: str, recorder: _Recorder, net: NetSettings, folder: Path) -> Steps:
    source = provider.jwks
    url, place = _address(provider), _place(provider, path)
    if url:
        has_own = isinstance(source, URL) and source.ca_file
        ca_setting = f"{path}.jwks.ca_file" if has_own else "net.ca_file"
        connected = await check_connection(place, url, net, folder, ca_setting=ca_setting)
        yield connected
        if connected.state == "error":
            return
    try:
        keys = await _load(provider, recorder)
    except (KeyFetchError, BadKeySet, GateError, OSError) as error:
        message = told(error.message, error.detail) if isinstance(error, GateError) else str(error)
        yield Step(state="error", path=place, message=message, hint=_key_hint(provider, recorder.documents.get(url)))
        return
    yield _about_keys(keys, provider, place)
    document = _document(recorder.documents.get(url)) if isinstance(source, Discovery) else {}
    if (step := _about_document(document, provider, path)) is not None:
        yield step


async def _load(provider: JWTProvider, fetch: Fetch) -> Keys:
    source = provider.jwks
    if isinstance(source, URL | Discovery):
        return (await load_remote(source, provider.issuers, fetch))[0]
    if isinstance(source, File):
        return read_keys(
            Path(source.path).read_bytes(),  # noqa: ASYNC240
            origin=str(source.path),
        )
    assert isinstance(source, Inline)
    return read_keys(source.document, origin="the settings")


def _address(provider: JWTProvider) -> str:
    """The URL that is fetched first; "" for keys that are here."""
    source = provider.jwks
    return document_url(source, provider.issuers) if isinstance(source, URL | Discovery) else ""


def _place(provider: JWTProvider, path: str) -> str:
    source = provider.jwks
    if isinstance(source, Discovery):
        return f"{path}.discovery_url" if source.url else f"{path}.issuer"
    return f"{path}.jwks"


def _about_keys(keys: Keys, provider: JWTProvider, path: str) -> Step:
    """Which of the accepted algorithms the keys can verify."""
    fitting = [name for name in provider.algorithms if any(key_fits(key, name) for key in keys.usable)]
    number = f"{len(keys.usable)} signing key{'' if len(keys.usable) == 1 else 's'}"
    if not keys.usable:
        hint = "the document needs public keys for signatures: RSA, EC or Ed25519, and not `use: enc`"
        return Step(state="error", path=path, message="no key can verify a signature", hint=hint)
    if not fitting:
        message = f"{number}, and none fits an accepted algorithm ({', '.join(provider.algorithms)})"
        return Step(
            state="error", path=path, message=message, hint="set `algorithms` to those that the provider signs with"
        )
    return Step(path=path, message=f"{number} for {', '.join(fitting)}")


def key_fits(key: Any, algorithm: str) -> bool:
    """Whether a key is for an algorithm, as `Keys.pick` chooses it."""
    one = Keys((key,), {}, frozenset())
    try:
        one.pick(None, algorithm, without_kid=True)
    except TokenRefused:
        return False
    return True


def _about_document(document: Mapping[str, Any], provider: JWTProvider, path: str) -> Step | None:
    stated = document.get("introspection_endpoint")
    introspection = provider.introspection
    if introspection is None or not isinstance(stated, str) or stated == introspection.url:
        return None
    message = f"the provider's own document has another endpoint: {redact_url(stated)}"
    return Step(state="warning", path=f"{path}.introspection.url", message=message)


def _key_hint(provider: JWTProvider, response: Fetched | None) -> str:
    """What to do where the keys could not be had; `response` is the discovery document's, if there is one."""
    issuer = _document(response).get("issuer")
    if isinstance(provider.jwks, Discovery) and isinstance(issuer, str) and issuer not in provider.issuers:
        shown = ascii(issuer)[1:-1][:200]
        return f"issuer: {shown}, if that is your provider; a slash at the end and upper case count"
    if response is not None and response.status == 404:
        return "is the issuer right, with its realm or tenant? Where the document is elsewhere: discovery_url"
    if response is not None and response.status in (401, 403):
        return "does this address need a token (jwks.token_file), or a network from which it may be asked?"
    return "open the address from this machine: it must be JSON, without a sign-in page in front of it"


async def _check_introspection(introspection: Introspection, path: str, fetch: Fetch) -> Step:
    """Ask about a token that is none: a provider that accepts the client says that it is not active."""
    form = encode_form(token=Secret("not-a-token"))
    try:
        response = await introspection.client.request(introspection.url, form, fetch)
    except OAuthError as error:
        hint = "are client_id, client_secret and client_auth those of a client that may introspect tokens?"
        return Step(state="error", path=f"{path}.client_id", message=f"introspection is refused: {error}", hint=hint)
    except (OAuthUnavailable, GateError) as error:
        return Step(
            state="error", path=f"{path}.url", message=f"introspection fails: {error}", hint="is the URL right?"
        )
    if response.get("active") is not False:
        message = "the endpoint does not say `active: false` about a text that is no token"
        return Step(
            state="error", path=f"{path}.url", message=message, hint="is this an introspection endpoint (RFC 7662)?"
        )
    return Step(path=f"{path}.url", message="the introspection endpoint accepts the gateway's client")


def about_clock(skew: float, leeway: float, path: str) -> Step | None:
    """The step for a difference of `skew` seconds between the provider's clock and this machine's."""
    if abs(skew) < _NOTICEABLE:
        return None
    ahead = "behind" if skew > 0 else "ahead of"
    message = f"this machine's clock is {abs(skew):.0f} s {ahead} the provider's"
    if abs(skew) <= leeway:
        return Step(state="warning", path=path, message=message, hint="let NTP set the clock")
    message += f", more than the leeway of {leeway:g} s: good tokens are refused, or expired ones accepted"
    return Step(state="error", path=path, message=message, hint="let NTP set the clock")


def _date(headers: Mapping[str, str]) -> float | None:
    """The `Date` of a response in Unix seconds (RFC 9110 section 6.6.1). A cached response has an old one."""
    if headers.get("age", "0") != "0":
        return None
    try:
        return parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError, TypeError, IndexError, OverflowError):
        return None


def _document(response: Fetched | None) -> Mapping[str, Any]:
    try:
        return {} if response is None else msgspec.json.decode(response.body, type=dict[str, Any])
    except (ValueError, RecursionError):
        return {}
