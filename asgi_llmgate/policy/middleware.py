"""PolicyMiddleware: may they?  403 with the rule's reason, or on with the targets that the rules leave."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

from asgi_llmgate._types import ASGIApp, Receive, Scope, Send
from asgi_llmgate.asgi import refuse
from asgi_llmgate.errors import ModelDenied, NotAuthorized, SettingsError
from asgi_llmgate.exchange import Call, Decision, Exchange, Target
from asgi_llmgate.policy.denied_subjects import DeniedSubjects
from asgi_llmgate.policy.evaluation import Denial, Engine, Policy, Verdict
from asgi_llmgate.policy.rules import Rule
from asgi_llmgate.rule_variables import LIST_CLAIMS, RuleVariables, read_env, variables_of

log = logging.getLogger("llmgate")

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_LOCKED_OUT = Rule("deny_subjects", "", "deny")
_NO_TARGET = Rule("no target", "", "deny")


class PolicyMiddleware:
    """Decides each request by the rules, over what the layers before it have found out.

    Takes those targets out of `exchange.call` that a rule denies; none left is 403.  Sets `exchange.decision`, and
    `exchange.permits`, which says of any target whether this caller may have it.  A rule that reads `llm.*` needs a
    ResolveMiddleware before this layer, else a request with a body is denied.

    `deny_subjects` is a file of subjects who are refused whatever the rules say.  `list_claims` are claims that are
    lists even where a token has a lone string.  With `denied_model_status` 400 a caller to whom other models may be
    open gets that status instead of 403, on which some clients log out.  `env` names the variables of the environment
    that rules may read.

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
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        if isinstance(list_claims, str):
            raise SettingsError("a list of names is expected", path="list_claims")
        self.app = app
        self._env = read_env(env := tuple(env))
        self.policy = Policy(rules, default=default, engine=engine, env=env)
        self._denied = None if deny_subjects is None else DeniedSubjects(deny_subjects, now=now)
        self._list_claims = tuple(list_claims)
        self._denied_model = ModelDenied if denied_model_status == 400 else NotAuthorized
        self._told = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        scope, exchange = Exchange.enter(scope)
        try:
            refusal = self.decide(scope, exchange)
            if refusal is not None:
                return await refuse(scope, receive, send, refusal)
            await self.app(scope, receive, send)
        finally:
            exchange.permits = _nothing  # what stood there holds the exchange, and with it the request's body

    def before_body(self, app: ASGIApp) -> ASGIApp:
        """A layer around `app` that refuses who is denied whatever the body says, so that nobody reads it for nothing.

        Gateway puts it in front of the ResolveMiddleware; this layer decides all the same.
        """

        async def by_claims(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] in ("http", "websocket"):
                scope, exchange = Exchange.enter(scope)
                refusal = self.decide_before_body(scope, exchange)
                if refusal is not None:
                    await refuse(scope, receive, send, refusal)
                    return
            await app(scope, receive, send)

        return by_claims

    def facts(self, scope: Scope, exchange: Exchange) -> RuleVariables:
        """The variables that the rules read."""
        return variables_of(scope, exchange, self._list_claims, self._env)

    def decide_before_body(self, scope: Scope, exchange: Exchange) -> NotAuthorized | None:
        """The error, if `decide` will have one whatever `llm.*` turns out to be; only then it is written down."""
        if self._denied is not None and exchange.identity.subject in self._denied:
            return self._refuse(exchange, Denial(_LOCKED_OUT))
        facts = self.facts(scope, exchange)
        general = self.policy.judge(facts, lenient=True)
        verdict = general if general.denial is not None else self.policy.judge_target(facts, general, lenient=True)
        return self._settle(exchange, verdict, [general, verdict]) if verdict.denial is not None else None

    def decide(self, scope: Scope, exchange: Exchange) -> NotAuthorized | None:
        """Decide, and write the decision into the exchange.  The error to refuse with, or None to go on."""
        if self._denied is not None and exchange.identity.subject in self._denied:
            return self._refuse(exchange, Denial(_LOCKED_OUT))
        facts = self.facts(scope, exchange)
        lenient = exchange.call is None and exchange.method in _SAFE
        general = self.policy.judge(facts, lenient=lenient)
        if general.denial is not None:
            return self._refuse(exchange, general.denial, general.dry_run)
        exchange.permits = partial(self._permits, facts, exchange)
        if not self.policy.per_target:
            exchange.decision = Decision(True, general.matched, dry_run=general.dry_run)
            return None
        if exchange.call is None:
            verdict = self.policy.judge_target(facts, general, lenient=lenient)
            return self._settle(exchange, verdict, [general, verdict])
        return self._narrow(exchange, exchange.call, facts, general)

    def _narrow(self, exchange: Exchange, call: Call, facts: RuleVariables, general: Verdict) -> NotAuthorized | None:
        """Keep the candidates that the rules leave; the first of them is named in the decision."""
        verdicts = [self.policy.judge_target(facts.about(target), general) for target in call.candidates]
        judged = list(zip(call.candidates, verdicts, strict=True))
        call.candidates = tuple(target for target, verdict in judged if verdict.denial is None)
        if call.candidates:
            first = next(verdict for verdict in verdicts if verdict.denial is None)
            return self._settle(exchange, first, [general, *verdicts])
        another = self.policy.judge_target(facts.about(None), general, lenient=True)
        refused = verdicts[0] if verdicts else Verdict(Denial(_NO_TARGET))
        model = call.asked.model if another.denial is None else ""
        return self._settle(exchange, refused, [general, *verdicts], model)

    def _permits(self, facts: RuleVariables, exchange: Exchange, target: Target, name: str = "", /) -> bool:
        lenient = exchange.call is None
        about = facts.about(target, name=name)
        general = self.policy.judge(about, lenient=lenient)
        if general.denial is not None:
            return False
        return self.policy.judge_target(about, general, lenient=lenient).denial is None

    def _settle(
        self, exchange: Exchange, verdict: Verdict, said: Sequence[Verdict], model: str = ""
    ) -> NotAuthorized | None:
        """Write the decision down.  `said` are the verdicts on the way to it: what the dry rules would have done."""
        dry_run = tuple(dict.fromkeys([name for each in said for name in each.dry_run]))
        if verdict.denial is not None:
            return self._refuse(exchange, verdict.denial, dry_run, model)
        exchange.decision = Decision(True, verdict.matched, dry_run=dry_run)
        return None

    def _refuse(
        self, exchange: Exchange, denial: Denial, dry_run: tuple[str, ...] = (), model: str = ""
    ) -> NotAuthorized:
        """The error for a denial; `model` is what was asked, where the rules may allow another one."""
        exchange.permits = _nothing
        exchange.decision = Decision(False, denial.rule.name, denial.missing, dry_run)
        if denial.error is not None and denial.error.kind == "unknown" and not self._told:
            self._told = True
            log.error("a rule reads %s of a request that is no call: is ResolveMiddleware missing?", denial.missing)
        message = denial.rule.reason or "authorization failed"
        detail = f"rule {denial.rule.name!r}" + (f": {denial.error}" if denial.error is not None else "")
        if model:
            return self._denied_model(f"{message} (model: {model[:128]})", detail=detail)
        return NotAuthorized(message, detail=detail)


def _nothing(target: Target, name: str = "", /) -> bool:
    return False
