"""Before the body is read only those are denied whom the rules would deny with any body."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asgi_llmgate import Exchange, Identity, PolicyMiddleware
from asgi_llmgate.exchange_values import Call, Decision, Target
from asgi_llmgate.policy.cases import Asked
from asgi_llmgate.testing.driver import Driver, call, http_scope

TEAM, MODEL = "jwt.team == 'a'", "llm.model == 'm'"
A, NOBODY = {"team": "a"}, dict[str, Any]()


async def unreachable(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError


def rule(action: str, when: Any, **more: Any) -> dict[str, Any]:
    return {"name": more.pop("name", action), "action": action, "when": when, **more}


def entered(claims: Mapping[str, Any], method: str = "POST") -> tuple[Any, Exchange]:
    scope, exchange = Exchange.enter(http_scope(method, "/v1/messages" if method == "POST" else "/v1/models"))
    exchange.identity = Identity("alice", "i", "idp", claims)
    return scope, exchange


def early(rules: Sequence[Any], claims: Mapping[str, Any], **options: Any) -> Decision | None:
    layer = PolicyMiddleware(unreachable, rules=rules, **options)
    scope, exchange = entered(claims)
    refusal = layer.decide_before_body(scope, exchange)
    assert (refusal is None) == (exchange.decision is None)
    return exchange.decision


DRY = {"mode": "dry_run", "name": "dry"}
TABLE = [
    ("an allow rule on the caller", [TEAM], NOBODY, "rule 1"),
    ("an allow rule on the caller that holds", [TEAM], A, ""),
    ("an allow rule on caller and model", [f"{TEAM} && {MODEL}"], {"team": "b"}, "rule 1"),
    ("an allow rule on model and caller", [f"{MODEL} && {TEAM}"], NOBODY, "rule 1"),
    ("an allow rule on caller and model that may hold", [f"{TEAM} && {MODEL}"], A, ""),
    ("an allow rule on caller or model", [f"{MODEL} || {TEAM}"], {"team": "b"}, ""),
    ("one of two allow rules may hold", [TEAM, MODEL], NOBODY, ""),
    ("none of two allow rules can", [TEAM, f"{TEAM} && llm.streaming"], NOBODY, "rule 1"),
    ("one expression of an allow rule may hold", [rule("allow", [TEAM, "llm.streaming"])], NOBODY, ""),
    ("no expression of an allow rule can", [rule("allow", [TEAM, f"{TEAM} && {MODEL}"])], NOBODY, "allow"),
    ("an allow rule that raises", ["jwt.team.x"], A, "rule 1"),
    ("a deny rule on the caller", ["true", rule("deny", TEAM)], A, "deny"),
    ("a deny rule that does not hold", ["true", rule("deny", TEAM)], {"team": "b"}, ""),
    ("a deny rule that cannot be evaluated", ["true", rule("deny", TEAM)], NOBODY, "deny"),
    ("a deny rule on caller or model", ["true", rule("deny", f"{MODEL} || {TEAM}")], A, "deny"),
    ("a deny rule on caller and model", ["true", rule("deny", f"{MODEL} && {TEAM}")], A, ""),
    ("a deny rule on caller and model that cannot", ["true", rule("deny", f"{MODEL} && {TEAM}")], {"team": "b"}, ""),
    ("a deny rule, one expression of which raises", [rule("deny", ["jwt.x", MODEL]), "true"], A, "deny"),
    ("a require rule on the caller", [rule("require", TEAM)], NOBODY, "require"),
    ("a require rule on caller and model", [rule("require", f"{MODEL} && {TEAM}")], NOBODY, "require"),
    ("a require rule on caller or model", [rule("require", f"{MODEL} || {TEAM}")], NOBODY, ""),
    ("a require rule on the model", [rule("require", MODEL)], A, ""),
    ("a require rule, one expression of which fails", [rule("require", [MODEL, TEAM])], NOBODY, "require"),
    ("what the body says", ["llm.maxTokens < 100"], A, ""),
    ("a dry rule", ["true", rule("deny", TEAM, **DRY)], A, ""),
    ("a dry rule beside one that denies", [rule("deny", "true"), rule("deny", TEAM, **DRY)], A, "deny"),
]


@pytest.mark.parametrize(("rules", "claims", "name"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_who_is_denied_before_the_body_is_read(rules: Any, claims: Any, name: str) -> None:
    decision = early(rules, claims)
    assert ("" if decision is None else decision.rule) == name


def test_the_claim_that_is_missing_is_named() -> None:
    decision = early([f"{MODEL} && {TEAM}"], NOBODY)
    assert decision is not None
    assert decision.missing == "jwt.team"


def test_who_is_locked_out_is_denied_before_the_body_whatever_the_rules_wait_for(tmp_path: Path) -> None:
    file = tmp_path / "locked"
    file.write_text("alice\n")
    decision = early([MODEL], A, deny_subjects=file)
    assert decision is not None
    assert decision.rule == "deny_subjects"
    file.write_text("bob\n")
    assert early([MODEL], A, deny_subjects=file) is None


def test_no_resolve_layer_is_missed(caplog: pytest.LogCaptureFixture) -> None:
    early([f"{MODEL} && {TEAM}"], NOBODY)
    early([MODEL], NOBODY)
    assert caplog.records == []


CLAIM = ["jwt.team == 'a'", "jwt.team != 'a'", "jwt.absent == 'x'", "has(jwt.team)", "jwt.level > 1", "jwt.level"]
LIST = ["'x' in jwt.groups", "jwt.groups.exists(g, g == 'x')", "jwt.groups.all(g, g == 'x')", "true", "false"]
LIST.append("size(jwt.groups)")  # no bool
CALL = ["llm.streaming", "llm.maxTokens < 100", "llm.requestModel == 'm'", "size(llm.toolNames) > 1"]
CANDIDATE = ["llm.model == 'm'", "llm.model != 'm'", "llm.backend in ['b']", "llm.provider.startsWith('p')"]
BOTH = [
    "llm.model in jwt.models",
    "jwt.models[0] == llm.model",
    "jwt.groups.exists(g, g == llm.requestModel)",
    "jwt.groups.all(g, g != llm.model)",
    "llm.toolNames.exists(t, t == 'Bash' && jwt.team == 'a')",
    "(jwt.team == 'a') == llm.streaming",
    "jwt.groups.exists_one(g, g == llm.model || jwt.absent)",
    "[llm.model, jwt.absent].exists(m, m == 'm')",
]
leaves = st.sampled_from([*CLAIM, *LIST, *CALL, *CANDIDATE, *BOTH])
expressions = leaves | st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds("({} && {})".format, inner, inner),
        st.builds("({} || {})".format, inner, inner),
        st.builds("!({})".format, inner),
        st.builds("({} ? {} : {})".format, inner, inner, inner),
        st.builds("({} == {})".format, inner, inner),
    ),
    max_leaves=5,
)
rule_sets = st.lists(
    st.builds(
        lambda action, when, mode: {"action": action, "when": when, "mode": mode},
        st.sampled_from(["allow", "allow", "allow", "deny", "require"]),
        st.lists(expressions, min_size=1, max_size=2),
        st.sampled_from(["enforce", "enforce", "enforce", "dry_run"]),
    ),
    min_size=1,
    max_size=3,
)
claims = st.fixed_dictionaries(
    {},
    optional={
        "team": st.sampled_from(["a", "b", 1, None]),
        "level": st.sampled_from([0, 2, "x", True]),
        "groups": st.sampled_from([[], ["x"], ["y", "x"], "x", [1], ["y"] * 600]),
        "models": st.sampled_from([[], ["m"], "m", None, {"m": 1}]),
    },
)
targets = st.lists(
    st.builds(Target, st.sampled_from(["b", "c"]), st.sampled_from(["p", "q"]), st.sampled_from(["m", "n", ""])),
    max_size=3,
)
calls = st.builds(
    lambda asked, candidates: Call(asked, tuple(candidates)),
    st.builds(
        Asked,
        model=st.sampled_from(["m", "x", ""]),
        stream=st.booleans(),
        max_tokens=st.sampled_from([5, 5000]),
        tool_names=st.sampled_from([(), ("Bash",), ("Bash", "x"), ("y",) * 700]),
    ),
    targets,
)


@settings(max_examples=70, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rule_sets, st.lists(st.tuples(claims, st.none() | calls), min_size=5, max_size=10))
def test_who_is_denied_before_the_body_is_denied_with_any_body(
    rules: list[Any], requests: list[tuple[dict[str, Any], Call | None]]
) -> None:
    layer = PolicyMiddleware(unreachable, rules=rules, default="allow")
    for claimed, asked in requests:
        method = "GET" if asked is None else "POST"
        first = layer.decide_before_body(*entered(claimed, method))
        scope, exchange = entered(claimed, method)
        exchange.call = None if asked is None else replace(asked)
        second = layer.decide(scope, exchange)
        assert first is None or second is not None
        if asked is None:  # nothing more will be known
            assert (first is None) == (second is None)


def test_the_reference_engine_denies_no_more() -> None:
    for rules, claims, name in (row[1:] for row in TABLE):
        assert (early(rules, claims, engine="celpy") or Decision(False, name)).rule == name


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_nothing_is_read_for_who_is_denied_and_one_decision_is_made_for_who_is_not(method: str) -> None:
    layer = PolicyMiddleware(unreachable, rules=[TEAM, rule("deny", "jwt.team == 'b'", **DRY)])
    passed: list[Exchange] = []

    async def behind(scope: Any, receive: Any, send: Any) -> None:
        passed.append(Exchange.of(scope))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    front = layer.before_body(behind)

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        scope, exchange = Exchange.enter(scope)
        exchange.identity = Identity("x", "i", "idp", {"team": exchange.headers["x-team"]})
        await front(scope, receive, send)

    assert (await call(outer, method, "/", headers={"x-team": "a"})).status == 204
    assert [exchange.decision for exchange in passed] == [None]
    async with Driver(outer, method, "/", headers={"x-team": "b"}, content=[b""]) as client:
        assert await client.start() == 403
    assert len(passed) == 1


async def test_a_websocket_and_a_lifespan_are_seen_to() -> None:
    sent: list[str] = []
    passed: list[str] = []

    async def behind(scope: Any, receive: Any, send: Any) -> None:
        passed.append(scope["type"])

    async def send(message: Any) -> None:
        sent.append(message["type"])

    front = PolicyMiddleware(unreachable, rules=["false"]).before_body(behind)
    await front({"type": "websocket", "path": "/ws", "headers": []}, None, send)  # type: ignore[arg-type]
    await front({"type": "lifespan"}, None, send)  # type: ignore[arg-type]
    assert (sent, passed) == (["websocket.close"], ["lifespan"])
