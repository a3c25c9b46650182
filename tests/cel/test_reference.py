"""Our engine beside celpy's InterpretedRunner: the same decisions, but for a list of differences with their reasons."""

from __future__ import annotations

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
    "strings": {"org": "acme", "team": ["data-platform"], "groups": "admins", "level": "4", "admin": "true", "flags": "x"},
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
FALSE_FOR_ERROR = "celpy's has() is false for any error below it"
MIXED_NUMBERS = "celpy compares no int with a double"
TRUE_IS_ONE = "celpy says true == 1"
OTHER_TYPE = "in celpy == and != of unlike types are errors, in the specification they have a value"
SIZE_OF_NOTHING = "celpy gives null a size"
NOT_BOOL = "celpy gives back what stood there, ours is an error as well: neither allows"

DIFFERENCES: Mapping[tuple[str, str], str] = {
    ("!has(jwt.typo.frozen)", "good"): FALSE_FOR_ERROR,
}


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
    found = {}
    for name, claims in CLAIMS.items():
        pair = outcome(ours, claims), outcome(theirs, claims)
        if pair[0] != pair[1]:
            found[name] = pair
    assert found == {name: pair for (rule, name), (*pair, _) in DIFFERENCES.items() if rule == source}
