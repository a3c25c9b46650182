"""Test cases for rules, read from a file: a request, and the expected decision.

    claims:
      alice: {org: acme, team: data-platform}
    tests:
      - name: the platform team may
        given: {claims: alice, llm: {requestModel: claude-opus-5-5, model: gpt-4o-mini}}
        expect: allow
      - name: marketing may not
        given: {claims: {org: acme, team: marketing}}
        expect: {decision: deny, rule: team}

`given.request` may have method, path, headers, query, clientIp; `given.llm` the names of the variable `llm`.  If it has
none of `model`, `provider` and `backend`, the targets are those of the model table for `requestModel`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from asgi_llmgate._types import Scope
from asgi_llmgate.cel.errors import suggestion
from asgi_llmgate.errors import GateError, InternalError, SettingsError
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.exchange_values import Call, Decision, Identity, Target
from asgi_llmgate.policy.middleware import PolicyMiddleware

Targets = Callable[[str, Scope, Exchange], tuple[Target, ...]]
"""The model table's targets for the requested name of a model."""

# Name in the variable `llm` -> field of Target.
_TARGET_FIELDS = {"model": "model", "provider": "vendor", "backend": "backend"}


@dataclass(frozen=True, slots=True)
class Asked:
    """The values that the body of a test's request would have (see exchange.RequestFeatures)."""

    model: str = ""
    stream: bool = False
    max_tokens: int = 1024
    temperature: float | None = None
    tool_names: tuple[str, ...] = ()
    message_count: int = 1
    has_images: bool = False
    input_tokens_estimate: int = 0
    request_class: str = ""


# Name in the variable `llm` -> field of Asked.
_ASKED_FIELDS = {
    "requestModel": "model",
    "streaming": "stream",
    "maxTokens": "max_tokens",
    "toolNames": "tool_names",
    "messageCount": "message_count",
    "hasImages": "has_images",
    "inputTokensEstimate": "input_tokens_estimate",
}
# Name in the variable `llm` -> field of exchange.Call.
_CALL_FIELDS = {"sessionId": "session_id", "agentId": "agent_id", "requestClass": "request_class"}


@dataclass(frozen=True, slots=True)
class TestRequest:
    """A request as a test case describes it."""

    __test__ = False  # not for pytest

    claims: Mapping[str, Any] = field(default_factory=dict)
    request: Mapping[str, Any] = field(default_factory=dict)
    llm: Mapping[str, Any] | None = None

    def make_exchange(self, targets: Targets | None = None) -> tuple[dict[str, Any], Exchange]:
        """The scope and the exchange that the request would have at the PolicyMiddleware."""
        request = self.request
        headers = request.get("headers", {})
        scope = {
            "type": "http",
            "method": request.get("method", "POST" if self.llm is not None else "GET"),
            "path": request.get("path", "/v1/messages" if self.llm is not None else "/"),
            "query_string": str(request.get("query", "")).encode(),
            "headers": [(name.lower().encode(), str(value).encode()) for name, value in headers.items()],
            "client": (request.get("clientIp", ""), 0),
        }
        entered, exchange = Exchange.enter(scope)
        claims = self.claims
        exchange.identity = Identity(str(claims.get("sub", "")), str(claims.get("iss", "")), "test", claims)
        if self.llm is not None:
            self._set_call(self.llm, entered, exchange, targets)
        return dict(entered), exchange

    def _set_call(self, llm: Mapping[str, Any], scope: Any, exchange: Exchange, targets: Targets | None) -> None:
        asked = Asked(**{_ASKED_FIELDS[name]: value for name, value in llm.items() if name in _ASKED_FIELDS})
        headers = {_CALL_FIELDS[name]: value for name, value in llm.items() if name in _CALL_FIELDS}
        call = exchange.call = Call(asked, (), **headers)
        if targets is None or any(name in llm for name in _TARGET_FIELDS):
            call.candidates = (Target(**{field: llm.get(name, "") for name, field in _TARGET_FIELDS.items()}),)
        else:
            call.candidates = targets(asked.model, scope, exchange)


