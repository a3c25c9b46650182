"""agentgateway's own configuration file with `llm:`: the lab in it decides as the lab does, and nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from asgi_llmgate import Gateway
from asgi_llmgate.testing.idp import MockIdP
from asgi_llmgate.testing.model_script import say
from asgi_llmgate.testing.model_server import ModelServer
from tests.cli.convert.lab import convert, convert_text

LAB = """
# yaml-language-server: $schema=https://agentgateway.dev/schema/config
gateways: {default: {port: 8080}}
llm:
  gateways: [default]
  policies:
    jwtAuth:
      mode: strict
      issuer: claude-code-lab
      audiences: [anthropic-api]
      jwks: 'JWKS'
    authorization:
      rules:
        - 'jwt.org == "acme" && jwt.team == "data-platform"'
        - deny: 'jwt.sub == "mallory"'
    localRateLimit:
      - {maxTokens: 60, tokensPerFill: 1, fillInterval: 1s}
  models:
    - name: "*"
      provider: openAI
      params: {model: gpt-4o-mini, apiKey: "$LAB_KEY", baseUrl: "BASE/v1"}
frontendPolicies:
  http: {maxBufferSize: 20971520}
"""


def test_the_lab_in_a_file(tmp_path: Path, serve: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    idp, model = MockIdP(), ModelServer([say("Hello.")], api_key="sk-lab")
    monkeypatch.setenv("LAB_KEY", "sk-lab")
    output = tmp_path / "llmgate.yaml"
    source = tmp_path / "config.yaml"
    source.write_text(LAB.replace("JWKS", json.dumps(idp.jwks)).replace("BASE", serve(model)))
    found = convert(str(source), "--output", str(output))
    assert found.code == 0, found
    assert [line for line in found.said.splitlines() if "no counterpart" in line] == [
        f"  {source}:3:1: warning: gateways: it has no counterpart here"
    ]
    gateway = serve(Gateway.from_file(output))
    question = {"model": "claude-opus-5", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    tokens = ["", idp.mint(team="marketing"), idp.mint(sub="mallory"), idp.mint(sub="alice")]
    statuses = [
        httpx.post(
            f"{gateway}/v1/messages",
            json=question,
            headers={"authorization": f"Bearer {token}"} if token else {},
            trust_env=False,
        ).status_code
        for token in tokens
    ]
    assert statuses == [401, 403, 403, 200]
    assert [request.body["model"] for request in model.chats] == ["gpt-4o-mini"]


@pytest.mark.parametrize("way", ["apiKey", "basicAuth", "oidc", "extAuthz"])
def test_without_its_way_to_know_callers_nobody_gets_in(way: str, tmp_path: Path) -> None:
    text = (
        f"llm:\n  policies: {{{way}: {{keys: [{{key: sk-of-a-caller}}]}}}}\n  models: [{{name: x, provider: openAI}}]\n"
    )
    found = convert_text(tmp_path, text)
    assert [rule["name"] for rule in found.settings["policy"]["rules"]] == ["no-identity"]
    assert f"llm.policies.{way}: callers are known by tokens" in found.said
    assert "sk-of-a-caller" not in found.text + found.said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("config: {}\nbinds: []\n", "0.yaml:1:1: error: no model with a provider"),
        ("llm: {models: []}\n", "0.yaml:1:1: error: no model with a provider that is known here"),
        (
            "llm: {models: [{name: x, provider: {reference: y}}]}\n",
            "error: llm.models[0].provider: no provider is named 'y'",
        ),
        (
            "llm:\n  models:\n    - {name: x, provider: openAI, params: {baseUrl: 'a b'}}\n",
            "0.yaml:3:17: error: llm.models[0].provider: no address",
        ),
        (
            "llm: {policies: {authorization: {rules: [{deny: a, allow: b}]}}, models: [{name: x, provider: openAI}]}",
            "one of",
        ),
    ],
)
def test_a_mistake_has_its_place(text: str, words: str, tmp_path: Path) -> None:
    found = convert_text(tmp_path, text)
    assert (found.code, found.text) == (1, "")
    assert words in found.said


def test_a_file_is_converted_alone(tmp_path: Path) -> None:
    found = convert_text(
        tmp_path, "llm: {models: [{name: x, provider: openAI}]}", "kind: Gateway\nmetadata: {name: x}\n"
    )
    assert "0.yaml:1:1: error: a configuration file is converted alone" in found.said
