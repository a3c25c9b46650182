"""The decision: deny before require before allow, and whatever cannot be evaluated is a no.

    rule      lets the request go on when                  an error, or a value that is no bool
    -------   ------------------------------------------   ------------------------------------
    deny      every expression is false                    denies
    require   every expression is true                     denies
    allow     any expression is true; of several allow     does not match
              rules one is enough

Rules that read the candidate (`llm.model`, `llm.provider`, `llm.backend`) are decided for each target, the others once.
Before the body is read, and where there is no call (a GET), what `llm.*` is is unknown: then a rule says no only if it
does so whatever the unknown will be (`lenient`).  So who is denied then would be denied with any body.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from asgi_llmgate.cel import (
    CompileError,
    EvaluationError,
    Expression,
    Fields,
    ReferenceExpression,
    compile_rule,
    evaluate_partially,
)
from asgi_llmgate.errors import SettingsError
from asgi_llmgate.policy.rules import Action, Rule, read_rules
from asgi_llmgate.rule_variables import CANDIDATE, CREDENTIALS, fields_of, reads_call

Engine = Literal["strict", "celpy"]
Compiled = Expression | ReferenceExpression

log = logging.getLogger("llmgate")


@dataclass(frozen=True, slots=True)
class Denial:
    """Why not: the rule, and where its evaluation failed the error."""

    rule: Rule
    error: EvaluationError | None = None

    @property
    def missing(self) -> str:
        return self.error.missing if self.error is not None else ""


class Verdict(NamedTuple):
    """What a set of rules says so far.  `matched` is the allow rule that held, `dry_run` the rules that would deny."""

    denial: Denial | None = None
    matched: str = ""
    dry_run: tuple[str, ...] = ()


class CompiledRule:
    """A rule with its expressions ready."""

    __slots__ = ("_needs", "_reads_call", "expressions", "per_target", "rule")

    def __init__(self, rule: Rule, expressions: Sequence[Compiled]) -> None:
        self.rule = rule
        self.expressions = tuple(expressions)
        self.per_target = any(CANDIDATE & expression.references for expression in expressions)
        self._reads_call = reads_call(*self.expressions)
        self._needs = rule.action == "require"

    def says_no(self, facts: Mapping[str, Any], lenient: bool) -> Denial | None:
        """The denial, if the rule does not let the request go on; with `lenient` only if it never will."""
        if lenient and self._reads_call:
            return self._must_say_no(facts)
        outcome = self.holds(facts)
        if isinstance(outcome, EvaluationError):
            return Denial(self.rule, outcome)
        return Denial(self.rule) if outcome is (self.rule.action == "deny") else None

    def _must_say_no(self, facts: Mapping[str, Any]) -> Denial | None:
        wanted = self.rule.action != "deny"
        found = [evaluate_partially(expression, facts) for expression in self.expressions]
        hopeless = [each for each in found if wanted not in each.values]
        if len(hopeless) < (len(found) if self.rule.action == "allow" else 1):
            return None
        return Denial(self.rule, next((each.error for each in hopeless if each.error is not None), None))

    def holds(self, facts: Mapping[str, Any]) -> bool | EvaluationError:
        """Whether the rule's condition is true; the error where it has no value and that matters."""
        failure: EvaluationError | None = None
        for expression in self.expressions:
            try:
                value = expression.evaluate(facts)
            except EvaluationError as error:
                failure = failure or error
                continue
            if value is not True and value is not False:
                failure = failure or EvaluationError("type", "the result is no bool")
            elif value is not self._needs:
                return not self._needs
        return failure or self._needs


