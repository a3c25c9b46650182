"""Test tables of rules: how a row is read, what request it stands for, and what is said of one that fails."""

from __future__ import annotations

from typing import Any

import pytest

from asgi_llmgate import Exchange, PolicyMiddleware, SettingsError
from asgi_llmgate.errors import InternalError, NotFound
from asgi_llmgate.exchange_values import Decision, Target
from asgi_llmgate.policy.cases import Case, TestRequest, decide, read_case, read_rows

PEOPLE = {"alice": {"sub": "alice", "iss": "https://idp.test", "org": "acme"}}


async def unreachable(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError


def layer(*rules: Any) -> PolicyMiddleware:
    return PolicyMiddleware(unreachable, rules=list(rules))


def read(document: Any) -> list[Case]:
    return [read_case(row) for row in read_rows(document)]


def rows(*tests: Any) -> list[Case]:
    return read({"claims": PEOPLE, "tests": list(tests)})


def test_a_row_is_read_with_its_claims_by_name_or_in_place() -> None:
    first, second, third = rows(
        {"given": {"claims": "alice"}, "expect": "allow"},
        {"name": "own", "given": {"claims": {"org": "x"}}, "expect": "deny", "rule": "team"},
        {"expect": {"decision": "deny", "rule": "other"}},
    )
    assert first == Case("test 1", TestRequest(claims=PEOPLE["alice"]), True, None)
    assert second == Case("own", TestRequest(claims={"org": "x"}), False, "team")
    assert third == Case("test 3", TestRequest(), False, "other")


@pytest.mark.parametrize(
    ("document", "path", "message"),
    [
        ([], "tests", "a list of tests is expected"),
        ({"tests": {}}, "tests", "a list of tests is expected"),
        ({"tests": ["x"]}, "tests[0]", "a mapping is expected"),
        ({"tests": [{"expcet": "allow"}]}, "tests[0].expcet", "unknown key"),
        ({"tests": [{"given": {"claim": {}}}]}, "tests[0].given.claim", "unknown key"),
        ({"tests": [{"given": {"claims": "bob"}}]}, "tests[0].given.claims", "no claims are named 'bob'"),
        ({"tests": [{"given": {"request": {"verb": "GET"}}}]}, "tests[0].given.request.verb", "unknown key"),
        ({"tests": [{"given": {"llm": {"tokens": 1}}}]}, "tests[0].given.llm.tokens", "unknown key"),
        ({"tests": [{}]}, "tests[0].expect", "a mapping is expected"),
        ({"tests": [{"expect": {"decision": "allow", "by": "x"}}]}, "tests[0].expect.by", "unknown key"),
        ({"tests": [{"expect": "maybe"}]}, "tests[0].expect", "allow or deny is expected"),
    ],
)
def test_a_document_that_cannot_be_read_says_where(document: Any, path: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        read(document)
    assert caught.value.path == path


REQUEST = {"method": "PUT", "path": "/x", "headers": {"X-Team": "a"}, "query": "a=b", "clientIp": "10.0.0.1"}


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        (
            TestRequest(),
            'request.method == "GET" && request.path == "/" && request.query == "" && source.address == ""',
        ),
        (TestRequest(llm={}), 'request.method == "POST" && request.path == "/v1/messages"'),
        (TestRequest(request=REQUEST), 'request.method == "PUT" && request.path == "/x" && request.query == "a=b"'),
        (TestRequest(request=REQUEST), 'request.headers["x-team"] == "a" && source.address == "10.0.0.1"'),
        (TestRequest(claims=PEOPLE["alice"]), 'jwt.org == "acme" && identity.subject == "alice"'),
        (TestRequest(claims=PEOPLE["alice"]), 'identity.issuer == "https://idp.test" && identity.provider == "test"'),
        (
            TestRequest(llm={}),
            'llm.requestModel == "" && !llm.streaming && llm.maxTokens == 1024 && llm.messageCount == 1'
            " && !llm.hasImages && llm.inputTokensEstimate == 0 && llm.toolNames == []",
        ),
        (
            TestRequest(llm={"requestModel": "m", "streaming": True, "maxTokens": 7, "toolNames": ["Bash"]}),
            'llm.requestModel == "m" && llm.streaming && llm.maxTokens == 7 && llm.toolNames == ["Bash"]',
        ),
        (
            TestRequest(llm={"messageCount": 3, "hasImages": True, "inputTokensEstimate": 9}),
            "llm.messageCount == 3 && llm.hasImages && llm.inputTokensEstimate == 9",
        ),
        (
            TestRequest(llm={"sessionId": "s", "agentId": "a", "requestClass": "safety"}),
            'llm.sessionId == "s" && llm.agentId == "a" && llm.requestClass == "safety"',
        ),
        (
            TestRequest(llm={"model": "m", "provider": "p", "backend": "b"}),
            'llm.model == "m" && llm.provider == "p" && llm.backend == "b"',
        ),
    ],
)
def test_rules_see_what_is_given(given: TestRequest, rule: str) -> None:
    assert decide(layer(rule), given).allowed


def test_the_model_table_gives_the_targets_unless_one_is_given() -> None:
    asked = []

    def targets(model: str, scope: Any, exchange: Exchange) -> tuple[Target, ...]:
        asked.append(model)
        return (Target("vllm", "on-prem", "qwen3"),)

    rule = layer('llm.model == "qwen3"')
    assert decide(rule, TestRequest(llm={"requestModel": "claude"}), targets).allowed
    assert not decide(rule, TestRequest(llm={"requestModel": "claude", "backend": "vllm"}), targets).allowed
    assert set(asked) == {"claude"}


@pytest.mark.parametrize(
    ("allowed", "rule", "said"),
    [
        (False, None, ""),
        (False, "rule 1", ""),
        (False, "team", "t: expected deny by 'team', got deny by 'rule 1', jwt.org is missing"),
        (True, None, "t: expected allow, got deny by 'rule 1', jwt.org is missing"),
    ],
)
def test_a_case_that_fails_says_what_was_expected(allowed: bool, rule: str | None, said: str) -> None:
    assert Case("t", TestRequest(), allowed, rule).run(layer('jwt.org == "acme"')) == said


def test_a_case_without_a_target_says_so() -> None:
    def none(model: str, scope: Any, exchange: Exchange) -> tuple[Target, ...]:
        raise NotFound("no model is named 'x'")

    assert (
        Case("t", TestRequest(llm={"requestModel": "x"}), True, None).run(layer("true"), none)
        == "t: no model is named 'x'"
    )


def test_an_early_denial_of_what_is_allowed_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(layer: PolicyMiddleware, scope: Any, exchange: Exchange) -> None:
        exchange.decision = Decision(False, "rule 1")

    monkeypatch.setattr(PolicyMiddleware, "decide_before_body", wrong)
    with pytest.raises(InternalError, match="'rule 1' denies a request early"):
        decide(layer("true"), TestRequest())
