"""The layer with several rules, several targets, no call, no HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import pytest

from asgi_llmgate import Exchange, Identity, PolicyMiddleware
from asgi_llmgate.exchange_values import Call, Target
from asgi_llmgate.protocol.messages.request import decode_messages
from asgi_llmgate.testing.driver import http_scope

BODY = b'{"model":"claude-opus-5-5","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}'
CLOUD, HOUSE, LAB = (
    Target("openai", "openai", "gpt-4o-mini"),
    Target("vllm", "on-prem", "qwen3"),
    Target("lab", "on-prem", "x"),
)
ALICE = {"org": "acme", "team": "data", "llms": {"openai": ["gpt-4o-mini"]}}


async def unreachable(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError


def decide(
    rules: Sequence[Any],
    *targets: Target,
    claims: dict[str, Any] | None = None,
    method: str = "POST",
    path: str = "/v1/messages",
    headers: Any = (),
    **options: Any,
) -> tuple[Exchange, str]:
    """The exchange after the decision, and the refusal's message."""
    layer = PolicyMiddleware(unreachable, rules=rules, **options)
    scope, exchange = Exchange.enter(http_scope(method, path, headers=headers))
    exchange.identity = Identity("alice", "i", "idp", ALICE if claims is None else claims)
    if targets:
        exchange.call = Call(decode_messages(BODY), targets)
    refusal = layer.decide(scope, exchange)
    return exchange, refusal.message if refusal is not None else ""


def rule(name: str, action: str, when: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "action": action, "when": when, **more}


CANDIDATES = [
    ("all that the rule allows, in their order", ["llm.provider == 'on-prem'"], (CLOUD, HOUSE, LAB), (HOUSE, LAB)),
    ("a deny rule takes out", [rule("d", "deny", "llm.backend == 'vllm'"), "true"], (HOUSE, LAB), (LAB,)),
    ("a require rule takes out", [rule("r", "require", "llm.model != 'x'"), "true"], (LAB, HOUSE), (HOUSE,)),
    (
        "an allow rule on the caller keeps all",
        ["jwt.org == 'acme'", "llm.backend == 'lab'"],
        (CLOUD, HOUSE),
        (CLOUD, HOUSE),
    ),
    ("an error takes out", [rule("d", "deny", "llm.model in jwt.banned"), "true"], (CLOUD, HOUSE), ()),
    (
        "a rule on the asked name keeps or takes all",
        ["llm.requestModel.startsWith('claude-')"],
        (CLOUD, HOUSE),
        (CLOUD, HOUSE),
    ),
    (
        "a dry rule takes out nothing",
        ["true", rule("d", "deny", "llm.backend == 'vllm'", mode="dry_run")],
        (HOUSE,),
        (HOUSE,),
    ),
    (
        "the same model elsewhere is another target",
        ["llm.backend == 'openai' && llm.model in jwt.llms.openai"],
        (Target("mirror", "openai", "gpt-4o-mini"), CLOUD),
        (CLOUD,),
    ),
]


@pytest.mark.parametrize(
    ("rules", "targets", "left"), [row[1:] for row in CANDIDATES], ids=[row[0] for row in CANDIDATES]
)
def test_the_candidates_that_are_left(rules: Any, targets: tuple[Target, ...], left: tuple[Target, ...]) -> None:
    exchange, message = decide(rules, *targets)
    assert exchange.call is not None
    assert exchange.decision is not None
    assert exchange.call.candidates == left
    assert exchange.decision.allowed == bool(left) == (message == "")


@pytest.mark.parametrize(
    ("rules", "claims", "message"),
    [
        (
            ["jwt.team == 'data' && llm.model in jwt.llms.openai"],
            ALICE,
            "authorization failed (model: claude-opus-5-5)",
        ),
        (["jwt.team == 'data' && llm.model in jwt.llms.openai"], {**ALICE, "team": "x"}, "authorization failed"),
        (["jwt.team == 'data'"], {}, "authorization failed"),
        (
            [rule("r", "require", "llm.model == 'z'", reason="Ask for it.")],
            ALICE,
            "Ask for it. (model: claude-opus-5-5)",
        ),
        ([rule("r", "require", "jwt.mfa", reason="Log in again."), "true"], ALICE, "Log in again."),
    ],
)
def test_another_model_is_hinted_at_only_where_the_rules_may_allow_one(rules: Any, claims: Any, message: str) -> None:
    assert decide(rules, HOUSE, claims=claims)[1] == message


