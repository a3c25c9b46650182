"""Conditions of the model table and fields of the usage record, as expressions over the rule variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from asgi_llmgate import Exchange, Identity, SettingsError
from asgi_llmgate.cel import EvaluationError
from asgi_llmgate.exchange_values import Call, Target
from asgi_llmgate.policy import condition, field
from asgi_llmgate.protocol.messages.request import decode_messages
from asgi_llmgate.rule_variables import RuleVariables, variables_of
from asgi_llmgate.testing.driver import http_scope

BODY = b'{"model":"claude-opus-5-5","max_tokens":64,"messages":[{"role":"user","content":"hi"}]}'


def seen(claims: Mapping[str, Any] | None = None, *, called: bool = False) -> RuleVariables:
    scope, exchange = Exchange.enter(http_scope("POST", "/v1/messages"))
    exchange.identity = Identity("alice", "https://idp.test", "idp", claims or {})
    if called:
        exchange.call = Call(decode_messages(BODY), ())
    return variables_of(scope, exchange)


def test_a_condition_of_the_model_table_is_true_or_it_is_not() -> None:
    small = condition('llm.maxTokens <= 64 && jwt.team == "research"')
    assert small(seen({"team": "research"}, called=True)) is True
    assert small(seen({"team": "other"}, called=True)) is False
    assert small(seen({}, called=True)) is False
    assert condition("jwt.team")(seen({"team": "research"})) is False


def test_a_condition_on_a_call_is_open_where_there_is_none() -> None:
    small = condition('llm.maxTokens <= 64 && jwt.team == "research"')
    assert small(seen({"team": "research"})) is None
    assert small(seen({"team": "other"})) is False
    assert small(seen({})) is None


@pytest.mark.parametrize("name", ["model", "provider", "backend"])
def test_a_condition_cannot_ask_for_the_target_that_it_helps_to_choose(name: str) -> None:
    with pytest.raises(SettingsError, match=f"has no field '{name}'"):
        condition(f"llm.{name} == 'x'")


def test_a_field_of_the_record_is_read_from_the_exchange() -> None:
    _, exchange = Exchange.enter(http_scope("POST", "/v1/messages"))
    exchange.identity = Identity("alice", "", "idp", {"team": "data"})
    exchange.target = Target("openai", "openai", "gpt-4o-mini")
    assert field("jwt.team")(exchange) == "data"
    assert field("llm.model")(exchange) == "gpt-4o-mini"
    assert field("request.path")(exchange) == "/v1/messages"
    with pytest.raises(EvaluationError):
        field("jwt.org")(exchange)
