"""Runners for settings: files that are whole, parts of them, and what each decides."""

from __future__ import annotations

import json
import os
import re
import shutil

import jsonschema
import pytest
import yaml

from tests.cli.convert.lab import lab_files
from tests.docs.lab_folder import Place, Runners
from tests.helpers.installation import ROOT

QWEN = [{"match": "*", "use": "qwen"}]

RUNNERS = Runners()


@RUNNERS.runs("settings")
async def settings_as_shown(text: str, place: Place) -> None:
    here = text.replace("https://api.openai.com/v1", os.environ["OPENAI_BASE_URL"])
    assert here != text
    assert await place.ask(yaml.safe_load(here)) == 200
    assert await place.ask(yaml.safe_load(here), team="marketing") == 403


@RUNNERS.runs("swap the model")
def another_backend(text: str, place: Place) -> None:
    (place.folder / "llmgate.yaml").write_text(yaml.safe_dump(place.settings(**yaml.safe_load(text))))
    told = place.sh("llmgate check --config llmgate.yaml qwen3-coder claude-opus-5-5")
    assert "qwen3-coder: Qwen/Qwen3-Coder-480B at vllm" in told
    assert "claude-opus-5-5: gpt-oss:20b at ollama" in told


@RUNNERS.runs("a dialect with a column replaced")
def a_replaced_column(text: str, place: Place) -> None:
    (place.folder / "llmgate.yaml").write_text(yaml.safe_dump(place.settings(**yaml.safe_load(text), models=QWEN)))
    assert "qwen3: qwen3 at qwen" in place.sh("llmgate check --config llmgate.yaml qwen3")


@RUNNERS.runs("other clients and backends")
def other_clients_and_backends(text: str, place: Place) -> None:
    os.environ["ANTHROPIC_UPSTREAM_KEY"] = "sk-ant"
    (place.folder / "llmgate.yaml").write_text(yaml.safe_dump(place.settings(**yaml.safe_load(text))))
    told = place.sh("llmgate check --config llmgate.yaml claude-opus-5-5 e5-large")
    assert "claude-opus-5-5: claude-opus-5-5 at anthropic" in told
    assert "else qwen3-coder at gpu" in told
    assert "e5-large: intfloat/e5-large at gpu" in told


@RUNNERS.runs("vendors")
def vendors(text: str, place: Place) -> None:
    settings = yaml.safe_load(text)
    for name, backend in settings["backends"].items():
        os.environ[backend["api_key"].removeprefix("env:")] = f"key-of-{name}"
    (place.folder / "llmgate.yaml").write_text(yaml.safe_dump(place.settings(**settings)))
    told = place.sh("llmgate check --config llmgate.yaml devstral gemini-3-pro kimi-k2.6")
    assert "devstral: devstral-medium-latest at mistral" in told
    assert "gemini-3-pro: gemini-3-pro at gemini" in told
    assert "kimi-k2.6: kimi-k2.6 at kimi" in told


@RUNNERS.runs("settings schema")
def schema_for_editors(text: str, place: Place) -> None:
    assert "llmgate.yaml: good" in place.sh(text)
    schema = json.loads((place.folder / "llmgate.schema.json").read_text())
    jsonschema.validate(place.settings(), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(place.settings(polcy={}), schema)


@RUNNERS.runs("convert agentgateway")
async def the_labs_resources(text: str, place: Place) -> None:
    (place.folder / "llmgate.yaml").unlink()
    lab_files(place.folder, place.idp)
    told = place.sh(text)
    assert "llmgate.yaml: good" in told
    settings = place.settings()
    settings["backends"]["openai"]["base_url"] = os.environ["OPENAI_BASE_URL"]
    assert await place.ask(settings) == 200
    assert await place.ask(settings, team="marketing") == 403


@RUNNERS.runs("the lab converted")
def what_they_become(text: str, place: Place) -> None:
    (place.folder / "llmgate.yaml").write_text(
        place.sh("llmgate convert agentgateway " + " ".join(lab_files(place.folder, place.idp)))
    )
    shown = yaml.safe_load(text)
    shown["auth"]["providers"][0]["jwks"]["inline"] = place.idp.jwks
    assert place.settings() == shown


@RUNNERS.runs("from agentgateway")
async def agentgateways_policy(text: str, place: Place) -> None:
    settings = place.settings(**yaml.safe_load(text))
    assert await place.ask(settings) == 200
    assert await place.ask(settings, team="marketing") == 403


@RUNNERS.runs("from agentgateway rules")
async def agentgateways_rules(text: str, place: Place) -> None:
    settings = place.settings(**yaml.safe_load(text))
    assert await place.ask(settings, sub="alice") == 200
    assert await place.ask(settings, sub="mallory") == 403
    assert await place.ask(settings, sub="alice", llms={"openai": []}) == 403


@RUNNERS.runs("models by claims")
def models_by_claims(text: str, place: Place) -> None:
    (place.folder / "llmgate.yaml").write_text(yaml.safe_dump(place.settings(**yaml.safe_load(text))))
    for team, target in (("research", "qwen3-235b at vllm (vllm)"), ("sales", "gpt-4o-mini at openai (openai)")):
        claims = {"org": "acme", "team": team, "llms": {"openai": ["gpt-4o-mini"]}}
        (place.folder / "claims.json").write_text(json.dumps(claims))
        told = place.sh("llmgate policy explain --claims claims.json --model claude-opus-5-5")
        assert re.findall(r"^  for (.*)$", told, re.MULTILINE) == [target]
        assert told.endswith("allowed by models\n")


@RUNNERS.runs("safeguard cases")
def cases_of_tool_calls(text: str, place: Place) -> None:
    shutil.copy(ROOT / "examples" / "safeguards" / "llmgate.yaml", place.folder)
    (place.folder / "tests.yaml").write_text(text)
    assert place.sh("llmgate policy test tests.yaml") == "3 of 3 passed\n"


@RUNNERS.runs("classifier")
def a_classifier_that_starts(text: str, place: Place) -> None:
    settings = place.settings()
    shown = yaml.safe_load(text)
    settings |= {**shown, "backends": {**settings["backends"], **shown["backends"]}}
    (place.folder / "llmgate.yaml").write_text(yaml.safe_dump(settings))
    assert place.sh("llmgate check --config llmgate.yaml").startswith("llmgate.yaml: good\n")


@RUNNERS.runs("limits")
async def limits_as_shown(text: str, place: Place) -> None:
    assert await place.ask(place.settings(**yaml.safe_load(text))) == 200


@RUNNERS.runs(
    "auth introspection",
    "auth protected resource",
    "auth client credentials",
    "okta settings",
    "entra settings",
    "entra model server",
)
def settings_that_start(text: str, place: Place) -> None:
    os.environ["GATEWAY_SECRET"] = "s3cret"
    shown = yaml.safe_load(text)
    assert shown.keys() <= {"auth", "policy", "backends"}
    settings = place.settings() | {name: {**place.settings()[name], **section} for name, section in shown.items()}
    (place.folder / "llmgate.yaml").write_text(yaml.safe_dump(settings))
    assert place.sh("llmgate check --config llmgate.yaml").startswith("llmgate.yaml: good\n")


@RUNNERS.runs("auth check token")
def a_token_is_explained(text: str, place: Place) -> None:
    token = place.idp.mint()
    told = place.sh(text, TOKEN=token)
    assert [line.split()[0] for line in told.splitlines()] == ["ok"] * 11
    assert token.rpartition(".")[2] not in told
