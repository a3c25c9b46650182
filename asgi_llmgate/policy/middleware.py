"""ASGI middleware that applies the policy: a 403 with the rule's reason, or the request with the allowed targets."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from asgi_llmgate._types import ASGIApp, Receive, Scope, Send
from asgi_llmgate.asgi import refuse
from asgi_llmgate.errors import ModelDenied, NotAuthorized, SettingsError
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.exchange_values import Call, Decision, Identity, Target
from asgi_llmgate.mistakes import Mistakes
from asgi_llmgate.policy.caller_decisions import Allowed, CallerDecisions
from asgi_llmgate.policy.compiled_rules import Denial, RulesResult
from asgi_llmgate.policy.evaluation import Engine, Policy
from asgi_llmgate.policy.rules import Rule
from asgi_llmgate.rule_variables import (
    LIST_CLAIMS,
    NO_VARIABLES,
    CallerVariables,
    RuleVariables,
    Variable,
    read_env,
    variables_of,
)

if TYPE_CHECKING:
    from asgi_llmgate.policy.denied_subjects import DeniedSubjects

log = logging.getLogger("llmgate")

# Methods without a body (RFC 9110 section 9.2.1): a request with one of these can be allowed without a call.
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_FAILED = "authorization failed"
# Claude Code puts "Please run /login" before the text of a 403, which signs in to another service.
_NOTHING = (
    "the rules of this gateway do not allow this request, and /login does not help; ask the operator of the gateway"
)
_NOT_THIS_MODEL = (
    "the rules of this gateway do not allow this model; choose another, or ask the operator of the gateway"
)
_DENIED_SUBJECT = Rule("deny_subjects", "", "deny")
_NO_TARGET = Rule("no target", "", "deny")


class PolicyMiddleware:
    """Allows or denies each request by the rules.

    Removes the targets that a rule denies from `exchange.call`; when none is left, the request is a 403.  Sets
    `exchange.decision`, and `exchange.permits`, a function that says whether this caller may use a target.

    A rule that reads `llm.*` needs a ResolveMiddleware before this layer; without it, a request with a body is denied.

    rules                the rules
    default              allow: requests pass when there is no rule; deny: at least one rule must be there
    engine               strict, or celpy for cel-python's own evaluation
    deny_subjects        a file with subjects that are denied without regard to the rules
    list_claims          claims that are always lists for rules, also when a token has a single text
    denied_model_status  400: that status instead of 403 for a denied model, if the caller may use others; some clients
                         log out on a 403
    env                  names of environment variables that rules may read
    variables            further variables for rules: name -> function of (exchange, scope)
    now                  monotonic seconds

    Raises SettingsError for rules that cannot be compiled, and without rules unless `default` is `allow`.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        rules: Sequence[str | Rule | Mapping[str, Any]] = (),
        default: Literal["deny", "allow"] = "deny",
        engine: Engine = "strict",
        deny_subjects: str | os.PathLike[str] | None = None,
        list_claims: Sequence[str] = LIST_CLAIMS,
        denied_model_status: Literal[403, 400] = 403,
        env: Iterable[str] = (),
        variables: Mapping[str, Variable] = NO_VARIABLES,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        if isinstance(list_claims, str):
            raise SettingsError("a list of names is expected", path="list_claims")
        self.app = app
        self._env = read_env(env := tuple(env))
        self._variables = variables
        mistakes = Mistakes()
        with mistakes.under():
            self.policy = Policy(rules, default=default, engine=engine, env=env, variables=variables)
        with mistakes.under():
            self._denied = _denied_subjects(deny_subjects, now)
        mistakes.raise_if_any()
        self._list_claims = tuple(list_claims)
        self._denied_model = ModelDenied if denied_model_status == 400 else NotAuthorized
        self._reported_unknown = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            scope, exchange = Exchange.enter(scope)
            refusal = self.decide(scope, exchange)
            if refusal is not None:
                return await refuse(scope, receive, send, refusal)
        return await self.app(scope, receive, send)

    def before_body(self, app: ASGIApp) -> ASGIApp:
        """A layer around `app` that refuses requests which would be denied with any body, before the body is read.

        Gateway puts it before the ResolveMiddleware.  PolicyMiddleware evaluates all rules again afterwards.
        """

        def refuse_early(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
            if scope["type"] in ("http", "websocket"):
                scope, exchange = Exchange.enter(scope)
                refusal = self.decide_before_body(scope, exchange)
                if refusal is not None:
                    return refuse(scope, receive, send, refusal)
            return app(scope, receive, send)

        return refuse_early

    def variables(self, scope: Scope, exchange: Exchange) -> RuleVariables:
        """The variables that the rules read."""
        return variables_of(scope, exchange, self._list_claims, self._env, self._variables)

    def decide_before_body(self, scope: Scope, exchange: Exchange) -> NotAuthorized | None:
        """The error, if `decide` would return one with any values of `llm.*`; else None, and no decision is written."""
        if self._denied is not None and exchange.identity.subject in self._denied:
            return self._refuse(exchange, Denial(_DENIED_SUBJECT))
        known = self._known(exchange.identity) if self.policy.by_caller_early else None
        if known is not None and known.before_body:
            return None
        variables = self.variables(scope, exchange)
        general = self.policy.evaluate(variables, call_unknown=True)
        result = general
        if result.denial is None:
            result = self.policy.evaluate_target(variables, general, call_unknown=True)
        if result.denial is not None:
            return self._write_decision(exchange, result, [general, result])
        if known is not None:
            known.before_body = True
        return None

    def decide(self, scope: Scope, exchange: Exchange) -> NotAuthorized | None:
        """Evaluate the rules and set `exchange.decision`.  Returns the error; None when the request may pass."""
        identity, call = exchange.identity, exchange.call
        if self._denied is not None and identity.subject in self._denied:
            return self._refuse(exchange, Denial(_DENIED_SUBJECT))
        known = self._known(identity) if call is not None and self.policy.by_caller else None
        if call is None or known is None:
            return self._decide(scope, exchange)
        candidates = call.candidates
        allowed = known.find(candidates)
        if allowed is not None:
            call.candidates, exchange.decision = allowed.left, allowed.decision
            exchange.permits = partial(self._permits_caller, identity)
            return None
        refusal = self._decide(scope, exchange)
        if refusal is None and exchange.decision is not None:
            known.keep(Allowed(candidates, call.candidates, exchange.decision))
        return refusal

    def _known(self, identity: Identity) -> CallerDecisions | None:
        """What has been decided about the caller; None for anonymous callers."""
        if not identity.provider:
            return None
        found: CallerDecisions | None = identity.cache.get(self)
        if found is None:
            found = identity.cache[self] = CallerDecisions()
        return found

    def _decide(self, scope: Scope, exchange: Exchange) -> NotAuthorized | None:
        variables = self.variables(scope, exchange)
        call_unknown = exchange.call is None and exchange.method in _SAFE
        general = self.policy.evaluate(variables, call_unknown=call_unknown)
        if general.denial is not None:
            return self._refuse(exchange, general.denial, general.dry_run)
        # Without a reference to the exchange: with that cycle the request's body would stay in memory.
        exchange.permits = partial(self._permits, variables, exchange.call is None)
        if not self.policy.per_target:
            exchange.decision = Decision(True, general.matched, dry_run=general.dry_run)
            return None
        if exchange.call is None:
            result = self.policy.evaluate_target(variables, general, call_unknown=call_unknown)
            return self._write_decision(exchange, result, [general, result])
        return self._decide_targets(exchange, exchange.call, variables, general)

    def _decide_targets(
        self, exchange: Exchange, call: Call, variables: RuleVariables, general: RulesResult
    ) -> NotAuthorized | None:
        """Keep the candidates that the rules allow.  The decision is that of the first of them."""
        results = [self.policy.evaluate_target(variables.about(target), general) for target in call.candidates]
        judged = list(zip(call.candidates, results, strict=True))
        call.candidates = tuple(target for target, result in judged if result.denial is None)
        if call.candidates:
            first = next(result for result in results if result.denial is None)
            return self._write_decision(exchange, first, [general, *results])
        # Could the caller get another model?  If not, the model in the request is not the reason.
        any_target = self.policy.evaluate_target(variables.about(None), general, call_unknown=True)
        refused = results[0] if results else RulesResult(Denial(_NO_TARGET))
        model = call.request.model if any_target.denial is None else ""
        return self._write_decision(exchange, refused, [general, *results], model)

    def _permits(self, variables: CallerVariables, call_unknown: bool, target: Target, name: str = "", /) -> bool:
        about = variables.about(target, name=name)
        general = self.policy.evaluate(about, call_unknown=call_unknown)
        if general.denial is not None:
            return False
        return self.policy.evaluate_target(about, general, call_unknown=call_unknown).denial is None

    def _permits_caller(self, identity: Identity, target: Target, name: str = "", /) -> bool:
        return self._permits(CallerVariables(identity, self._list_claims, self._env), False, target, name)

    def _write_decision(
        self, exchange: Exchange, result: RulesResult, results: Sequence[RulesResult], model: str = ""
    ) -> NotAuthorized | None:
        """Write the decision into the exchange.  `results` are all that led to it; their dry-run rules are recorded."""
        dry_run = tuple(dict.fromkeys([name for each in results for name in each.dry_run]))
        if result.denial is not None:
            return self._refuse(exchange, result.denial, dry_run, model)
        exchange.decision = Decision(True, result.matched, dry_run=dry_run)
        return None

    def _refuse(
        self, exchange: Exchange, denial: Denial, dry_run: tuple[str, ...] = (), model: str = ""
    ) -> NotAuthorized:
        """The error for a denial.  `model` is the requested one, if the rules may allow another; else ""."""
        exchange.permits = _permit_nothing
        exchange.decision = Decision(False, denial.rule.name, denial.missing, dry_run)
        if denial.error is not None and denial.error.kind == "unknown" and not self._reported_unknown:
            self._reported_unknown = True
            log.error(
                "a rule reads %s, and the request is not a call to a model: is ResolveMiddleware missing?",
                denial.missing,
            )
        reason = denial.rule.reason
        detail = f"rule {denial.rule.name!r}" + (f": {denial.error}" if denial.error is not None else "")
        if not model:
            return NotAuthorized(reason or _FAILED, client_message=reason or f"{_FAILED}: {_NOTHING}", detail=detail)
        about = f" (model: {model[:128]})"
        told = (reason or f"{_FAILED}: {_NOT_THIS_MODEL}") + about
        return self._denied_model((reason or _FAILED) + about, client_message=told, detail=detail)


def _denied_subjects(file: str | os.PathLike[str] | None, now: Callable[[], float]) -> DeniedSubjects | None:
    if file is None:
        return None
    from asgi_llmgate.policy.denied_subjects import DeniedSubjects  # few settings have the file

    return DeniedSubjects(file, now=now)


def _permit_nothing(target: Target, name: str = "", /) -> bool:
    return False
