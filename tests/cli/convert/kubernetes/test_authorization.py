"""Rules decide as agentgateway's code does: the same requests at the converted gateway, decided by the real engine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from asgi_llmgate.cel import EvaluationError, compile_rule
from asgi_llmgate.mistakes import Mistakes
from asgi_llmgate.policy.rules import read_rules
from asgi_llmgate.rule_variables import fields_of
from tests.cli.convert.kubernetes.resources import authorization, backend, policy, route, to
from tests.cli.convert.lab import Conversion, convert_text


def allowed(found: Conversion, path: str = "/v1/messages", **claims: Any) -> bool:
    """Whether the rules of the settings allow a request, by docs/reference/policy.md."""
    variables = {"jwt": claims, "request": {"path": path, "headers": {}, "host": "gw", "method": "POST"}}
    rules = read_rules(found.settings["policy"].get("rules", []), Mistakes())
    held = {
        action: [[_value(text, variables) for text in rule.expressions] for rule in rules if rule.action == action]
        for action in ("allow", "deny", "require")
    }
    if any(value is not False for values in held["deny"] for value in values):
        return False
    if any(value is not True for values in held["require"] for value in values):
        return False
    return not held["allow"] or any(value is True for values in held["allow"] for value in values)


def _value(text: str, variables: Mapping[str, Any]) -> Any:
    try:
        return compile_rule(text, variables=fields_of()).evaluate(variables)
    except EvaluationError:
        return None


@pytest.mark.parametrize(
    ("action", "expressions", "expected"),
    [
        ("Allow", ['jwt.team == "a"'], {"a": True, "b": False, "": False}),
        ("Allow", ['jwt.team == "a"', 'jwt.team == "b"'], {"a": True, "b": True, "c": False}),
        ("Require", ['jwt.team == "a"', 'jwt.team != "b"'], {"a": True, "b": False, "c": False}),
        ("Deny", ['jwt.team == "a"'], {"a": False, "b": True}),
    ],
)
def test_an_action(action: str, expressions: list[str], expected: dict[str, bool], tmp_path: Path) -> None:
    found = convert_text(tmp_path, backend(), policy(traffic=authorization(*expressions, action=action)))
    assert found.code == 0, found
    assert {team: allowed(found, **({"team": team} if team else {})) for team in expected} == expected


def test_deny_and_several_expressions_are_explained(tmp_path: Path) -> None:
    found = convert_text(
        tmp_path,
        backend(),
        policy("one", traffic=authorization('jwt.a == "x"', 'jwt.a == "y"')),
        policy("two", traffic=authorization('jwt.sub == "mallory"', action="Deny")),
    )
    assert "# allows if any of the expressions is true" in found.text
    assert "# a Deny rule that cannot be evaluated denies here" in found.text
    assert "warning: spec.traffic.authorization: a Deny rule that cannot be evaluated denies here" in found.said


@pytest.mark.parametrize("action", ["Allow", "Require", "Deny"])
@pytest.mark.parametrize("expression", ["apiKey.group == 'x'", "jwt.team ==", "json(request.body).x == 1"])
def test_a_rule_that_cannot_be_used_stays_closed(action: str, expression: str, tmp_path: Path) -> None:
    found = convert_text(tmp_path, backend(), policy(traffic=authorization(expression, action=action)))
    assert found.code == 0, found
    assert not allowed(found, team="a")
    assert "spec.traffic.authorization.policy.matchExpressions[0]: the expression cannot be used here" in found.said
    assert f"(it was: {expression})" in found.text.replace("\n    #   ", " ")


def test_every_rule_has_a_reason_and_a_name_of_its_own(tmp_path: Path) -> None:
    rule = authorization('jwt.team == "a"')
    found = convert_text(tmp_path, backend(), policy("p", traffic=rule), policy("p", traffic=rule))
    rules = found.settings["policy"]["rules"]
    assert [each["name"] for each in rules] == ["p", "p-2"]
    assert all("ask the team that runs the gateway" in each["reason"] for each in rules)
    assert found.text.count("# reason is what Claude Code shows to a developer") == 1


TWO = (
    backend(name="one"),
    backend(name="two"),
    route("first", to("one", path="/one")),
    route("second", to("two", path="/two")),
)


def test_a_rule_of_one_route_leaves_the_other_open(tmp_path: Path) -> None:
    found = convert_text(
        tmp_path, *TWO, policy(target=("HTTPRoute", "first"), traffic=authorization('jwt.team == "a"'))
    )
    ways = {
        (path, team): allowed(found, f"{path}/v1/messages", team=team) for path in ("/one", "/two") for team in "ab"
    }
    assert ways == {("/one", "a"): True, ("/one", "b"): False, ("/two", "a"): True, ("/two", "b"): True}


@pytest.mark.parametrize("action", ["Require", "Deny"])
def test_require_and_deny_of_one_route(action: str, tmp_path: Path) -> None:
    expression = 'jwt.team == "a"' if action == "Require" else 'jwt.team != "a"'
    target = ("HTTPRoute", "first")
    found = convert_text(tmp_path, *TWO, policy(target=target, traffic=authorization(expression, action=action)))
    ways = {
        (path, team): allowed(found, f"{path}/v1/messages", team=team) for path in ("/one", "/two") for team in "ab"
    }
    assert ways == {("/one", "a"): True, ("/one", "b"): False, ("/two", "a"): True, ("/two", "b"): True}


def test_allow_rules_of_the_gateway_and_of_a_route_are_joined(tmp_path: Path) -> None:
    """agentgateway merges the rules of all levels: one allow rule of any level is enough."""
    found = convert_text(
        tmp_path,
        *TWO,
        policy("all", traffic=authorization('jwt.team == "admin"')),
        policy("more", target=("HTTPRoute", "first"), traffic=authorization('jwt.team == "a"')),
    )
    expected = {("/one", "a"): True, ("/one", "admin"): True, ("/two", "a"): False, ("/two", "admin"): True}
    assert {(path, team): allowed(found, f"{path}/x", team=team) for path, team in expected} == expected


@pytest.mark.parametrize("way", ["apiKeyAuthentication", "basicAuthentication", "extAuth", "entExtAuth"])
def test_without_its_way_to_know_callers_nobody_gets_in(way: str, tmp_path: Path) -> None:
    found = convert_text(tmp_path, backend(), policy(traffic={way: {"mode": "Strict"}}))
    assert found.code == 0, found
    assert found.settings["policy"]["rules"][0]["name"] == "no-identity"
    assert not allowed(found, team="a")
    assert f"# {way} is not there, so nobody is let in" in found.text


def test_nothing_about_callers_is_said(tmp_path: Path) -> None:
    found = convert_text(tmp_path, backend())
    assert (found.settings["auth"], found.settings["policy"]) == ({"mode": "off"}, {"default": "allow"})
    assert "# no policy of the files verifies tokens, so callers have no identity" in found.text


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"action": "Audit", "policy": {"matchExpressions": ["true"]}}, "action: unknown action 'Audit'"),
        ({"policy": {"matchExpressions": []}}, "authorization: no matchExpressions"),
        ({"policy": {"matchExpressions": "true"}}, "matchExpressions: must be a list"),
        ({"policy": ["true"]}, "policy: must be a mapping"),
    ],
)
def test_a_mistake_has_its_place(wrong: Any, words: str, tmp_path: Path) -> None:
    found = convert_text(tmp_path, backend(), policy(traffic={"authorization": wrong}))
    assert found.code == 1
    assert "error: spec.traffic.authorization" in found.said
    assert words in found.said
    assert "/1.yaml:1" in found.said
