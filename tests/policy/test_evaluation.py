"""PolicyMiddleware in front of a plain app: what each kind of rule does to a request."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

from asgi_llmgate import Exchange, Identity, PolicyMiddleware, Rule, SettingsError
from asgi_llmgate.exchange_values import Call, Target
from asgi_llmgate.protocol.messages.request import decode_messages
from asgi_llmgate.testing.driver import call, http_scope

LAB = 'jwt.org == "acme" && jwt.team == "data-platform"'
GOOD = {"org": "acme", "team": "data-platform", "llms": {"openai": ["gpt-4o-mini"]}}
SMALL, LARGE = Target("openai", "openai", "gpt-4o-mini"), Target("vllm", "on-prem", "qwen3")
BODY = b'{"model":"claude-opus-5","max_tokens":5,"messages":[{"role":"user","content":"a secret prompt"}]}'


async def unreachable(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError


class Seen:
    """The app behind the layer, and what was set before it."""

    def __init__(self, claims: dict[str, Any], *targets: Target) -> None:
        self.exchange = Exchange()
        self.reached = False
        self._claims = claims
        self._targets = targets

    async def ask(self, method: str = "POST", **options: Any) -> Any:
        layer = PolicyMiddleware(self._app, **options)

        async def outer(scope: Any, receive: Any, send: Any) -> None:
            scope, self.exchange = Exchange.enter(scope)
            self.exchange.identity = Identity(subject="alice", provider="idp", claims=self._claims)
            if self._targets:
                self.exchange.call = Call(decode_messages(BODY), self._targets)
            await layer(scope, receive, send)

        return await call(outer, method, "/v1/messages")

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        self.reached = True
        permits = self.exchange.permits
        assert permits is not None
        self.permitted = [target for target in (SMALL, LARGE) if permits(target)]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})


def rule(action: str, when: str, **more: Any) -> dict[str, Any]:
    return {"name": f"{action} it", "action": action, "when": when, **more}


TABLE = [
    ("the lab's rule holds", [LAB], GOOD, 200),
    ("another team", [LAB], {**GOOD, "team": "marketing"}, 403),
    ("no claims at all", [LAB], {}, 403),
    ("one of two allow rules is enough", ["false", LAB], GOOD, 200),
    ("a text is not true", ["jwt.org"], GOOD, 403),
    ("one is not true", ["jwt.level"], {**GOOD, "level": 1}, 403),
    ("a list is not true", ["jwt.llms.openai"], GOOD, 403),
    ("deny wins over allow", [LAB, rule("deny", 'jwt.team == "data-platform"')], GOOD, 403),
    ("a deny rule that does not hold", [LAB, rule("deny", 'jwt.team == "x"')], GOOD, 200),
    ("a deny rule that cannot be evaluated denies", [LAB, rule("deny", "jwt.frozen == true")], GOOD, 403),
    ("a require rule must hold", [LAB, rule("require", 'jwt.org == "evil"')], GOOD, 403),
    ("a require rule that cannot be evaluated denies", [LAB, rule("require", "jwt.mfa")], GOOD, 403),
    ("require alone lets through", [rule("require", LAB)], GOOD, 200),
    ("a dry run decides nothing", [LAB, rule("deny", "true", mode="dry_run")], GOOD, 200),
    ("agentgateway's spelling", [{"action": "Allow", "policy": {"matchExpressions": ["false", LAB]}}], GOOD, 200),
]


@pytest.mark.parametrize(("rules", "claims", "status"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
async def test_a_decision(rules: Any, claims: Any, status: int) -> None:
    seen = Seen(claims)
    assert (await seen.ask(rules=rules)).status == status
    assert seen.reached == (status == 200)


ENTITLED = f"{LAB} && llm.model in jwt.llms.openai"


async def test_targets_that_a_rule_denies_are_taken_out_of_the_call() -> None:
    seen = Seen(GOOD, LARGE, SMALL)
    assert (await seen.ask(rules=[ENTITLED])).status == 200
    assert seen.exchange.call is not None
    assert seen.exchange.call.candidates == (SMALL,)
    assert seen.permitted == [SMALL]


@pytest.mark.parametrize("when", [LAB, "false", "llm.streaming || true", "request.method == 'POST'"])
def test_what_the_exchange_permits_does_not_hold_the_exchange(when: str) -> None:
    layer = PolicyMiddleware(unreachable, rules=[when])
    scope, exchange = Exchange.enter(http_scope("POST", "/v1/messages"))
    exchange.identity = Identity(subject="alice", provider="idp", claims=GOOD)
    exchange.call = Call(decode_messages(BODY), (SMALL,))
    gc.disable()
    try:
        layer.decide(scope, exchange)
        permits, held = exchange.permits, weakref.ref(exchange)
        del scope, exchange
        assert held() is None
    finally:
        gc.enable()
    assert permits is not None
    assert permits(SMALL) is (when != "false")


async def test_no_target_left_is_a_403_that_names_the_model() -> None:
    reply = await Seen(GOOD, LARGE).ask(rules=[ENTITLED])
    assert reply.status == 403
    assert reply.json()["error"]["message"] == (
        "authorization failed: the rules of this gateway do not allow this model; choose another, or ask the operator "
        "of the gateway (model: claude-opus-5)"
    )


async def test_a_denied_model_may_be_told_as_a_400() -> None:
    reply = await Seen(GOOD, LARGE).ask(rules=[ENTITLED], denied_model_status=400)
    assert (reply.status, reply.json()["error"]["type"]) == (400, "invalid_request_error")


async def test_a_rule_over_the_model_denies_where_nobody_has_resolved_it() -> None:
    assert (await Seen(GOOD).ask(rules=[ENTITLED])).status == 403


async def test_a_list_of_models_is_left_to_be_decided_per_model() -> None:
    seen = Seen(GOOD)
    assert (await seen.ask("GET", rules=[ENTITLED])).status == 200
    assert seen.permitted == [SMALL]


async def test_the_caller_is_told_the_rules_reason_and_the_log_its_name() -> None:
    seen = Seen({**GOOD, "team": "marketing"})
    reply = await seen.ask(rules=[rule("require", LAB, reason="only the data platform")])
    assert reply.json()["error"] == {"type": "permission_error", "message": "only the data platform"}
    assert seen.exchange.decision is not None
    assert (seen.exchange.decision.allowed, seen.exchange.decision.rule) == (False, "require it")
    assert (seen.exchange.outcome, seen.exchange.reason) == ("refused", "Authorization")
    assert "marketing" not in reply.body.decode() + seen.exchange.detail


async def test_a_missing_claim_is_named_but_no_value() -> None:
    seen = Seen({"org": "acme"})
    await seen.ask(rules=[rule("require", LAB)])
    assert seen.exchange.decision is not None
    assert seen.exchange.decision.missing == "jwt.team"


async def test_a_dry_run_is_in_the_decision() -> None:
    seen = Seen(GOOD)
    await seen.ask(rules=[LAB, rule("deny", "true", mode="dry_run")])
    assert seen.exchange.decision is not None
    assert seen.exchange.decision.dry_run == ("deny it",)


async def test_a_subject_can_be_locked_out(tmp_path: Any) -> None:
    file = tmp_path / "locked"
    file.write_text("mallory\nalice\n")
    assert (await Seen(GOOD).ask(rules=[LAB], deny_subjects=file)).status == 403
    file.write_text("mallory\n")
    assert (await Seen(GOOD).ask(rules=[LAB], deny_subjects=file)).status == 200


@pytest.mark.parametrize(
    ("rules", "path"),
    [
        ([], ""),
        (["jtw.team == 'x'"], "rules[0]"),
        (["jwt.team = 'x'"], "rules[0]"),
        ([LAB, "llm.requestmodel == 'x'"], "rules[1]"),
        ([LAB, "1"], "rules[1]"),
        ([{"when": LAB, "action": "permit"}], "rules[0].action"),
        ([{"wen": LAB}], "rules[0].wen"),
        ([Rule("a", LAB), Rule("a", LAB)], "rules[1].name"),
    ],
    ids=["none", "unknown variable", "syntax", "unknown field", "no bool", "action", "key", "two of one name"],
)
def test_a_rule_that_cannot_work_is_refused_at_start(rules: Any, path: str) -> None:
    with pytest.raises(SettingsError) as caught:
        PolicyMiddleware(Seen({})._app, rules=rules)
    assert caught.value.path.startswith(path)


def test_a_misspelt_variable_gets_a_caret_and_a_suggestion() -> None:
    with pytest.raises(SettingsError) as caught:
        PolicyMiddleware(Seen({})._app, rules=["jtw.team == 'x'"])
    assert "^" in str(caught.value)
    assert "jwt" in str(caught.value).replace("jtw", "")
