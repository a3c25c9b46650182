"""Real identity providers, each started once on the loopback interface for all tests that want it.

    provider.issuer, provider.token(...)      npm's oidc-provider: certified, light, every algorithm
    keycloak.issuer, keycloak.token(...)      Keycloak, as examples/keycloak/start starts it

What cannot be had (Node, Java, Maven, their packages) skips the tests with the reason.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc import jwk

from asgi_llmgate import Gateway
from asgi_llmgate.testing.model_script import say
from asgi_llmgate.testing.model_server import ModelServer
from tests.helpers.installation import CACHE, ROOT, locked, npm_packages, unavailable

HERE = Path(__file__).parent
READY = 240
"""Seconds that Keycloak may take to start on a machine that has other things to do."""


@contextmanager
def running(*command: str | Path, env: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[str]]:
    """A server that ends with the block, whatever happens; what it prints is in `log`."""
    with log.open("w") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            env={**os.environ, **env},
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stdin is not None
            process.stdin.close()


def until(found: Callable[[], Any], process: subprocess.Popen[str], log: Path, seconds: float) -> Any:
    """What `found` finds, once it finds something, while the server comes up."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        if (thing := found()) is not None:
            return thing
        time.sleep(0.2)
    raise AssertionError(f"it did not start: {log.read_text()[-3000:]}")


@pytest.fixture(scope="session")
def web() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=60, trust_env=False) as client:
        yield client


class IdP:
    """`issuer`, and tokens by the form that is posted to `token_url`."""

    def __init__(self, issuer: str, token_url: str, introspection_url: str, web: httpx.Client) -> None:
        self.issuer = issuer
        self.token_url = token_url
        self.introspection_url = introspection_url
        self.web = web

    def token(self, client_id: str, secret: str | None = None, **form: str) -> str:
        form = {"grant_type": "client_credentials", **form}
        if secret is None:
            form["client_id"] = client_id
        auth = None if secret is None else (client_id, secret)
        answer = self.web.post(self.token_url, data=form, auth=auth)
        assert answer.status_code == 200, answer.text
        token: str = answer.json()["access_token"]
        return token


class OIDCProvider(IdP):
    gateway_key: str = ""
    """The private key of the client "gateway-by-key", as a JWK."""

    def jwt(self, algorithm: str = "RS256", **form: str) -> str:
        resource = f"https://gate.test/llm?alg={algorithm}"
        return self.token("batch", "batch-secret", resource=resource, scope="llm.use", **form)

    def opaque(self) -> str:
        return self.token("batch", "batch-secret", scope="llm.use")


@pytest.fixture(scope="session")
def oidc_provider(tmp_path_factory: pytest.TempPathFactory, web: httpx.Client) -> Iterator[OIDCProvider]:
    modules = npm_packages("oidc-provider", "oidc-provider@9.13.3")
    kinds: list[tuple[Any, Any]] = [("RSA", 2048), ("EC", "P-256"), ("OKP", "Ed25519")]
    keys = [jwk.JWKRegistry.generate_key(kind, size, {"use": "sig", "kid": kind}, private=True) for kind, size in kinds]
    ours = jwk.JWKRegistry.generate_key("EC", "P-256", {"kid": "ours", "use": "sig", "alg": "ES256"}, private=True)
    env = {
        "SIGNING_JWKS": json.dumps({"keys": [key.as_dict(private=True) for key in keys]}),
        "GATEWAY_JWK": json.dumps(ours.as_dict(private=False)),
    }
    folder = tmp_path_factory.mktemp("oidc-provider")
    log, script = folder / "log", folder / "provider.mjs"
    shutil.copy(HERE / "provider.mjs", script)
    (folder / "node_modules").symlink_to(modules)  # Node looks for packages beside the script, under this name only

    def printed() -> str | None:
        lines = [line for line in log.read_text().splitlines() if line.startswith("http://127.0.0.1:")]
        return lines[0] if lines else None

    with running("node", "--preserve-symlinks", script, env=env, log=log) as process:
        issuer = until(printed, process, log, 60)
        idp = OIDCProvider(issuer, f"{issuer}/token", f"{issuer}/token/introspection", web)
        idp.gateway_key = json.dumps(ours.as_dict(private=True))
        yield idp