@dataclass(frozen=True, slots=True)
class Case:
    """One test case.  `rule` is the name of the rule that must decide; None: any."""

    name: str
    given: TestRequest
    allowed: bool
    rule: str | None

    def run(self, policy: PolicyMiddleware, targets: Targets | None = None) -> str:
        """What is wrong, in one line; "" when the decision is as expected."""
        try:
            decision = decide(policy, self.given, targets)
        except GateError as error:
            return f"{self.name}: {error.message}"
        if decision.allowed == self.allowed and self.rule in (None, decision.rule):
            return ""
        expected = _format_decision(self.allowed, self.rule or "")
        missing = f", {decision.missing} is missing" if decision.missing else ""
        return f"{self.name}: expected {expected}, got {_format_decision(decision.allowed, decision.rule)}{missing}"


def decide(policy: PolicyMiddleware, request: TestRequest, targets: Targets | None = None) -> Decision:
    """The decision of the rules about a request.

    Raises NotFound when the model table has no target for it, and InternalError when it is denied before its body is
    read and allowed afterwards, which is a defect.
    """
    scope, exchange = request.make_exchange(targets)
    policy.decide(scope, exchange)
    assert exchange.decision is not None
    early = decide_before_body(policy, request, targets)
    if early is not None and exchange.decision.allowed:
        raise InternalError(f"{early.rule!r} denies a request early that is allowed with its body: please report this")
    return exchange.decision


def decide_before_body(
    policy: PolicyMiddleware, request: TestRequest, targets: Targets | None = None
) -> Decision | None:
    """The denial before the body is read; None if the request passes until then."""
    scope, exchange = request.make_exchange(targets)
    exchange.call = None
    policy.decide_before_body(scope, exchange)
    return exchange.decision


class Row(NamedTuple):
    """A test as it is written: `claims` are those that the file names, `path` is where it is, for errors."""

    written: Mapping[str, Any]
    claims: Mapping[str, Any]
    path: str
    name: str


def read_rows(document: Any) -> Iterator[Row]:
    """The tests of a file, as they are written.  Raises SettingsError."""
    if not isinstance(document, Mapping) or not isinstance(document.get("tests"), list):
        raise SettingsError("a list of tests is expected", path="tests")
    for index, written in enumerate(document["tests"]):
        path = f"tests[{index}]"
        check_keys(written, ("name", "given", "expect", "rule"), path)
        yield Row(written, document.get("claims", {}), path, written.get("name", f"test {index + 1}"))


def read_case(row: Row) -> Case:
    """One test case.  Raises SettingsError with the place (`tests[3].given.claims`)."""
    given = read_given(row)
    expect = read_expectation(row, "decision")
    if expect.get("decision") not in ("allow", "deny"):
        raise SettingsError("allow or deny is expected", path=f"{row.path}.expect")
    return Case(row.name, given, expect["decision"] == "allow", expect.get("rule"))


def read_given(row: Row, *more: str) -> TestRequest:
    """The request of a test, whose `given` may have `more` keys.  Raises SettingsError."""
    given, path = row.written.get("given", {}), f"{row.path}.given"
    check_keys(given, ("claims", "request", "llm", *more), path)
    claims = given.get("claims", {})
    if isinstance(claims, str):
        if claims not in row.claims:
            raise SettingsError(
                f"no claims are named {claims!r}{suggestion(claims, row.claims)}", path=f"{path}.claims"
            )
        claims = row.claims[claims]
    request, llm = given.get("request", {}), given.get("llm")
    check_keys(request, ("method", "path", "headers", "query", "clientIp"), f"{path}.request")
    check_keys({} if llm is None else llm, (*_ASKED_FIELDS, *_CALL_FIELDS, *_TARGET_FIELDS), f"{path}.llm")
    return TestRequest(claims, request, llm)


def read_expectation(row: Row, key: str) -> Mapping[str, Any]:
    """What a test expects: a text stands for the value of `key`.  Raises SettingsError."""
    expect: Any = row.written.get("expect")
    if isinstance(expect, str):
        expect = {key: expect, "rule": row.written.get("rule")}
    check_keys(expect, (key, "rule"), f"{row.path}.expect")
    found: Mapping[str, Any] = expect
    return found


def check_keys(value: Any, keys: tuple[str, ...], path: str) -> None:
    """Raises SettingsError unless the value is a mapping with no other keys."""
    if not isinstance(value, Mapping):
        raise SettingsError("a mapping is expected", path=path)
    for key in value:
        if key not in keys:
            raise SettingsError(f"unknown key{suggestion(str(key), keys)}", path=f"{path}.{key}")


def _format_decision(allowed: bool, rule: str) -> str:
    return ("allow" if allowed else "deny") + (f" by {rule!r}" if rule else "")
