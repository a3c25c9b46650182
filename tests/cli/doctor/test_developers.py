"""What a developer would see: the whole gateway, asked as Claude Code asks it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from asgi_llmgate.auth.jws import UnverifiedToken
from asgi_llmgate.auth.verifier import Verifier
from asgi_llmgate.cli.doctor.developers import made_up_token
from asgi_llmgate.net import HTTPClient
from asgi_llmgate.testing.idp import MockIdP
from asgi_llmgate.testing.model_script import refuse, say
from asgi_llmgate.testing.model_server import ModelServer

if TYPE_CHECKING:
    from tests.cli.doctor.conftest import Doctor

IDP = MockIdP()
REASON = "only the data platform team may use this; ask it@acme.test"


@pytest.fixture
def settings(serve: Callable[..., str]) -> Callable[..., dict[str, Any]]:
    """`settings(model server)`: with a provider, a rule, a ledger and a log."""

    def make(model: ModelServer) -> dict[str, Any]:
        return {
            "auth": {"providers": [{"issuer": IDP.issuer, "audiences": [IDP.audience], "jwks": {"inline": IDP.jwks}}]},
            "policy": {"rules": [{"when": 'jwt.team == "data-platform"', "reason": REASON}]},
            "backends": {"main": {"base_url": serve(model) + "/v1"}},
            "models": [{"match": "claude-*", "use": "main/m"}],
            "usage": {"ledger": {"url": "sqlite:///usage.db"}, "access_log": {"file": "access.log"}},
        }

    return make


def test_without_a_token_it_says_what_one_without_a_token_reads(
    doctor: Doctor, settings: Callable[..., Any], tmp_path: Path
) -> None:
    told = doctor(settings(ModelServer(model="m")))
    (step,) = [step for step in told.steps if step["path"] == "auth"]
    assert step["state"] == "ok"
    assert step["shown"].startswith("API Error: 401 authentication failure")
    assert [step["state"] for step in told.steps if step["path"] == "models"] == ["skipped"]
    assert told.exit_code == 0
    # Neither in the ledger nor in the log.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["llmgate.yaml"]


def test_with_a_token_it_is_a_real_call(doctor: Doctor, settings: Callable[..., Any]) -> None:
    model = ModelServer([say("It works.").when(lambda request: "works" in request.prompt).always()], model="m")
    token = IDP.mint()
    told = doctor(settings(model), "--token", "-", input=f"Bearer {token}\n")
    step = told.steps[-1]
    assert (step["path"], step["message"]) == ("models", "claude-opus-5-5 through the whole gateway: 200, 'It works.'")
    sent = model.requests[-1].body
    assert sent["stream"] is True
    assert sent["max_tokens"] == 32000
    assert told.exit_code == 0
    assert token not in told.output
    assert token.rpartition(".")[2] not in told.output


def test_a_denied_developer_reads_the_reason(doctor: Doctor, settings: Callable[..., Any]) -> None:
    told = doctor(settings(ModelServer(model="m")), "--token", "-", input=IDP.mint(team="marketing"))
    found = told.the("error", "models")
    assert found["shown"] == f"API Error: 403 {REASON}"
    assert "policy explain" in found["hint"]
    assert told.exit_code == 1


def test_an_expired_token(doctor: Doctor, settings: Callable[..., Any]) -> None:
    told = doctor(settings(ModelServer(model="m")), "--token", "-", input=IDP.mint(ttl=-100))
    found = told.the("error", "models")
    assert found["shown"] == "API Error: 401 authentication failure: token expired"
    assert "llmgate check --token -" in found["hint"]


def test_the_names_of_models_can_be_given(doctor: Doctor, settings: Callable[..., Any]) -> None:
    told = doctor(settings(ModelServer(model="m")), "--token", "-", "claude-haiku-5", "gpt-9", input=IDP.mint())
    good, bad = [step for step in told.steps if step["path"] == "models"]
    assert good["message"].startswith("claude-haiku-5 through the whole gateway: 200")
    assert bad["shown"].startswith("There's an issue with the selected model (gpt-9)")


def test_without_calls_there_is_none_with_a_token_either(doctor: Doctor, settings: Callable[..., Any]) -> None:
    model = ModelServer(model="m")
    doctor(settings(model), "--token", "-", "--no-calls", input=IDP.mint())
    assert {request.method for request in model.requests} == {"GET"}


@pytest.mark.parametrize(("option", "given"), [(IDP.mint(), ""), ("-", ""), ("-", "two tokens")])
def test_a_token_is_read_from_standard_input_only(
    doctor: Doctor, settings: Callable[..., Any], option: str, given: str
) -> None:
    told = doctor(settings(ModelServer()), "--token", option, input=given)
    assert told.exit_code != 0
    assert told.steps == []
    assert option == "-" or option not in told.output


def test_an_open_gateway_is_called_without_a_token(doctor: Doctor, serve: Callable[..., str]) -> None:
    told = doctor({"backends": {"main": {"base_url": serve(ModelServer(model="m")) + "/v1"}}})
    assert "through the whole gateway: 200" in told.steps[-1]["message"]


def test_a_server_that_sends_the_token_back_does_not_get_it_printed(
    doctor: Doctor, settings: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "unusual~key~without~any~form"
    monkeypatch.setenv("MODEL_KEY", secret)
    model = ModelServer([refuse(400, f"the model says {secret} and {secret[:14]}").always()], model="m")
    content = settings(model)
    content["backends"]["main"]["api_key"] = "env:MODEL_KEY"
    told = doctor(content, "--token", "-", input=IDP.mint())
    assert "[secret]" in told.output
    assert secret not in told.output


@pytest.mark.parametrize("issuer", ["https://a.test", "https://login.microsoftonline.com/{tenantid}/v2.0"])
async def test_a_made_up_token_leads_to_the_providers_keys(issuer: str) -> None:
    provider = MockIdP(issuer=issuer).provider()
    verifier = Verifier([provider], fetch=HTTPClient().fetch)
    unverified = verifier.read(made_up_token(provider).reveal())
    assert isinstance(unverified, UnverifiedToken)
    assert verifier.verifier_of(unverified).provider is provider
    await verifier.aclose()


def test_json_is_one_document(doctor: Doctor, settings: Callable[..., Any]) -> None:
    told = doctor(settings(ModelServer(model="m")))
    assert set(json.loads(told.output)) == {"file", "errors", "warnings", "findings", "steps"}