DECIDING = [
    ("deny is named before require", [rule("r", "require", "false"), rule("d", "deny", "true")], "d", False),
    ("require before allow", ["true", rule("r", "require", "false")], "r", False),
    (
        "the first of several allow rules that fail",
        [rule("a", "allow", "false"), rule("b", "allow", "jwt.x")],
        "a",
        False,
    ),
    ("the allow rule that held", [rule("a", "allow", "false"), rule("b", "allow", "true")], "b", True),
    ("nothing where there is no allow rule", [rule("r", "require", "true")], "", True),
    ("any of an allow rule's expressions", [rule("a", "allow", ["false", "jwt.x", "true"])], "a", True),
    ("all of a require rule's expressions", [rule("r", "require", ["true", "false"])], "r", False),
    ("an error among a require rule's expressions", [rule("r", "require", ["true", "jwt.x"])], "r", False),
    ("any of a deny rule's expressions", [rule("d", "deny", ["false", "true"]), "true"], "d", False),
    ("an error among a deny rule's expressions", [rule("d", "deny", ["false", "jwt.x"]), "true"], "d", False),
    ("a deny rule that is no bool", [rule("d", "deny", "jwt.org"), "true"], "d", False),
]


@pytest.mark.parametrize(("rules", "name", "allowed"), [row[1:] for row in DECIDING], ids=[row[0] for row in DECIDING])
def test_the_deciding_rule_is_named(rules: Any, name: str, allowed: bool) -> None:
    exchange, _ = decide(rules)
    assert exchange.decision is not None
    assert (exchange.decision.rule, exchange.decision.allowed) == (name, allowed)


DRY = {"mode": "dry_run"}


@pytest.mark.parametrize(
    ("rules", "dry_run"),
    [
        (["true", rule("d", "deny", "true", **DRY), rule("r", "require", "false", **DRY)], ("d", "r")),
        (["true", rule("d", "deny", "jwt.x", **DRY)], ("d",)),
        (["true", rule("d", "deny", "false", **DRY), rule("r", "require", "true", **DRY)], ()),
        (["true", rule("c", "deny", "llm.backend == 'vllm'", **DRY)], ("c",)),
        (["false", rule("d", "deny", "true", **DRY)], ("d",)),
    ],
    ids=["would deny", "cannot be evaluated", "would let through", "one of two targets", "beside a real denial"],
)
def test_a_dry_rule_is_in_the_decision_when_it_would_deny(rules: Any, dry_run: tuple[str, ...]) -> None:
    exchange, _ = decide(rules, CLOUD, HOUSE)
    assert exchange.decision is not None
    assert exchange.decision.dry_run == dry_run


GET = [
    ("the caller alone decides against", ["jwt.team == 'x' && llm.model == 'y'"], False),
    ("the model may decide for", ["jwt.team == 'data' && llm.model == 'y'"], True),
    ("a require rule on the model waits", [rule("r", "require", "llm.model == 'y'")], True),
    ("a deny rule on the model waits", [rule("d", "deny", "llm.model == 'y'"), "true"], True),
    ("a deny rule on the caller does not", [rule("d", "deny", "jwt.org == 'acme' || llm.model == 'y'"), "true"], False),
    ("what the body would say waits", ["llm.maxTokens < 100"], True),
    ("a missing claim does not", ["jwt.missing == 'x' && llm.model == 'y'"], False),
    ("a missing claim that the model may make up for", ["jwt.missing == 'x' || llm.model == 'y'"], True),
    ("one of several expressions may hold", [rule("a", "allow", ["jwt.missing", "llm.model == 'y'"])], True),
]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(("rules", "allowed"), [row[1:] for row in GET], ids=[row[0] for row in GET])
def test_without_a_call_only_what_is_certain_decides(method: str, rules: Any, allowed: bool) -> None:
    exchange, _ = decide(rules, method=method, path="/v1/models")
    assert exchange.decision is not None
    assert exchange.decision.allowed is allowed


