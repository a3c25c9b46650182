"""A decision that was kept for a token is the one that would be made anew, and it goes with what it was made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asgi_llmgate import Exchange, Identity, PolicyMiddleware
from asgi_llmgate.exchange_values import ANONYMOUS, Call, Target
from asgi_llmgate.policy.caller_decisions import SIZE
from asgi_llmgate.policy.cases import Asked
from asgi_llmgate.policy.compiled_rules import Denial
from asgi_llmgate.testing.driver import http_scope
from tests.helpers.counted_work import opcodes
from tests.policy.test_before_body import CANDIDATE, CLAIM, LIST, calls, claims, rule_sets

ENTITLED = "jwt.team == 'a' && llm.model in jwt.models"
CLAIMS = {"team": "a", "models": ["m"]}
M, N, CHEAP = Target("b", "p", "m"), Target("b", "p", "n"), Target("b", "p", "m", price=lambda usage, seconds: 1.0)
MOST = 400
"""Instructions for both decisions about a call, where they have been made before."""
ABOUT_CALLER = [*CLAIM, *LIST, *CANDIDATE, "llm.model in jwt.models", "identity.subject == 'alice'"]


async def unreachable(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError


def entered(identity: Identity, asked: Call | None = None, path: str = "/v1/messages") -> tuple[Any, Exchange]:
    scope, exchange = Exchange.enter(http_scope("GET" if asked is None else "POST", path))
    exchange.identity, exchange.call = identity, None if asked is None else replace(asked)
    return scope, exchange


def said(layer: PolicyMiddleware, identity: Identity, asked: Call | None) -> Any:
    """All that a request and its record are told, before the body and after it."""
    scope, exchange = entered(identity, asked)
    exchange.call = None
    early = layer.decide_before_body(scope, exchange)
    first = exchange.decision
    exchange.call = None if asked is None else replace(asked)
    refusal = layer.decide(scope, exchange)
    assert exchange.permits is not None
    permitted = [exchange.permits(target, "x") for target in (M, N, Target("c", "q", ""))]
    left = [] if exchange.call is None else [id(target) for target in exchange.call.candidates]
    texts = [error and (error.message, error.client_message, error.detail, type(error)) for error in (early, refusal)]
    return first, exchange.decision, texts, permitted, left


def identity_of(claimed: Mapping[str, Any] = CLAIMS, subject: str = "alice") -> Identity:
    return Identity(subject, "i", "idp", claimed)


rules_about_callers = st.lists(
    st.builds(
        lambda action, when, mode: {"action": action, "when": when, "mode": mode},
        st.sampled_from(["allow", "allow", "deny", "require"]),
        st.lists(st.sampled_from(ABOUT_CALLER), min_size=1, max_size=2),
        st.sampled_from(["enforce", "enforce", "dry_run"]),
    ),
    min_size=1,
    max_size=3,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    rule_sets | rules_about_callers,
    st.lists(claims, min_size=1, max_size=2),
    st.lists(st.tuples(st.integers(0, 1), st.none() | calls), min_size=4, max_size=8),
)
def test_a_kept_decision_is_the_one_that_would_be_made(
    rules: list[Any], claimed: list[dict[str, Any]], requests: list[tuple[int, Call | None]]
) -> None:
    layer = PolicyMiddleware(unreachable, rules=rules, default="allow")
    callers = [identity_of(each, f"caller {index}") for index, each in enumerate(claimed)]
    for which, asked in [*requests, *requests]:
        caller = callers[which % len(callers)]
        assert said(layer, caller, asked) == said(layer, replace(caller), asked)


def test_each_candidate_stays_itself() -> None:
    """Equal targets of two rows may have different prices."""
    layer, caller = PolicyMiddleware(unreachable, rules=["llm.model != 'n'"]), identity_of()
    for table in [(M,), (CHEAP,), (N, CHEAP), (M, N, CHEAP), (CHEAP, M)] * 2:
        _, exchange = entered(caller, Call(Asked(), table))
        assert layer.decide({"path": ""}, exchange) is None
        assert exchange.call is not None
        assert [id(each) for each in exchange.call.candidates] == [id(each) for each in table if each is not N]


def work(layer: PolicyMiddleware, identity: Identity, asked: Call) -> int:
    scope, exchange = entered(identity, asked)

    def decide() -> None:
        assert layer.decide_before_body(scope, exchange) is None
        assert layer.decide(scope, exchange) is None

    return opcodes(decide)


@pytest.mark.parametrize("groups", [1, 600])
def test_what_reads_only_the_caller_costs_a_look_up(groups: int) -> None:
    rules = ["jwt.groups.exists(g, g == 'x') && llm.model == 'm'"]
    layer = PolicyMiddleware(unreachable, rules=rules)
    caller, asked = identity_of({"groups": ["y"] * groups + ["x"]}), Call(Asked(), (M,))
    first, second = work(layer, caller, asked), work(layer, caller, asked)
    assert 4 * second < first
    assert second < MOST
    assert work(layer, replace(caller), asked) == first


@pytest.mark.parametrize(
    "when",
    [
        "request.clientIp == '10.0.0.1'",
        "source.address == '10.0.0.1'",
        "request.headers['x-a'] == '1'",
        "request.path == '/v1/messages'",
        "request.time == timestamp(1)",
        "llm.maxTokens == 1",
        "llm.requestModel == 'm1'",
        "site.number == 1",
    ],
)
def test_a_rule_that_reads_more_is_evaluated_for_each_request(when: str) -> None:
    rules: list[Any] = [{"action": "require", "when": when}, ENTITLED]
    site = {"site": lambda exchange, scope: {"number": int(exchange.started_at)}}
    layer, caller = PolicyMiddleware(unreachable, rules=rules, variables=site), identity_of()
    early, allowed = [], []
    for number in (1, 2, 1):
        path = "/v1/messages" if number == 1 else "/v1/messages/count_tokens"
        headers = {"x-a": str(number)}
        sent = {**http_scope("POST", path, headers=headers), "client": (f"10.0.0.{number}", 1)}
        scope, exchange = Exchange.enter(sent)
        exchange.identity, exchange.started_at = caller, float(number)
        exchange.call = Call(Asked(model=f"m{number}", max_tokens=number), (M,))
        early.append(layer.decide_before_body(scope, exchange) is None)
        allowed.append(layer.decide(scope, exchange) is None)
    assert allowed == [True, False, True]
    assert early == [True, when.startswith("llm."), True]


@pytest.mark.parametrize("inside", [True, False])
def test_beside_a_rule_that_reads_more_those_about_the_caller_are_evaluated_once(inside: bool) -> None:
    groups = "jwt.groups.exists(g, g == 'x')"
    rules: list[Any] = [{"action": "deny", "when": "request.clientIp == '10.9.9.9'"}, groups, "jwt.team == 'a'"]
    layer = PolicyMiddleware(unreachable, rules=rules)
    caller = identity_of({"team": "a", "groups": ["y"] * 600 + (["x"] if inside else [])})
    asked = Call(Asked(), (M,))
    first, second = work(layer, caller, asked), work(layer, caller, asked)
    assert 3 * second < first
    _, exchange = entered(caller, asked)
    assert layer.decide(http_scope("POST"), exchange) is None
    assert exchange.decision is not None
    assert exchange.decision.rule == ("rule 2" if inside else "rule 3")


@pytest.mark.parametrize("more", [[], [{"action": "deny", "when": "request.clientIp == '10.9.9.9'"}]])
def test_no_error_is_kept(more: list[Any]) -> None:
    """It would keep its traceback, and with it the headers of a request."""
    layer = PolicyMiddleware(unreachable, rules=[*more, {"action": "deny", "when": "jwt.absent == 'x'"}, "jwt.absent"])
    caller = identity_of()
    for _ in range(2):
        assert said(layer, caller, Call(Asked(), (M,)))[1].missing == "jwt.absent"
    assert [value for value in caller.cache.values() if isinstance(value, Denial) and value.error is not None] == []


def test_before_the_body_a_rule_about_the_call_depends_on_the_caller_alone() -> None:
    layer = PolicyMiddleware(unreachable, rules=["jwt.groups.exists(g, g == 'x') && llm.maxTokens < 100"])
    inside, outside = identity_of({"groups": ["y", "x"]}), identity_of({"groups": ["y"]}, "bob")

    def before_body(identity: Identity) -> tuple[int, bool]:
        (scope, exchange), refused = entered(identity), list[bool]()
        count = opcodes(lambda: refused.append(layer.decide_before_body(scope, exchange) is not None))
        return count, refused[0]

    (first, _), (second, _) = before_body(inside), before_body(inside)
    assert 2 * second < first
    assert [before_body(identity)[1] for identity in (inside, outside) * 2] == [False, True] * 2


def test_who_is_locked_out_is_denied_though_a_decision_was_kept(tmp_path: Path) -> None:
    file, clock = tmp_path / "locked", iter(range(0, 1000, 2))
    file.write_text("")
    layer = PolicyMiddleware(unreachable, rules=[ENTITLED], deny_subjects=file, now=lambda: float(next(clock)))
    caller, asked = identity_of(), Call(Asked(), (M,))
    assert [said(layer, caller, asked)[1].allowed for _ in range(2)] == [True, True]
    file.write_text("alice\n")
    early, decision, *_ = said(layer, caller, asked)
    assert (early.rule, decision.rule) == ("deny_subjects", "deny_subjects")
    file.write_text("bob\n\n")
    assert said(layer, caller, asked)[1].allowed


def test_other_rules_do_not_find_what_the_last_ones_decided() -> None:
    caller, asked = identity_of(), Call(Asked(), (M,))
    old, new = (PolicyMiddleware(unreachable, rules=[rule]) for rule in (ENTITLED, "jwt.team == 'b'"))
    for _ in range(2):
        assert said(old, caller, asked)[1].allowed
        assert not said(new, caller, asked)[1].allowed


def test_nothing_is_kept_for_anonymous_callers_nor_without_bound() -> None:
    layer = PolicyMiddleware(unreachable, rules=["llm.model != 'x'"])
    caller, tables = identity_of(), [(Target("b", "p", f"m{number}"),) for number in range(3 * SIZE)]
    for table in tables:
        for identity in (caller, ANONYMOUS):
            assert said(layer, identity, Call(Asked(), table))[1].allowed
    kept = [layer.decide(*entered(caller, Call(Asked(), table))) for table in tables]
    assert kept == [None] * len(tables)
    found = caller.cache[layer]
    assert 0 < sum(found.find(table) is not None for table in tables) <= SIZE
    assert not ANONYMOUS.cache
