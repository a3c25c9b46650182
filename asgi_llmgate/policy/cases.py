"""Table tests of rules: what is given, what is expected.

    claims:
      alice: {org: acme, team: data-platform}
    tests:
      - name: the platform team may
        given: {claims: alice, llm: {requestModel: claude-opus-5-5, model: gpt-4o-mini}}
        expect: allow
      - name: marketing may not
        given: {claims: {org: acme, team: marketing}}
        expect: {decision: deny, rule: team}

`given.request` takes method, path, headers, query, clientIp; `given.llm` the names of the variable `llm`.  With a call
but without `model`, `provider` and `backend` the targets are those that the model table has for `requestModel`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from asgi_llmgate._types import Scope
from asgi_llmgate.cel.errors import suggestion
from asgi_llmgate.errors import GateError, InternalError, SettingsError
from asgi_llmgate.exchange import Call, Decision, Exchange, Identity, Target
from asgi_llmgate.policy.middleware import PolicyMiddleware

Targets = Callable[[str, Scope, Exchange], tuple[Target, ...]]
"""From an asked name and the request to the targets, as the model table has them."""

_TARGET = ("model", "provider", "backend")


@dataclass(frozen=True, slots=True)
class Asked:
    """The call of a test: what a body would say."""

    model: str = ""
    stream: bool = False
    max_tokens: int = 1024
    temperature: float | None = None
    tool_names: tuple[str, ...] = ()
    message_count: int = 1
    has_images: bool = False
    input_tokens_estimate: int = 0


_ASKED = {
    "requestModel": "model",
    "streaming": "stream",
    "maxTokens": "max_tokens",
    "toolNames": "tool_names",
    "messageCount": "message_count",
    "hasImages": "has_images",
    "inputTokensEstimate": "input_tokens_estimate",
}
_CALL = {"sessionId": "session_id", "agentId": "agent_id", "requestClass": "request_class"}


@dataclass(frozen=True, slots=True)
class Given:
    """A request as a test describes it."""

    claims: Mapping[str, Any] = field(default_factory=dict)
    request: Mapping[str, Any] = field(default_factory=dict)
    llm: Mapping[str, Any] | None = None

    def enter(self, targets: Targets | None = None) -> tuple[dict[str, Any], Exchange]:
        """The scope and the exchange that the request would have when it comes to the rules."""
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
            self._call(self.llm, entered, exchange, targets)
        return dict(entered), exchange

    def _call(self, llm: Mapping[str, Any], scope: Any, exchange: Exchange, targets: Targets | None) -> None:
        asked = Asked(**{_ASKED[name]: value for name, value in llm.items() if name in _ASKED})
        said = {_CALL[name]: value for name, value in llm.items() if name in _CALL}
        call = exchange.call = Call(asked, (), **said)
        if targets is None or any(name in llm for name in _TARGET):
            call.candidates = (Target(**{name: llm.get(name, "") for name in _TARGET}),)
        else:
            call.candidates = targets(asked.model, scope, exchange)


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table.  `rule` None: whichever decides."""

    name: str
    given: Given
    allowed: bool
    rule: str | None

    def run(self, policy: PolicyMiddleware, targets: Targets | None = None) -> str:
        """What is wrong, in a line; nothing when it came as expected."""
        try:
            decision = decide(policy, self.given, targets)
        except GateError as error:
            return f"{self.name}: {error.message}"
        if decision.allowed == self.allowed and self.rule in (None, decision.rule):
            return ""
        wanted = _shown(self.allowed, self.rule or "")
        missing = f", {decision.missing} is missing" if decision.missing else ""
        return f"{self.name}: expected {wanted}, got {_shown(decision.allowed, decision.rule)}{missing}"


def decide(policy: PolicyMiddleware, given: Given, targets: Targets | None = None) -> Decision:
    """What the rules say of a request.

    Raises NotFound where the model table has nothing for it, and InternalError if it would be denied before its body is
    read and allowed with it.
    """
    scope, exchange = given.enter(targets)
    policy.decide(scope, exchange)
    assert exchange.decision is not None
    early = decide_before_body(policy, given, targets)
    if early is not None and exchange.decision.allowed:
        raise InternalError(f"{early.rule!r} denies before the body is read what is allowed with it: please report it")
    return exchange.decision


def decide_before_body(policy: PolicyMiddleware, given: Given, targets: Targets | None = None) -> Decision | None:
    """The denial that needs nothing of the body; None where the body is read."""
    scope, exchange = given.enter(targets)
    exchange.call = None
    policy.decide_before_body(scope, exchange)
    return exchange.decision


def read_cases(document: Any) -> Iterator[Case]:
    """The rows of a test file.  Raises SettingsError with the place (`tests[3].given.claims`)."""
    if not isinstance(document, Mapping) or not isinstance(document.get("tests"), list):
        raise SettingsError("a list of tests is expected", path="tests")
    people = document.get("claims", {})
    for index, row in enumerate(document["tests"]):
        yield _case(row, people, f"tests[{index}]", f"test {index + 1}")


def _case(row: Any, people: Mapping[str, Any], path: str, name: str) -> Case:
    _known(row, ("name", "given", "expect", "rule"), path)
    given = row.get("given", {})
    _known(given, ("claims", "request", "llm"), f"{path}.given")
    claims = given.get("claims", {})
    if isinstance(claims, str):
        if claims not in people:
            raise SettingsError(
                f"no claims are named {claims!r}{suggestion(claims, people)}", path=f"{path}.given.claims"
            )
        claims = people[claims]
    request, llm = given.get("request", {}), given.get("llm")
    _known(request, ("method", "path", "headers", "query", "clientIp"), f"{path}.given.request")
    _known({} if llm is None else llm, (*_ASKED, *_CALL, *_TARGET), f"{path}.given.llm")
    expect = row.get("expect")
    if isinstance(expect, str):
        expect = {"decision": expect, "rule": row.get("rule")}
    _known(expect, ("decision", "rule"), f"{path}.expect")
    if expect.get("decision") not in ("allow", "deny"):
        raise SettingsError("allow or deny is expected", path=f"{path}.expect")
    allowed = expect["decision"] == "allow"
    return Case(row.get("name", name), Given(claims, request, llm), allowed, expect.get("rule"))


def _known(value: Any, keys: tuple[str, ...], path: str) -> None:
    if not isinstance(value, Mapping):
        raise SettingsError("a mapping is expected", path=path)
    for key in value:
        if key not in keys:
            raise SettingsError(f"unknown key{suggestion(str(key), keys)}", path=f"{path}.{key}")


def _shown(allowed: bool, rule: str) -> str:
    return ("allow" if allowed else "deny") + (f" by {rule!r}" if rule else "")
