"""Our engine beside celpy's InterpretedRunner: the same decisions, but for a list of differences with their reasons."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Protocol

import pytest

from asgi_llmgate.cel import EvaluationError, Fields, ReferenceExpression, compile_rule

ROOTS: Fields = {"jwt": None, "llm": {"model": None}, "request": {"path": None, "headers": None}}

CLAIMS: Mapping[str, Mapping[str, Any]] = {
    "good": {
        "sub": "alice",
        "org": "acme",
        "team": "data-platform",
        "groups": ["users", "admins"],
        "roles": ["ml"],
        "llms": {"openai": ["gpt-4o-mini"]},
        "realm_access": {"roles": ["ml", "dev"]},
        "level": 4,
        "score": 0.5,
        "admin": True,
        "exp": 1_900_000_000,
        "flags": {},
        "note": None,
    },
    "other": {"org": "evil", "team": "marketing", "groups": [], "llms": {"openai": []}, "level": 9, "admin": False},
    "strings": {
        "org": "acme",
        "team": ["data-platform"],
        "groups": "admins",
        "level": "4",
        "admin": "true",
        "flags": "x",
    },
    "empty": {},
}

RULES = [
    'jwt.org == "acme" && jwt.team == "data-platform"',
    "llm.model in jwt.llms.openai",
    '"admins" in jwt.groups',
    "has(jwt.note)",
    "has(jwt.flags.frozen)",
    "!has(jwt.flags.frozen)",
    "!has(jwt.typo.frozen)",
    'jwt.realm_access.roles.exists(r, r == "ml")',
    'jwt.groups.all(g, g != "banned")',
    '!jwt.groups.exists(g, g == "banned")',
    '!("blocked" in jwt.groups)',
    '"a" in jwt.groups',
    'request.headers["x-team"] == jwt.team',
    'request.path.startsWith("/v1/")',
    "size(jwt.groups) == 2",
    "size(jwt.note) == 0",
    "jwt.level > 3",
    "jwt.level > 3.5",
    "jwt.score < 1.0",
    "jwt.score < 1",
    "jwt.admin",
    "jwt.admin == true",
    "jwt.admin == 1",
    "!jwt.admin",
    "jwt.admin && jwt.org == 'acme'",
    "jwt.exp > 1700000000",
    'jwt.team.matches("^data-.*$")',
    "jwt.team != 'contractors'",
    "jwt.org == 'acme' || jwt.missing == 1",
    "jwt.missing == 1 || jwt.org == 'acme'",
    "jwt.org == 'evil' && jwt.missing == 1",
    "jwt.level == 4 ? jwt.admin : false",
    "jwt.groups.filter(g, g.startsWith('a')).size() == 1",
    "jwt.groups.map(g, g + '!')[0] == 'users!'",
    "jwt.level in [1, 2, 4]",
    "jwt.level in [1, 'x', 4]",
    "jwt.team in ['data-platform', 'research']",
    "jwt.groups == ['users', 'admins']",
    "jwt.level + 1 == 5",
    "timestamp('2026-01-01T00:00:00Z') < timestamp('2026-01-02T00:00:00Z')",
    "jwt['org'] == 'acme'",
]

STRING_AS_LIST = "celpy takes a string for the list of its characters"
HAS_HIDES_ERRORS = "celpy's has() is false for any error below it"
MIXED_NUMBERS = "celpy compares no int with a double"
TRUE_IS_ONE = "celpy says true == 1"
UNLIKE_TYPES = "== and != of unlike types have a value in the specification; in celpy they are errors"
NULL_HAS_A_SIZE = "celpy gives null a size"

DIFFERENCES: Mapping[str, tuple[str, Mapping[str, tuple[str, str]]]] = {
    'jwt.org == "acme" && jwt.team == "data-platform"': (UNLIKE_TYPES, {"strings": ("False", "error")}),
    '"admins" in jwt.groups': (STRING_AS_LIST, {"strings": ("error", "False")}),
    "has(jwt.flags.frozen)": (HAS_HIDES_ERRORS, dict.fromkeys(["other", "strings", "empty"], ("error", "False"))),
    "!has(jwt.flags.frozen)": (HAS_HIDES_ERRORS, dict.fromkeys(["other", "strings", "empty"], ("error", "True"))),
    "!has(jwt.typo.frozen)": (HAS_HIDES_ERRORS, dict.fromkeys(CLAIMS, ("error", "True"))),
    'jwt.groups.all(g, g != "banned")': (STRING_AS_LIST, {"strings": ("error", "True")}),
    '!jwt.groups.exists(g, g == "banned")': (STRING_AS_LIST, {"strings": ("error", "True")}),
    '!("blocked" in jwt.groups)': (STRING_AS_LIST, {"strings": ("error", "True")}),
    '"a" in jwt.groups': (STRING_AS_LIST, {"strings": ("error", "True")}),
    'request.headers["x-team"] == jwt.team': (UNLIKE_TYPES, {"strings": ("False", "error")}),
    "size(jwt.note) == 0": (NULL_HAS_A_SIZE, {"good": ("error", "True")}),
    "jwt.level > 3.5": (MIXED_NUMBERS, dict.fromkeys(["good", "other"], ("True", "error"))),
    "jwt.admin == 1": (TRUE_IS_ONE, {"good": ("False", "True"), "strings": ("False", "error")}),
    "jwt.team != 'contractors'": (UNLIKE_TYPES, {"strings": ("True", "error")}),
    "jwt.level == 4 ? jwt.admin : false": (UNLIKE_TYPES, {"strings": ("False", "error")}),
    "jwt.groups.filter(g, g.startsWith('a')).size() == 1": (STRING_AS_LIST, {"strings": ("error", "True")}),
    "jwt.groups.map(g, g + '!')[0] == 'users!'": (STRING_AS_LIST, {"strings": ("error", "False")}),
    "jwt.level in [1, 2, 4]": (UNLIKE_TYPES, {"strings": ("False", "error")}),
    "jwt.level in [1, 'x', 4]": (UNLIKE_TYPES, dict.fromkeys(["other", "strings"], ("False", "error"))),
    "jwt.team in ['data-platform', 'research']": (UNLIKE_TYPES, {"strings": ("False", "error")}),
    "jwt.groups == ['users', 'admins']": (UNLIKE_TYPES, {"strings": ("False", "error")}),
}
"""Rule -> the reason, and claims -> (our outcome, celpy's)."""


class Evaluates(Protocol):
    def evaluate(self, activation: Mapping[str, Any]) -> Any: ...


def outcome(expression: Evaluates, claims: Mapping[str, Any]) -> str:
    request = {"path": "/v1/messages", "headers": {"x-team": "data-platform"}}
    try:
        value = expression.evaluate({"jwt": claims, "llm": {"model": "gpt-4o-mini"}, "request": request})
    except EvaluationError:
        return "error"
    return str(value) if isinstance(value, bool) else "error"


@pytest.mark.parametrize("source", RULES)
def test_both_engines_decide_alike_but_for_what_is_listed(source: str) -> None:
    ours, theirs = compile_rule(source, roots=ROOTS), ReferenceExpression(source, roots=ROOTS)
    pairs = {name: (outcome(ours, claims), outcome(theirs, claims)) for name, claims in CLAIMS.items()}
    _, listed = DIFFERENCES.get(source, ("", {}))
    assert {name: pair for name, pair in pairs.items() if pair[0] != pair[1]} == listed


def test_where_we_allow_and_celpy_does_not_the_specification_is_on_our_side() -> None:
    ours = {reason for reason, listed in DIFFERENCES.values() if any(pair[0] == "True" for pair in listed.values())}
    assert ours == {MIXED_NUMBERS, UNLIKE_TYPES}


def test_celpy_is_given_only_what_the_rule_reads() -> None:
    read = ReferenceExpression("jwt.team == 'x' && has(jwt.org)", roots=ROOTS)
    context = read._context({"jwt": {"team": "x", "email": "alice@example.com"}, "llm": {}, "request": {}})
    assert context == {"jwt": {"team": "x"}}


def test_what_celpy_says_about_the_activation_stays_inside(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    claims = {"team": "alice@example.com"}
    with pytest.raises(EvaluationError) as raised:
        ReferenceExpression("jwt.team + 1 == 2", roots=ROOTS).evaluate({"jwt": claims})
    assert "alice" not in f"{raised.value} {vars(raised.value)} {caplog.text}"
