"""Verdicts on the tool calls of a response: the rules first, then the classifier, once for all that they leave open."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Literal, Protocol

from asgi_llmgate._types import Scope
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.exchange_values import ToolUse, Verdict
from asgi_llmgate.protocol.messages.request import MessagesRequest
from asgi_llmgate.rule_variables import LIST_CLAIMS, NO_VARIABLES, RuleVariables, Variable, read_env, variables_of
from asgi_llmgate.safeguards.rules import RuleDecision, SafeguardRule, SafeguardRules
from asgi_llmgate.safeguards.tool_variable import ToolVariable, safeguard_fields

Outcome = Literal["pass", "flag", "unavailable"]
Undecided = Literal["classifier", "pass", "flag", "unsupported"]

NO_VERDICTS: Mapping[str, Verdict] = MappingProxyType({})

_NO_RULE = "no rule of this gateway decides about this action"
_FAILED = "the classifier of this gateway has failed"

log = logging.getLogger("llmgate")


class Classifier(Protocol):
    """Asks a model about tool calls."""

    async def classify(
        self, exchange: Exchange, request: MessagesRequest, tool_uses: Sequence[ToolUse]
    ) -> Sequence[Verdict]:
        """One verdict for each tool use, in order."""
        ...


class Safeguards:
    """Decides about the tool calls of responses.

    rules        the company's rules, in order
    undecided    what a call is that no rule decides about; `unsupported`: the client decides itself
    classifier   asked about undecided calls, with `undecided="classifier"`
    override     whether a pass rule may turn a flag of a native server into a pass
    env          names of environment variables that rules may read
    list_claims  claims that are always lists for rules
    variables    further variables for rules: name -> function of (exchange, scope)

    Raises SettingsError (`rules[2].when`).
    """

    def __init__(
        self,
        rules: Sequence[SafeguardRule] = (),
        *,
        undecided: Undecided = "unsupported",
        classifier: Classifier | None = None,
        override: bool = False,
        env: Iterable[str] = (),
        list_claims: Sequence[str] = LIST_CLAIMS,
        variables: Mapping[str, Variable] = NO_VARIABLES,
    ) -> None:
        self._env = read_env(env := tuple(env))
        self.rules = SafeguardRules(rules, safeguard_fields(env, further=variables))
        self.override = override
        self._undecided: Outcome = undecided if undecided in ("pass", "flag") else "unavailable"
        self._classifier = classifier if undecided == "classifier" else None
        self._list_claims = tuple(list_claims)
        self._variables = variables

    async def judge(
        self,
        scope: Scope,
        exchange: Exchange,
        request: MessagesRequest,
        tool_uses: Sequence[ToolUse],
        by_server: Mapping[str, Verdict] = NO_VERDICTS,
    ) -> Sequence[Verdict]:
        """One verdict for each tool use, in order.  Never raises (except cancellation).

        `by_server` has the verdicts of the model server itself, by the id of the tool use.
        """
        general = self.variables(scope, exchange)
        verdicts: list[Verdict | None] = []
        decisions: list[RuleDecision] = []
        for index, use in enumerate(tool_uses):
            if index:
                await asyncio.sleep(0)  # a response may have many calls, and a rule may take milliseconds
            started = time.perf_counter()
            decision = self.decide(general, use)
            decisions.append(decision)
            milliseconds = (time.perf_counter() - started) * 1000
            verdicts.append(self._verdict(use, decision, by_server.get(use.id), milliseconds))
        open_uses = [use for use, verdict in zip(tool_uses, verdicts, strict=True) if verdict is None]
        classified = iter(await self._classify(exchange, request, open_uses) if open_uses else ())
        return [
            _with_dry_run(next(classified) if verdict is None else verdict, decision)
            for verdict, decision in zip(verdicts, decisions, strict=True)
        ]

    def variables(self, scope: Scope, exchange: Exchange) -> RuleVariables:
        """The variables that the rules read, but for `tool`.  The candidate is the target that has served the call."""
        found = variables_of(scope, exchange, self._list_claims, self._env, self._variables)
        return found.about(exchange.target)

    def decide(self, variables: RuleVariables, use: ToolUse) -> RuleDecision:
        """What the rules alone say about a tool call."""
        variables["tool"] = ToolVariable(use)
        return self.rules.decide(variables)

    def _verdict(
        self, use: ToolUse, decision: RuleDecision, by_server: Verdict | None, milliseconds: float
    ) -> Verdict | None:
        """The verdict of the rules, the server, or the setting `undecided`; None where the classifier is asked."""
        rule = decision.rule
        if by_server is not None and (rule is None or not self._may_replace(by_server, rule)):
            return by_server
        if rule is not None:
            return Verdict(
                tool_use=use,
                outcome=rule.outcome,
                explanation=decision.explanation,
                decided_by="rule",
                rule=rule.name,
                milliseconds=milliseconds,
            )
        if self._classifier is not None:
            return None
        return Verdict(
            tool_use=use,
            outcome=self._undecided,
            explanation="" if self._undecided == "pass" else _NO_RULE,
            decided_by="undecided",
            milliseconds=milliseconds,
        )

    def _may_replace(self, by_server: Verdict, rule: SafeguardRule) -> bool:
        """Whether the rule's outcome counts more than the server's: always where it is the stricter one."""
        return rule.outcome == "flag" or by_server.outcome == "unavailable" or self.override

    async def _classify(
        self, exchange: Exchange, request: MessagesRequest, uses: Sequence[ToolUse]
    ) -> Sequence[Verdict]:
        """The classifier's verdicts.  What the rules have decided must not be lost where it raises."""
        assert self._classifier is not None
        try:
            verdicts = await self._classifier.classify(exchange, request, uses)
        except Exception as error:  # a defect
            log.error("the classifier of the safeguards has failed: %s", type(error).__name__)
        else:
            if [verdict.tool_use for verdict in verdicts] == list(uses):
                return verdicts
            log.error("the classifier of the safeguards has given verdicts on other calls")
        return [
            Verdict(tool_use=use, outcome="unavailable", explanation=_FAILED, decided_by="classifier") for use in uses
        ]


def _with_dry_run(verdict: Verdict, decision: RuleDecision) -> Verdict:
    """The verdict with the names of the rules in mode `dry_run` that would have decided otherwise."""
    names = tuple(rule.name for rule in decision.dry_run if rule.outcome != verdict.outcome)
    return replace(verdict, dry_run=names) if names else verdict