class Keycloak(IdP):
    def __init__(self, base: str, web: httpx.Client) -> None:
        issuer = f"{base}/realms/acme"
        protocol = f"{issuer}/protocol/openid-connect"
        super().__init__(issuer, f"{protocol}/token", f"{protocol}/token/introspect", web)
        self.base = base

    def person(self, name: str = "alice", **form: str) -> dict[str, Any]:
        """The token endpoint's answer to somebody who signs in with the client "claude-code"."""
        form = {"grant_type": "password", "client_id": "claude-code", "username": name, "password": name, **form}
        answer = self.web.post(self.token_url, data=form)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def admin(self, method: str, path: str, content: Any = None) -> httpx.Response:
        """A call of the admin API, under the realm."""
        form = {"grant_type": "password", "client_id": "admin-cli", "username": "admin", "password": "admin"}
        answer = self.web.post(f"{self.base}/realms/master/protocol/openid-connect/token", data=form)
        headers = {"authorization": f"Bearer {answer.json()['access_token']}"}
        answer = self.web.request(method, f"{self.base}/admin/realms/acme{path}", json=content, headers=headers)
        assert answer.is_success, answer.text
        return answer

    def add_key(self, kind: str, priority: int, **config: str) -> str:
        """A new key provider's id; the one of the highest priority signs from now on."""
        settings = {"priority": [str(priority)], "enabled": ["true"], "active": ["true"]}
        settings |= {name: [value] for name, value in config.items()}
        answer = self.admin(
            "POST",
            "/components",
            {
                "name": f"{kind}-{priority}",
                "providerId": kind,
                "providerType": "org.keycloak.keys.KeyProvider",
                "config": settings,
            },
        )
        return answer.headers["location"].rpartition("/")[2]

    def sign_with(self, client_id: str, algorithm: str) -> None:
        """Tokens for the client are signed so from now on; "" for the realm's own."""
        [client] = self.admin("GET", f"/clients?clientId={client_id}").json()
        client["attributes"]["access.token.signed.response.alg"] = algorithm
        self.admin("PUT", f"/clients/{client['id']}", client)


@pytest.fixture(scope="session")
def keycloak(tmp_path_factory: pytest.TempPathFactory, web: httpx.Client) -> Iterator[Keycloak]:
    for command in ("java", "mvn"):
        if shutil.which(command) is None:
            unavailable(f"{command} is not installed")
    cache, log = CACHE / "keycloak", tmp_path_factory.mktemp("keycloak") / "log"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    base = f"http://127.0.0.1:{port}"

    def answers() -> str | None:
        try:
            return base if web.get(f"{base}/realms/acme/.well-known/openid-configuration").is_success else None
        except httpx.HTTPError:
            return None

    env = {"KEYCLOAK_CACHE": str(cache), "JAVA_OPTS_KC_HEAP": "-Xms64m -Xmx512m"}
    with locked(cache):  # two runs at once would import into the same folder
        start = ROOT / "examples" / "keycloak" / "start"
        with running(start, str(port), env=env, log=log) as process:
            until(answers, process, log, READY + (0 if list(cache.glob("keycloak-*")) else 600))
            yield Keycloak(base, web)


@pytest.fixture
def gateway(serve: Callable[..., str]) -> Callable[..., tuple[Gateway, ModelServer]]:
    """`gateway(provider, **sections)`: with that one provider in its settings, and its model server."""

    def make(provider: Mapping[str, Any], *, api_key: Any = None, **sections: Any) -> tuple[Gateway, ModelServer]:
        model = ModelServer([say("Hi.").always()])
        settings = {
            "auth": {"providers": [provider]},
            "policy": {"rules": ['jwt.team == "data-platform"']},
            "backends": {"o": {"base_url": serve(model) + "/v1", "api_key": api_key}},
            "models": [{"match": "*", "use": "o/m"}],
            **sections,
        }
        return Gateway.from_settings(settings), model

    return make


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
