"""How rules may be written, and what is said of them at start."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from asgi_llmgate import Gateway, Rule, SettingsError
from asgi_llmgate.mistakes import Mistakes
from asgi_llmgate.policy import Policy
from asgi_llmgate.policy.rules import read_authorization, read_rules

WRITTEN = [
    ("jwt.a", Rule("rule 1", "jwt.a")),
    ({"when": "jwt.a"}, Rule("rule 1", "jwt.a")),
    (
        {"name": "n", "when": "jwt.a", "action": "deny", "reason": "no", "mode": "dry_run"},
        Rule("n", "jwt.a", "deny", "no", "dry_run"),
    ),
    ({"when": ["jwt.a", "jwt.b"]}, Rule("rule 1", ("jwt.a", "jwt.b"))),
    ({"action": "Allow", "matchExpressions": ["jwt.a"]}, Rule("rule 1", ("jwt.a",))),
    (
        {"action": "Require", "policy": {"matchExpressions": ["jwt.a", "jwt.b"]}},
        Rule("rule 1", ("jwt.a", "jwt.b"), "require"),
    ),
    ({"deny": "jwt.a"}, Rule("rule 1", "jwt.a", "deny")),
    ({"require": ["jwt.a", "jwt.b"], "reason": "no"}, Rule("rule 1", ("jwt.a", "jwt.b"), "require", "no")),
    (Rule("kept", "jwt.a"), Rule("kept", "jwt.a")),
]


@pytest.mark.parametrize(("written", "rule"), WRITTEN, ids=[str(written) for written, _ in WRITTEN])
def test_a_rule_is_read(written: Any, rule: Rule) -> None:
    mistakes = Mistakes()
    assert read_rules([written], mistakes) == [rule]
    assert mistakes.found == []


@pytest.mark.parametrize(
    ("written", "path", "hint"),
    [
        ({"wehn": "jwt.a"}, "rules[0].wehn", "when"),
        ({"when": "jwt.a", "action": "Audit"}, "rules[0].action", "one of allow, deny, require"),
        ({"when": "jwt.a", "mode": "shadow"}, "rules[0].mode", "one of enforce, dry_run"),
        ({"when": "jwt.a", "reason": 5}, "rules[0].reason", "must be a text, not 5"),
        ({}, "rules[0].when", "CEL"),
        ({"when": "", "matchExpressions": ["a"]}, "rules[0].when", "exactly one condition"),
        ({"when": True}, "rules[0].when", "CEL"),
        ({"when": []}, "rules[0].when", "CEL"),
        ({"matchExpressions": "jwt.a"}, "rules[0].matchExpressions", "list"),
        ({"policy": {"matchExpression": []}}, "rules[0].policy", "matchExpressions"),
        ({"action": "Deny", "allow": "jwt.a"}, "rules[0].action", "two actions: write either action or allow"),
        ({"allow": "jwt.a", "deny": "jwt.b"}, "rules[0].when", "exactly one condition"),
        (["jwt.a"], "rules[0]", "a CEL expression or a rule"),
    ],
)
def test_a_rule_that_cannot_be_read_says_where(written: Any, path: str, hint: str) -> None:
    mistakes = Mistakes()
    read_rules([written], mistakes)
    (mistake,) = mistakes.found
    assert mistake.path == path
    assert hint in str(mistake)


def test_all_that_is_wrong_in_all_rules_is_told_at_once() -> None:
    mistakes = Mistakes()
    rules = read_rules(
        [
            "jwt.a",
            {"wehn": "jwt.a", "action": "alow", "mode": 5, "reason": False},
            7,
            {"when": "jwt.b", "foo": 1, "name": "rule 1"},
        ],
        mistakes,
    )
    assert [rule.when for rule in rules] == ["jwt.a", "jwt.a", "jwt.b"]
    assert [mistake.path for mistake in mistakes.found] == [
        *(f"rules[1].{key}" for key in ("wehn", "action", "reason", "mode")),
        "rules[2]",
        "rules[3].foo",
        "rules[3].name",
    ]


AUTHORIZATION = [
    (
        {"action": "Allow", "policy": {"matchExpressions": ["jwt.a", "jwt.b"]}},
        [Rule("authorization", ("jwt.a", "jwt.b"))],
    ),
    ({"action": "Require", "policy": {"matchExpressions": ["jwt.a"]}}, [Rule("authorization", ("jwt.a",), "require")]),
    (
        {"rules": ["jwt.a", {"deny": "jwt.b"}, {"allow": "jwt.c"}, {"require": "jwt.d"}]},
        [
            Rule("authorization rule 1", "jwt.a"),
            Rule("authorization rule 2", "jwt.b", "deny"),
            Rule("authorization rule 3", "jwt.c"),
            Rule("authorization rule 4", "jwt.d", "require"),
        ],
    ),
]


@pytest.mark.parametrize(("written", "rules"), AUTHORIZATION, ids=[str(written) for written, _ in AUTHORIZATION])
def test_agentgateways_own_section_is_read(written: Any, rules: list[Rule]) -> None:
    assert read_authorization(written) == rules


@pytest.mark.parametrize(
    ("authorization", "said"),
    [
        ({"action": "Audit", "policy": {"matchExpressions": ["jwt.a"]}}, "policy.authorization.action: must be one of"),
        (
            {"policy": {"matchExpressions": ["jtw.a"]}},
            "policy.authorization.policy.matchExpressions[0]: 1:1: unknown variable 'jtw'",
        ),
        (
            {"policy": {"matchExpressions": "jwt.a"}},
            "policy.authorization.policy.matchExpressions: must be a CEL expression",
        ),
        ({"rules": [{"deny": "jwt.a =="}]}, "policy.authorization.rules[0].deny: 1:9: the expression ends too early"),
        (
            {"rules": ["jwt.a"], "action": "Allow"},
            "policy.authorization.action: unknown key: with rules there can be no other key",
        ),
        ({"rules": "jwt.a"}, "policy.authorization.rules: must be a list of rules, not a text"),
        ({"rules": []}, "policy.rules: no rule is enforced"),
    ],
)
def test_a_mistake_in_agentgateways_section_has_its_place(authorization: Any, said: str) -> None:
    settings = {
        "auth": {"mode": "off"},
        "backends": {"o": {"base_url": "http://127.0.0.1:9/v1"}},
        "models": [{"match": "*", "use": "o/m"}],
        "policy": {"authorization": authorization},
    }
    with pytest.raises(SettingsError) as raised:
        Gateway.from_settings(settings)
    assert str(raised.value).startswith(said)


def test_one_text_is_not_a_list_of_rules() -> None:
    mistakes = Mistakes()
    read_rules("jwt.a", mistakes)
    assert [str(mistake) for mistake in mistakes.found] == ["rules: must be a list of rules, not a text"]


@pytest.mark.parametrize(
    ("rules", "options"),
    [
        ([], {}),
        ([{"when": "jwt.a", "mode": "dry_run"}], {}),
    ],
    ids=["no rules", "only dry ones"],
)
def test_without_an_enforced_rule_the_default_must_be_written(rules: Any, options: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="default: allow"):
        Policy(rules, **options)
    Policy(rules, default="allow")


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("!has(jwt.blocked)", "rule 1' at 1:1: '!' before 'has'"),
        ("jwt.team != 'x'", "at 1:10: '!='"),
        ({"action": "require", "when": "!(jwt.team in ['x'])"}, "'!' before 'in'"),
        ("jwt.team.matches('acme')", "begin it with '^'"),
        ({"action": "deny", "when": "jwt.team.matches('acme')"}, "begin it with '^'"),
        ({"action": "deny", "when": "jwt.team != 'x'"}, ""),
        ("jwt.team == 'x'", ""),
    ],
    ids=str,
)
def test_a_rule_that_lets_in_by_what_is_absent_is_warned_about(
    rule: Any, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    Policy([rule])
    assert len(caplog.records) == (1 if said else 0)
    assert said in caplog.text
    assert all((record.name, record.levelno) == ("llmgate", logging.WARNING) for record in caplog.records)


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("request.headers['X-Team'] == 'a'", "lower case: 'x-team'"),
        ("has(request.headers.Team)", "lower case: 'team'"),
        ("request.headers.authorization == 'x'", "claims are in jwt"),
        ("request.headers['x-api-key'] == 'x'", "claims are in jwt"),
        ("llm.requestmodel == 'x'", "did you mean 'requestModel'?"),
        ("env.HOME == 'x'", "no field 'HOME'"),
    ],
)
def test_a_name_that_could_never_be_there_is_refused(source: str, hint: str) -> None:
    with pytest.raises(SettingsError) as raised:
        Policy(["jwt.a", source])
    assert raised.value.path == "rules[1]"
    assert hint in str(raised.value)
