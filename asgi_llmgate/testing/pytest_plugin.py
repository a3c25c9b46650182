"""Fixtures for pytest with which you test your own gateway: your rules, your models, without a network.

    pytest_plugins = ["asgi_llmgate.testing.pytest_plugin"]      # in the root conftest.py, or in a test module

    def test_marketing_is_refused(gateway, mock_idp):
        client = gateway("llmgate.yaml")
        ...

The gateway and the model server run in threads of their own, so the fixtures work in plain tests and in `async` ones,
with pytest-asyncio, anyio or neither.  They need the extra `serve`.

No entry point loads this module: it would do so in every run of pytest of every project that has the package.

PYTEST_DONT_REWRITE: it asserts nothing, and a test module may import it before pytest loads it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from asgi_llmgate.config.schema import read_file
from asgi_llmgate.extras import needs_extra
from asgi_llmgate.gateway import Gateway
from asgi_llmgate.testing.idp import MockIdP
from asgi_llmgate.testing.model_script import Turn
from asgi_llmgate.testing.model_server import ModelServer
from asgi_llmgate.testing.serving import serving

__all__ = ["ServedModel", "gateway", "mock_idp", "model_server", "with_mocks"]

MakeGateway = Callable[..., httpx.Client]

_KEPT_OF_USAGE = ("fields", "user")


class ServedModel(ModelServer):
    """A model server that is served at `url`.  Without a script it repeats what it was told."""

    url = ""

    def play(self, *turns: Turn) -> None:
        """Add turns to the script: `play(say("Good morning."))`."""
        self._script.extend(turns)


@pytest.fixture(scope="session")
def _llmgate_key() -> Any:
    """One key for all tests, since making one takes a while."""
    return MockIdP().key


@pytest.fixture
def mock_idp(_llmgate_key: Any) -> MockIdP:
    """An identity provider: `mock_idp.mint(team="data-platform")` is a token."""
    return MockIdP(key=_llmgate_key)


@pytest.fixture
def model_server() -> Iterator[ServedModel]:
    """The model server behind the gateway; `requests` are what it was sent."""
    server = ServedModel()
    with needs_extra("serve", "the fixture model_server"), serving(server) as server.url:
        yield server


@pytest.fixture
def gateway(mock_idp: MockIdP, model_server: ServedModel) -> Iterator[MakeGateway]:
    """`gateway(settings) -> httpx.Client`: a gateway until the test ends; paths are under it (`/v1/messages`).

    `settings` is a mapping or the path of a settings file.  Its identity providers and model servers are replaced
    (`with_mocks`); with `mocks=False` nothing is.
    """
    with ExitStack() as running:

        def make(settings: Mapping[str, Any] | str | os.PathLike[str], *, mocks: bool = True) -> httpx.Client:
            folder = Path()
            if not isinstance(settings, Mapping):
                folder = Path(settings).absolute().parent
                settings = read_file(settings)
            if mocks:
                settings = with_mocks(settings, mock_idp, model_server.url)
            url = running.enter_context(serving(Gateway.from_settings(settings, folder=folder)))
            return running.enter_context(httpx.Client(base_url=url, timeout=60, trust_env=False))

        yield make


def with_mocks(settings: Mapping[str, Any], idp: MockIdP, model_url: str) -> dict[str, Any]:
    """The settings with `idp` in place of all identity providers, and the model server in place of all backends.

    Rules, models, limits and the names of backends and vendors stay; so does the claim map of the first provider.
    Left out is what has effects outside of the test: ledger, logs, telemetry, proxies, secrets.
    """
    auth = dict(settings.get("auth") or {})
    first: Mapping[str, Any] = next(iter(auth.get("providers") or ()), {})
    provider: dict[str, Any] = {"issuer": idp.issuer, "audiences": [idp.audience], "jwks": {"inline": idp.jwks}}
    if "claim_map" in first:
        provider["claim_map"] = first["claim_map"]
    auth["providers"] = [provider]
    written: Mapping[str, Any] = settings.get("backends") or {"model": {}}
    backends = {name: {"base_url": f"{model_url}/v1", "provider": _vendor(each)} for name, each in written.items()}
    usage = settings.get("usage") or {}
    replaced = {
        "auth": auth,
        "backends": backends,
        "models": settings.get("models") or [{"match": "*", "use": next(iter(backends))}],
        "usage": {name: usage[name] for name in _KEPT_OF_USAGE if name in usage},
    }
    kept = {name: value for name, value in settings.items() if name not in ("net", "secret", *replaced)}
    return kept | replaced


def _vendor(backend: Mapping[str, Any]) -> str:
    dialect = backend.get("dialect") or "openai"
    name = dialect.get("base", "openai") if isinstance(dialect, Mapping) else dialect
    return str(backend.get("provider") or name)
