"""Three engines side by side: ours, celpy's InterpretedRunner (`engine: celpy`), and Google's in C++ (cel-expr-python).

The same decisions, but for two lists of differences with their reasons.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Protocol

import celpy
import pytest
from cel_expr_python import cel as google
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from asgi_llmgate.cel import CompileError, EvaluationError, Fields, ReferenceExpression, compile_rule

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
    "jwt.level in [1, 2u, 4.0]",
    "jwt.level == 4.0",
    "jwt.level == 4u",
    "jwt.level % 2 == 0 && -jwt.level < 0",
    "jwt.level / 0 == 1",
    "jwt.level + 1.0 == 5.0",
    "jwt.level < jwt.exp",
    "jwt.level.startsWith('4')",
    "type(jwt.level) == int && dyn(jwt.level) == 4",
    "{'a': jwt.level}.a == 4",
    "[jwt.level, 'x'] == [4, 'x']",
    "jwt.groups.exists_one(g, g == 'admins')",
    "jwt.groups.exists(g, jwt.roles.exists(r, r == g))",
    "jwt.groups.filter(g, g == 1) == []",
    "jwt.groups.map(g, size(g)) == [5, 6]",
    "jwt.groups + ['x'] == ['users', 'admins', 'x']",
    "jwt.groups[0] == 'users'",
    "jwt.groups[7] == 'users'",
    "jwt.groups[-1] == 'users'",
    "jwt.groups == []",
    "jwt.groups.contains('admins')",
    "'ml' in jwt.realm_access.roles || jwt.admin",
    "'openai' in jwt.llms && 'openai' in jwt.llms",
    "jwt.llms.openai.all(m, m.startsWith('gpt-'))",
    "has(jwt.llms.openai) && !has(jwt.llms.anthropic)",
    "jwt.llms['openai'][0] == llm.model",
    "jwt.flags == {}",
    "jwt.flags.frozen == true || true",
    "jwt.note == null",
    "jwt.note ? true : false",
    "jwt.admin || jwt.missing",
    "jwt.org || jwt.admin",
    "jwt.org.size() == 4 && jwt.org.contains('cm') && matches(jwt.org, '^a')",
    "jwt.org < jwt.team",
    "b'acme' == bytes(jwt.org)",
    "int('7') == 7 && string(jwt.level) == '4'",
    "timestamp(jwt.exp) > timestamp('2026-01-01T00:00:00Z')",
    "timestamp('2026-01-02T03:04:05Z').getHours('Europe/Berlin') == 4",
    "duration('90m') > duration('1h')",
    "jwt == jwt",
]

STRING_AS_LIST = "celpy takes a string for the list of its characters"
HAS_HIDES_ERRORS = "celpy's has() is false for any error below it"
MIXED_NUMBERS = "celpy compares no int with a double"
TRUE_IS_ONE = "celpy says true == 1"
UNLIKE_TYPES = "== and != of unlike types have a value in the specification; in celpy they are errors"
NULL_HAS_A_SIZE = "celpy gives null a size"
LIST_CONTAINS = "contains() on lists is agentgateway's; neither the specification nor the others have it"
NEGATIVE_INDEX = "celpy counts from the end of a list"
TIMESTAMP_OF_INT = "celpy makes no timestamp of a number, as an 'exp' is"

CELPYS_DIFFERENCES: Mapping[str, tuple[str, Mapping[str, tuple[str, str]]]] = {
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
    "jwt.level in [1, 2u, 4.0]": (
        UNLIKE_TYPES,
        {"good": ("True", "error"), "other": ("False", "error"), "strings": ("False", "error")},
    ),
    "jwt.level == 4.0": (
        MIXED_NUMBERS,
        {"good": ("True", "error"), "other": ("False", "error"), "strings": ("False", "error")},
    ),
    "jwt.level == 4u": (
        MIXED_NUMBERS,
        {"good": ("True", "error"), "other": ("False", "error"), "strings": ("False", "error")},
    ),
    "{'a': jwt.level}.a == 4": (UNLIKE_TYPES, {"strings": ("False", "error")}),
    "[jwt.level, 'x'] == [4, 'x']": (UNLIKE_TYPES, {"strings": ("False", "error")}),
    "jwt.groups.exists_one(g, g == 'admins')": (STRING_AS_LIST, {"strings": ("error", "False")}),
    "jwt.groups.filter(g, g == 1) == []": (UNLIKE_TYPES, {"good": ("True", "error")}),
    "jwt.groups.map(g, size(g)) == [5, 6]": (STRING_AS_LIST, {"strings": ("error", "False")}),
    "jwt.groups[0] == 'users'": (STRING_AS_LIST, {"strings": ("error", "False")}),
    "jwt.groups[-1] == 'users'": (NEGATIVE_INDEX, dict.fromkeys(["good", "strings"], ("error", "False"))),
    "jwt.groups == []": (UNLIKE_TYPES, {"strings": ("False", "error")}),
    "has(jwt.llms.openai) && !has(jwt.llms.anthropic)": (
        HAS_HIDES_ERRORS,
        dict.fromkeys(["strings", "empty"], ("error", "False")),
    ),
    "jwt.flags == {}": (UNLIKE_TYPES, {"strings": ("False", "error")}),
    "timestamp(jwt.exp) > timestamp('2026-01-01T00:00:00Z')": (TIMESTAMP_OF_INT, {"good": ("True", "error")}),
}
"""Rule -> the reason, and claims -> (our outcome, celpy's)."""


GOOGLES_DIFFERENCES: Mapping[str, tuple[str, Mapping[str, tuple[str, str]]]] = {
    "jwt.groups.contains('admins')": (LIST_CONTAINS, {"good": ("True", "error"), "other": ("False", "error")}),
}
"""Rule -> the reason, and claims -> (our outcome, Google's)."""


class Evaluates(Protocol):
    def evaluate(self, activation: Mapping[str, Any]) -> Any: ...


class GoogleExpression:
    """As `Expression`, evaluated by cel-cpp."""

    _env = google.NewEnv(variables=dict.fromkeys(ROOTS, google.Type.Map(google.Type.STRING, google.Type.DYN)))

    def __init__(self, source: str) -> None:
        self._compiled = self._env.compile(source)

    def evaluate(self, activation: Mapping[str, Any]) -> Any:
        value = self._compiled.eval(data=activation)
        if value.type() == google.Type.ERROR:
            raise EvaluationError("internal", "no value")
        return value.value()


def outcome(expression: Evaluates, claims: Mapping[str, Any]) -> str:
    request = {"path": "/v1/messages", "headers": {"x-team": "data-platform"}}
    try:
        value = expression.evaluate({"jwt": claims, "llm": {"model": "gpt-4o-mini"}, "request": request})
    except EvaluationError:
        return "error"
    return str(value) if isinstance(value, bool) else "error"


@pytest.mark.parametrize("source", RULES)
def test_the_engines_decide_alike_but_for_what_is_listed(source: str) -> None:
    ours = compile_rule(source, variables=ROOTS)
    others = (
        (ReferenceExpression(source, variables=ROOTS), CELPYS_DIFFERENCES),
        (GoogleExpression(source), GOOGLES_DIFFERENCES),
    )
    for other, differences in others:
        pairs = {name: (outcome(ours, claims), outcome(other, claims)) for name, claims in CLAIMS.items()}
        _, listed = differences.get(source, ("", {}))
        assert {name: pair for name, pair in pairs.items() if pair[0] != pair[1]} == listed


def test_where_we_allow_and_another_does_not_there_is_a_reason_for_it() -> None:
    ours = {
        reason
        for reason, listed in [*CELPYS_DIFFERENCES.values(), *GOOGLES_DIFFERENCES.values()]
        if any(pair[0] == "True" for pair in listed.values())
    }
    assert ours == {MIXED_NUMBERS, UNLIKE_TYPES, LIST_CONTAINS, TIMESTAMP_OF_INT}


NAMES = st.sampled_from(
    ["org", "team", "groups", "roles", "level", "score", "admin", "note", "flags", "llms.openai", "nothing", "exp"]
)
LITERALS = st.sampled_from(
    ["1", "4", "4u", "4.0", "0.5", "'acme'", "'admins'", "''", "true", "false", "null", "[]", "['admins']", "{}", "-1"]
)
VALUES = st.one_of(LITERALS, NAMES.map("jwt.{}".format))
CONDITIONS = st.recursive(
    st.one_of(
        st.tuples(VALUES, st.sampled_from(["==", "!=", "<", ">=", "in"]), VALUES).map(" ".join),
        NAMES.map("has(jwt.{})".format),
        st.tuples(NAMES, st.sampled_from(["exists", "all", "exists_one"]), VALUES).map(
            lambda parts: f"jwt.{parts[0]}.{parts[1]}(i, i == {parts[2]})"
        ),
        st.tuples(NAMES, st.sampled_from(["startsWith", "endsWith"])).map(
            lambda parts: f"jwt.{parts[0]}.{parts[1]}('a')"
        ),
        NAMES.map("size(jwt.{}) > 1".format),
        NAMES.map("jwt.{}".format),
    ),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map(lambda parts: f"({' '.join(parts)})"),
        inner.map("!({})".format),
        st.tuples(inner, inner, inner).map(lambda parts: f"({parts[0]} ? {parts[1]} : {parts[2]})"),
    ),
    max_leaves=6,
)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(source=CONDITIONS, claims=st.sampled_from(sorted(CLAIMS)))
def test_any_rule_that_both_take_is_decided_as_googles_engine_does(source: str, claims: str) -> None:
    try:
        ours, theirs = compile_rule(source, variables=ROOTS), GoogleExpression(source)
    except (CompileError, RuntimeError):  # theirs has a type checker
        assume(False)
    assert outcome(ours, CLAIMS[claims]) == outcome(theirs, CLAIMS[claims])


def test_celpy_is_given_only_what_the_rule_reads() -> None:
    read = ReferenceExpression("jwt.team == 'x' && has(jwt.org)", variables=ROOTS)
    context = read._context({"jwt": {"team": "x", "email": "alice@example.com"}, "llm": {}, "request": {}})
    assert context == {"jwt": {"team": "x"}}


def test_what_celpy_says_about_the_activation_stays_inside(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    claims = {"team": "alice@example.com"}
    with pytest.raises(EvaluationError) as raised:
        ReferenceExpression("jwt.team + 1 == 2", variables=ROOTS).evaluate({"jwt": claims})
    assert "alice" not in f"{raised.value} {vars(raised.value)} {caplog.text}"


def test_what_the_host_evaluates_with_celpy_is_logged_as_before(caplog: pytest.LogCaptureFixture) -> None:
    ReferenceExpression("x == 1", variables={"x": None}).evaluate({"x": 1})
    caplog.set_level(logging.DEBUG)
    environment = celpy.Environment()
    assert environment.program(environment.compile("'al' + 'ice' == 'alice'")).evaluate({})
    assert "alice" in caplog.text
