"""The variables of a rule, as a rule sees them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from asgi_llmgate import Exchange, Identity, SettingsError
from asgi_llmgate.cel import EvaluationError, compile_rule
from asgi_llmgate.exchange_values import Call, Target
from asgi_llmgate.protocol.messages.request import decode_messages
from asgi_llmgate.rule_variables import RuleVariables, fields_of, read_env, variables_of
from asgi_llmgate.testing.driver import http_scope

BODY = b"""{
"model": "claude-opus-5-5", "max_tokens": 64, "stream": true, "messages": [{"role": "user", "content": "hi"}],
"tools": [{"name": "Bash", "input_schema": {"type": "object"}}, {"name": "Edit", "input_schema": {"type": "object"}}]
}"""


def seen(claims: Mapping[str, Any] | None = None, *, called: bool = False, **options: Any) -> RuleVariables:
    scope, exchange = Exchange.enter(http_scope("POST", "/v1/messages", **options))
    exchange.identity = Identity("alice", "https://idp.test", "idp", claims or {})
    if called:
        exchange.call = Call(decode_messages(BODY), (), session_id="s", agent_id="a", request_class="safety")
    return variables_of(scope, exchange)


def evaluate(source: str, variables: Mapping[str, Any]) -> Any:
    return compile_rule(source, variables=fields_of()).evaluate(variables)


@pytest.mark.parametrize(
    "source",
    [
        'identity.subject == "alice" && identity.issuer == "https://idp.test" && identity.provider == "idp"',
        'request.method == "POST" && request.path == "/v1/messages" && request.scheme == "http"',
        'request.host == "gate.test" && request.query == "beta=true" && request.clientIp == "127.0.0.1"',
        'source.address == request.clientIp && request.headers["x-team"] == "Data"',
        'request.time > timestamp("2026-01-01T00:00:00Z")',
        'llm.requestModel == "claude-opus-5-5" && llm.streaming && llm.maxTokens == 64 && llm.messageCount == 1',
        'llm.toolNames == ["Bash", "Edit"] && !llm.hasImages && llm.inputTokensEstimate > 0',
        'llm.sessionId == "s" && llm.agentId == "a" && llm.requestClass == "safety"',
        "has(llm.maxTokens) && has(request.query) && !has(jwt.team)",
    ],
)
def test_a_rule_sees_the_request(source: str) -> None:
    variables = seen(called=True, query="beta=true", headers=[("X-Team", "Data"), ("Host", "GATE.test")])
    assert evaluate(source, variables) is True


def test_a_rule_sees_the_path_under_the_mount_and_no_other_spelling_of_it() -> None:
    scope, exchange = Exchange.enter(http_scope("POST", "/llm/v1/messages/", root_path="/llm"))
    assert evaluate("request.path", variables_of(scope, exchange)) == "/v1/messages"


@pytest.mark.parametrize("name", ["authorization", "Cookie", "x-api-key", "Proxy-Authorization"])
def test_credentials_are_not_among_the_headers(name: str) -> None:
    variables = seen(headers=[(name, "secret"), ("x-other", "1")])
    assert evaluate("request.headers.map(name, name)", variables) == ["host", "x-other"]


def test_a_forwarded_header_does_not_change_who_is_connected() -> None:
    assert evaluate("request.clientIp", seen(headers=[("x-forwarded-for", "10.0.0.1")])) == "127.0.0.1"


@pytest.mark.parametrize(
    ("claims", "source"),
    [
        ({"groups": "admins"}, 'jwt.groups == ["admins"]'),
        ({"roles": "ml"}, '"ml" in jwt.roles && !("m" in jwt.roles)'),
        ({"groups": ["a", "b"]}, 'jwt.groups == ["a", "b"]'),
        ({"scope": "read write"}, 'jwt.scope == ["read", "write"]'),
        ({"scp": ["read"]}, 'jwt.scp == ["read"]'),
        ({"team": "x"}, 'jwt.team == "x"'),
    ],
    ids=str,
)
def test_a_lone_member_of_a_list_claim_is_a_list_of_one(claims: dict[str, Any], source: str) -> None:
    assert evaluate(source, seen(claims)) is True


def test_groups_left_out_for_their_number_are_missing_and_not_none() -> None:
    overage = {"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "https://graph.test"}}}
    with pytest.raises(EvaluationError) as raised:
        evaluate('!("blocked" in jwt.groups)', seen(overage))
    assert raised.value.missing == "jwt.groups"


def test_the_claims_themselves_stay_as_they_are() -> None:
    claims = {"groups": "admins"}
    evaluate('"admins" in jwt.groups', seen(claims))
    assert claims == {"groups": "admins"}


@pytest.mark.parametrize("source", ["llm.maxTokens == 1", "llm.model == 'x'", "has(llm.model) && llm.model == 'x'"])
def test_what_no_call_says_is_unknown(source: str) -> None:
    with pytest.raises(EvaluationError) as raised:
        evaluate(source, seen())
    assert raised.value.kind == "unknown"


def test_what_is_unknown_outweighs_what_is_missing() -> None:
    """A rule may yet hold for a model: that its first half cannot be evaluated does not decide it."""
    with pytest.raises(EvaluationError) as raised:
        evaluate("jwt.missing == 1 || llm.model == 'x'", seen())
    assert raised.value.kind == "unknown"
    assert evaluate("jwt.team == 'a' && llm.model == 'x'", seen({"team": "b"})) is False


def test_each_target_is_the_candidate_in_its_turn() -> None:
    variables = seen(called=True)
    for target in (Target("openai", "openai", "gpt-4o-mini"), Target("vllm", "on-prem", "qwen3")):
        source = (
            f'llm.backend == "{target.backend}" && llm.provider == "{target.vendor}" && llm.model == "{target.model}"'
        )
        assert evaluate(source, variables.about(target)) is True


def test_only_allowed_variables_of_the_environment_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGION", "eu")
    monkeypatch.delenv("UNSET", raising=False)
    assert read_env(["REGION", "UNSET"]) == {"REGION": "eu"}
    with pytest.raises(SettingsError, match="no field 'HOME'"):
        compile_rule("env.HOME == 'x'", variables=fields_of(["REGION"]))


def test_the_clients_own_classifier_is_known_by_its_prompt_whatever_a_header_says() -> None:
    prompt = "You are a security monitor for autonomous AI coding agents.\n..."
    for system, expected in [(prompt, "safeguard"), ("You are an agent. " + prompt, "auxiliary")]:
        body = {"model": "m", "max_tokens": 64, "system": system, "messages": [{"role": "user", "content": "x"}]}
        scope, exchange = Exchange.enter(http_scope("POST", "/v1/messages"))
        exchange.call = Call(decode_messages(json.dumps(body).encode()), (), request_class="auxiliary")
        assert evaluate("llm.requestClass", variables_of(scope, exchange)) == expected