@pytest.mark.parametrize("claims", [ALICE, {"org": "acme"}], ids=["entitled", "no claim"])
def test_each_listed_model_is_decided_by_the_rules(claims: dict[str, Any]) -> None:
    exchange, _ = decide(["llm.model in jwt.llms.openai"], method="GET", path="/v1/models", claims=claims)
    assert exchange.permits is not None
    assert exchange.permits(CLOUD) is ("llms" in claims)
    assert exchange.permits(HOUSE) is False


def test_who_is_refused_is_permitted_nothing() -> None:
    exchange, _ = decide(["false"], CLOUD)
    assert exchange.permits is not None
    assert exchange.permits(CLOUD) is False


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "QUERY", "get", ""])
def test_a_rule_over_the_call_denies_where_nobody_resolved_it_and_says_once_why(
    method: str, caplog: pytest.LogCaptureFixture
) -> None:
    layer = PolicyMiddleware(unreachable, rules=["llm.model == 'x'"])
    for _ in range(2):
        scope, exchange = Exchange.enter(http_scope(method))
        assert layer.decide(scope, exchange) is not None
    assert [record.message for record in caplog.records] == [
        "a rule reads llm.model, and the request is not a call to a model: is ResolveMiddleware missing?"
    ]


@pytest.mark.parametrize(
    "headers",
    [
        [("x-http-method-override", "GET")],
        [("X-Team", "data"), ("x-team", "evil")],
        [("x-original-url", "/healthz"), ("x-rewrite-url", "/healthz")],
    ],
    ids=["method override", "a header twice", "rewritten path"],
)
def test_no_header_changes_what_is_decided(headers: Any) -> None:
    rules = ["request.method == 'POST' && request.path == '/v1/messages' && jwt.team == 'x'"]
    assert decide([*rules, "request.headers['x-team'] == 'data'"], headers=headers)[1] == "authorization failed"


@pytest.mark.parametrize(
    "path", ["/v1/messages", "/v1/messages/", "/V1/MESSAGES", "//v1/messages", "/v1/./messages", "/x"]
)
@pytest.mark.parametrize("action", ["allow", "require"])
def test_no_spelling_of_the_path_gets_past_a_rule_that_says_who(path: str, action: Literal["allow", "require"]) -> None:
    assert decide([rule("r", action, "jwt.team == 'x'")], path=path)[1] == "authorization failed"


async def test_a_websocket_is_decided_too() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    scope = {"type": "websocket", "path": "/ws", "headers": []}
    await PolicyMiddleware(unreachable, rules=["jwt.team == 'x'"])(scope, receive, send)
    assert [message["type"] for message in sent] == ["websocket.close"]


async def test_a_lifespan_passes() -> None:
    passed: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        passed.append(scope["type"])

    await PolicyMiddleware(app, rules=["false"])({"type": "lifespan"}, None, None)  # type: ignore[arg-type]
    assert passed == ["lifespan"]


def test_the_reference_engine_decides_the_same(caplog: pytest.LogCaptureFixture) -> None:
    rules = ["jwt.org == 'acme' && jwt.team == 'data' && llm.model in jwt.llms.openai"]
    for engine in ("strict", "celpy"):
        exchange, message = decide(rules, HOUSE, CLOUD, engine=engine)
        assert exchange.call is not None
        assert (exchange.call.candidates, message) == ((CLOUD,), "")
        assert decide(rules, HOUSE, CLOUD, engine=engine, claims={"org": "acme"})[1].startswith("authorization failed")


@pytest.mark.parametrize(
    "when",
    ["jwt.team + 1 == 2", "jwt.team.nothing == 'x'", "jwt[jwt.team] == 'x'", "jwt.team == 'x'", "!jwt.team"],
)
def test_no_claim_is_in_what_is_said_or_logged(when: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    exchange, message = decide([when], claims={"team": "alice@example.com"})
    assert "alice@" not in f"{message} {exchange.decision} {exchange.detail} {caplog.text}"


def test_without_a_call_a_target_is_permitted_unless_it_is_denied_whatever_a_call_says() -> None:
    exchange, refusal = decide(["llm.maxTokens <= 64 && llm.model in jwt.llms.openai"], method="GET", path="/v1/models")
    assert refusal == ""
    assert exchange.permits is not None
    assert [exchange.permits(target) for target in (CLOUD, HOUSE)] == [True, False]
