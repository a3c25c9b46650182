"""Compiled rules, and the evaluation of a set of them: deny before require before allow.

rule      lets the request pass when                        an error, or a value that is not a bool
-------   -----------------------------------------------   ---------------------------------------
deny      every expression is false                         denies
require   every expression is true                          denies
allow     any expression is true; one allow rule is         does not match
          enough
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from asgi_llmgate.cel import EvaluationError, Expression, ReferenceExpression, evaluate_partially
from asgi_llmgate.policy.rules import Action, Rule
from asgi_llmgate.rule_variables import CALLER, CANDIDATE, CallerVariables, reads_call, reads_only

CompiledExpression = Expression | ReferenceExpression


@dataclass(frozen=True, slots=True)
class Denial:
    """The rule that denies, and the error if its evaluation failed."""

    rule: Rule
    error: EvaluationError | None = None

    @property
    def missing(self) -> str:
        """The dotted name that is not there (`jwt.team`), when that is the reason; else ""."""
        return self.error.missing if self.error is not None else ""


class RulesResult(NamedTuple):
    """The result of a set of rules.

    denial   of the first rule that denies
    matched  the name of the first allow rule that matches
    dry_run  the names of the rules in mode `dry_run` that would deny
    """

    denial: Denial | None = None
    matched: str = ""
    dry_run: tuple[str, ...] = ()


class CompiledRule:
    """A rule with its compiled expressions.

    Where it reads the caller alone, its result is kept with the caller's identity (see caller_decisions.py).

    `per_target` says that it reads the target (`llm.model`, `llm.provider`, `llm.backend`), so that its result can
    differ between the targets of one call; `by_caller` that it reads nothing else but the caller; `by_caller_early`
    that it reads the caller and the call, so that nothing but the caller matters as long as the call is unknown.
    """

    __slots__ = (
        "_needs_all",
        "_plain_denial",
        "_reads_call",
        "_reads_caller_only",
        "by_caller",
        "by_caller_early",
        "expressions",
        "per_target",
        "rule",
    )

    def __init__(self, rule: Rule, expressions: Sequence[CompiledExpression]) -> None:
        self.rule = rule
        self.expressions = tuple(expressions)
        self.per_target = any(CANDIDATE & expression.references for expression in expressions)
        self.by_caller = reads_only(CALLER, *self.expressions, candidate=True)
        self.by_caller_early = reads_only(CALLER | {"llm"}, *self.expressions)
        self._reads_call = reads_call(*self.expressions)
        self._reads_caller_only = reads_only(CALLER, *self.expressions)
        self._plain_denial = Denial(rule)
        self._needs_all = rule.action == "require"

    def find_denial(self, variables: Mapping[str, Any], call_unknown: bool) -> Denial | None:
        """The denial; None when the rule lets the request pass.

        With `call_unknown`, `llm.*` has no values yet, and there is a denial only if every value of them leads to one.
        """
        if call_unknown and self._reads_call:
            return self._find_certain_denial(variables)
        if not self._reads_caller_only or not isinstance(variables, CallerVariables):
            return self._find_denial(variables)
        cache = variables.cache
        if self in cache:
            kept: Denial | None = cache[self]
            return kept
        denial = self._find_denial(variables)
        if denial is None or denial is self._plain_denial:  # not one with an error, which holds the request
            cache[self] = denial
        return denial

    def _find_denial(self, variables: Mapping[str, Any]) -> Denial | None:
        result = self.evaluate(variables)
        if isinstance(result, EvaluationError):
            return Denial(self.rule, result)
        return self._plain_denial if result is (self.rule.action == "deny") else None

    def _find_certain_denial(self, variables: Mapping[str, Any]) -> Denial | None:
        passing = self.rule.action != "deny"
        results = [evaluate_partially(expression, variables) for expression in self.expressions]
        certain = [result for result in results if passing not in result.values]
        # An allow rule needs one expression that can be true.  The other rules deny because of a single one.
        if len(certain) < (len(results) if self.rule.action == "allow" else 1):
            return None
        return Denial(self.rule, next((result.error for result in certain if result.error is not None), None))

    def evaluate(self, variables: Mapping[str, Any]) -> bool | EvaluationError:
        """Whether the rule's condition is true; an error when it has no value and the other expressions do not decide.

        The condition of a require rule is that all expressions are true, that of other rules that any is.
        """
        failure: EvaluationError | None = None
        for expression in self.expressions:
            try:
                value = expression.evaluate(variables)
            except EvaluationError as error:
                failure = failure or error
                continue
            if value is not True and value is not False:
                failure = failure or EvaluationError("type", "the result is not a bool")
            elif value is not self._needs_all:
                return not self._needs_all
        return failure or self._needs_all


class RuleSet:
    """Rules in the order of their evaluation; those in mode `dry_run` are kept apart."""

    def __init__(self, rules: Iterable[CompiledRule]) -> None:
        rules = list(rules)
        enforced = [rule for rule in rules if rule.rule.mode == "enforce"]
        self.blocking = _with_action(enforced, "deny") + _with_action(enforced, "require")
        self.allow = _with_action(enforced, "allow")
        self.dry_run = [rule for rule in rules if rule.rule.mode == "dry_run"]

    def evaluate(self, variables: Mapping[str, Any], call_unknown: bool) -> RulesResult:
        """`call_unknown` as in CompiledRule.find_denial."""
        dry_run = (
            tuple(rule.rule.name for rule in self.dry_run if rule.find_denial(variables, call_unknown))
            if self.dry_run
            else ()
        )
        for rule in self.blocking:
            if denial := rule.find_denial(variables, call_unknown):
                return RulesResult(denial, dry_run=dry_run)
        for rule in self.allow:
            if not rule.find_denial(variables, call_unknown):
                return RulesResult(matched=rule.rule.name, dry_run=dry_run)
        return RulesResult(dry_run=dry_run)


def _with_action(rules: Iterable[CompiledRule], action: Action) -> list[CompiledRule]:
    return [rule for rule in rules if rule.rule.action == action]
