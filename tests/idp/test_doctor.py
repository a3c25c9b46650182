"""`llmgate doctor` asks real identity providers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from click.testing import CliRunner

from asgi_llmgate.cli import main
from asgi_llmgate.testing.model_server import ModelServer

if TYPE_CHECKING:
    from tests.idp.conftest import IdP, Keycloak, OIDCProvider

pytestmark = pytest.mark.idp

SECRETS = {"oidc": "gateway-s3cret+/%:", "keycloak": "gateway-secret"}

Doctor = Callable[..., list[dict[str, Any]]]


@pytest.fixture(params=["oidc", "keycloak"])
def idp(request: pytest.FixtureRequest) -> tuple[str, IdP]:
    return request.param, request.getfixturevalue("oidc_provider" if request.param == "oidc" else "keycloak")


@pytest.fixture
def doctor(tmp_path: Path, serve: Callable[..., str]) -> Doctor:
    """`doctor(provider, api_key=None, token="")`: the steps, whose texts have no secret."""

    def run(provider: dict[str, Any], api_key: Any = None, token: str = "", *options: str) -> list[dict[str, Any]]:
        model = ModelServer(model="m")
        settings = {
            "auth": {"providers": [{"audiences": ["https://gate.test/llm"], **provider}]},
            "policy": {"default": "allow"},
            "backends": {"main": {"base_url": serve(model) + "/v1", "api_key": api_key}},
            "models": [{"match": "*", "use": "main/m"}],
        }
        path = tmp_path / "llmgate.yaml"
        path.write_text(yaml.safe_dump(settings))
        command = ["doctor", "--json", "--config", str(path), *options, *(["--token", "-"] if token else [])]
        printed = CliRunner().invoke(main, command, input=token, catch_exceptions=False).stdout
        for secret in (*SECRETS.values(), *([token] if token else [])):
            assert secret not in printed
        for request in model.requests:
            assert request.authorization.removeprefix("Bearer ") not in printed or not request.authorization
        steps: list[dict[str, Any]] = json.loads(printed)["steps"]
        return steps

    return run


def about(steps: list[dict[str, Any]], path: str) -> list[tuple[str, str]]:
    return [(step["state"], step["message"]) for step in steps if step["path"].startswith(path)]


def test_its_document_and_its_keys(doctor: Doctor, idp: tuple[str, IdP]) -> None:
    found = about(doctor({"issuer": idp[1].issuer}, None, "", "--no-calls"), "auth.providers")
    assert [state for state, _ in found] == ["ok", "ok"]
    assert "signing key" in found[1][1]
    assert "RS256" in found[1][1]


@pytest.mark.parametrize("wrong", ["{}/", "{}/of-another"])
def test_a_wrong_issuer(doctor: Doctor, idp: tuple[str, IdP], wrong: str) -> None:
    issuer = idp[1].issuer
    found = about(doctor({"issuer": wrong.format(issuer)}, None, "", "--no-calls"), "auth.providers")
    assert [state for state, _ in found].count("error") >= 1


@pytest.mark.parametrize("is_right", [True, False])
def test_introspection(doctor: Doctor, idp: tuple[str, IdP], monkeypatch: pytest.MonkeyPatch, is_right: bool) -> None:
    name, provider = idp
    monkeypatch.setenv("GATEWAY_SECRET", SECRETS[name] if is_right else "s3cret-of-another")
    introspection = {
        "url": provider.introspection_url,
        "client_id": "gateway",
        "client_secret": "env:GATEWAY_SECRET",
    }
    steps = doctor({"issuer": provider.issuer, "introspection": introspection}, None, "", "--no-calls")
    ((state, message),) = about(steps, "auth.providers[0].introspection")
    assert state == ("ok" if is_right else "error")
    assert is_right or "invalid_client" in message or "unauthorized_client" in message or "401" in message


@pytest.mark.parametrize("is_right", [True, False])
def test_a_token_of_the_gateways_own(
    doctor: Doctor, oidc_provider: OIDCProvider, monkeypatch: pytest.MonkeyPatch, is_right: bool
) -> None:
    monkeypatch.setenv("GATEWAY_SECRET", SECRETS["oidc"] if is_right else "s3cret-of-another")
    grant = {
        "token_url": oidc_provider.token_url,
        "client_id": "gateway",
        "client_secret": "env:GATEWAY_SECRET",
        "scope": "llm.use",
        "resource": "https://gate.test/llm?alg=ES256",
    }
    steps = doctor({"issuer": oidc_provider.issuer}, {"client_credentials": grant}, oidc_provider.jwt())
    (first, *_) = about(steps, "backends.main.api_key")
    assert first[0] == ("ok" if is_right else "error")
    assert is_right or "invalid_client" in first[1]
    assert ("error" if not is_right else "ok") == steps[-1]["state"]
    assert steps[-1]["path"] == "models"


@pytest.mark.parametrize("secret", ["gateway-secret", "s3cret-of-another"])
@pytest.mark.parametrize("with_token", [True, False])
def test_an_exchange(
    doctor: Doctor, keycloak: Keycloak, monkeypatch: pytest.MonkeyPatch, secret: str, with_token: bool
) -> None:
    monkeypatch.setenv("GATEWAY_SECRET", secret)
    exchange = {
        "token_url": keycloak.token_url,
        "client_id": "gateway",
        "client_secret": "env:GATEWAY_SECRET",
        "audience": "model-server",
    }
    token = keycloak.person()["access_token"] if with_token else ""
    steps = doctor({"issuer": keycloak.issuer}, {"token_exchange": exchange}, token)
    (first, *more) = about(steps, "backends.main.api_key")
    assert first[0] == ("ok" if secret == "gateway-secret" else "error")
    if first[0] == "ok" and not with_token:
        assert first[1] == "the token endpoint accepts the gateway's client"
        assert more[0][0] == "skipped"