class Policy:
    """The rules, compiled and sorted for deciding.

    Raises SettingsError with the rule's place (`rules[2].when`) and a caret under what is wrong in it; without a rule
    that is enforced, unless `default` is `allow`.
    """

    def __init__(
        self,
        rules: Sequence[str | Rule | Mapping[str, Any]],
        *,
        default: Literal["deny", "allow"] = "deny",
        engine: Engine = "strict",
        env: Iterable[str] = (),
    ) -> None:
        fields = fields_of(env)
        self.rules = [_compile(rule, fields, engine) for rule in read_rules(rules)]
        enforced = [rule for rule in self.rules if rule.rule.mode == "enforce"]
        if not enforced and default != "allow":
            raise SettingsError("no rule is enforced", path="rules", hint="write rules, or default: allow")
        self.per_target = any(rule.per_target for rule in self.rules)
        self._once = _Set(rule for rule in self.rules if not rule.per_target)
        self._each = _Set(rule for rule in self.rules if rule.per_target)
        self._allows = [rule.rule for rule in enforced if rule.rule.action == "allow"]

    def judge(self, facts: Mapping[str, Any], *, lenient: bool = False) -> Verdict:
        """What the rules say that do not read the candidate.  `lenient`: no only where any call would be denied."""
        verdict = self._once.judge(facts, lenient)
        if verdict.denial is None and not verdict.matched and not self._each.allow and self._allows:
            return Verdict(self._unmatched(facts, lenient), dry_run=verdict.dry_run)
        return verdict

    def judge_target(self, facts: Mapping[str, Any], before: Verdict, *, lenient: bool = False) -> Verdict:
        """What all rules say of one target, `before` being `judge`'s word.  `facts` have the target."""
        verdict = self._each.judge(facts, lenient)
        if verdict.denial is not None:
            return verdict
        matched = before.matched or verdict.matched
        if not matched and self._allows:
            return Verdict(self._unmatched(facts, lenient), dry_run=verdict.dry_run)
        return Verdict(matched=matched, dry_run=verdict.dry_run)

    def _unmatched(self, facts: Mapping[str, Any], lenient: bool) -> Denial:
        """No allow rule held.  The first one is named, and what it missed if it missed something."""
        first = next(rule for rule in self.rules if rule.rule is self._allows[0])
        return first.says_no(facts, lenient) or Denial(first.rule)


class _Set:
    """Rules in the order of deciding; the dry ones apart."""

    def __init__(self, rules: Iterable[CompiledRule]) -> None:
        every = list(rules)
        live = [rule for rule in every if rule.rule.mode == "enforce"]
        self.blocking = _of(live, "deny") + _of(live, "require")
        self.allow = _of(live, "allow")
        self.dry = [rule for rule in every if rule.rule.mode == "dry_run"]

    def judge(self, facts: Mapping[str, Any], lenient: bool) -> Verdict:
        dry_run = tuple(rule.rule.name for rule in self.dry if rule.says_no(facts, lenient)) if self.dry else ()
        for rule in self.blocking:
            if denial := rule.says_no(facts, lenient):
                return Verdict(denial, dry_run=dry_run)
        for rule in self.allow:
            if not rule.says_no(facts, lenient):
                return Verdict(matched=rule.rule.name, dry_run=dry_run)
        return Verdict(dry_run=dry_run)


def _of(rules: Iterable[CompiledRule], action: Action) -> list[CompiledRule]:
    return [rule for rule in rules if rule.rule.action == action]


def _compile(rule: Rule, fields: Fields, engine: Engine) -> CompiledRule:
    make: Callable[..., Compiled] = compile_rule if engine == "strict" else ReferenceExpression
    expressions = []
    for source in rule.expressions:
        try:
            expression = make(source, variables=fields)
        except CompileError as error:
            raise SettingsError(error.message, path=f"{rule.place}.when") from None
        _look_at_headers(expression, f"{rule.place}.when")
        for warning in expression.warnings:
            if not (warning.negation and rule.action == "deny"):
                log.warning("policy rule %r at %d:%d: %s", rule.name, *warning.place, warning.text)
        expressions.append(expression)
    return CompiledRule(rule, expressions)


def _look_at_headers(expression: Compiled, path: str) -> None:
    """Refuse what could never be there: names are lower-case, and credentials are not shown to rules."""
    prefix = "request.headers."
    for name in (found.removeprefix(prefix) for found in expression.references if found.startswith(prefix)):
        if name in CREDENTIALS:
            raise SettingsError(f"rules do not see the header {name!r}", path=path, hint="claims are in jwt")
        if name != name.lower():
            hint = f"names are lower-case: {name.lower()!r}"
            raise SettingsError(f"no header is named {name!r}", path=path, hint=hint)
