"""A policy: compiles rules at start, and evaluates them for requests and targets.

Rules that read the target (`llm.model`, `llm.provider`, `llm.backend`) are evaluated for each target of a call, the
others once per request.  A policy is `by_caller` if no rule reads more than the caller and the target: then requests of
one token are decided alike.  It is `by_caller_early` if that is so before the body is read.

Before the body is read, and for a request without a call (a GET), the values of `llm.*` are unknown.  A rule then
denies only if it would deny with all values of them, so a request that is denied then would be denied with any body.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from asgi_llmgate.cel import Fields, ReferenceExpression, compile_rule, find_certain_error
from asgi_llmgate.cel.warnings import CompileWarning
from asgi_llmgate.errors import SettingsError
from asgi_llmgate.mistakes import Mistakes
from asgi_llmgate.policy.compiled_rules import CompiledExpression, CompiledRule, Denial, RuleSet, RulesResult
from asgi_llmgate.policy.rules import Rule, read_rules
from asgi_llmgate.rule_variables import CREDENTIALS, fields_of

Engine = Literal["strict", "celpy"]

log = logging.getLogger("llmgate")


class Policy:
    """All rules, compiled.

    Raises SettingsError with the rule's place (`rules[2].when`) and a caret under the mistake; also when no rule is
    enforced, unless `default` is `allow`.
    """

    def __init__(
        self,
        rules: Sequence[str | Rule | Mapping[str, Any]],
        *,
        default: Literal["deny", "allow"] = "deny",
        engine: Engine = "strict",
        env: Iterable[str] = (),
        variables: Iterable[str] = (),
    ) -> None:
        fields = fields_of(env, further=variables)
        mistakes = Mistakes()
        self.rules = [_compile(rule, fields, engine, mistakes) for rule in read_rules(rules, mistakes)]
        mistakes.raise_if_any()
        enforced = [rule for rule in self.rules if rule.rule.mode == "enforce"]
        if not enforced and default != "allow":
            hint = "write rules, or default: allow"
            raise SettingsError("no rule is enforced", path="rules", hint=hint, rests_on=("default", "authorization"))
        self.per_target = any(rule.per_target for rule in self.rules)
        self.by_caller = all(rule.by_caller for rule in self.rules)
        self.by_caller_early = all(rule.by_caller_early for rule in self.rules)
        self._general = RuleSet(rule for rule in self.rules if not rule.per_target)
        self._target_rules = RuleSet(rule for rule in self.rules if rule.per_target)
        self._allow_rules = [rule for rule in enforced if rule.rule.action == "allow"]

    def evaluate(self, variables: Mapping[str, Any], *, call_unknown: bool = False) -> RulesResult:
        """The result of the rules that do not read the target.

        `call_unknown`: `llm.*` has no values yet; deny only what would be denied with all of them.
        """
        result = self._general.evaluate(variables, call_unknown)
        # An allow rule that reads the target may still match; without one, the request is denied now.
        if result.denial is None and not result.matched and not self._target_rules.allow and self._allow_rules:
            return RulesResult(self._no_match(variables, call_unknown), dry_run=result.dry_run)
        return result

    def evaluate_target(
        self, variables: Mapping[str, Any], general: RulesResult, *, call_unknown: bool = False
    ) -> RulesResult:
        """The result of all rules for one target.

        `general` is the result of `evaluate`; `variables` include the target.
        """
        result = self._target_rules.evaluate(variables, call_unknown)
        if result.denial is not None:
            return result
        matched = general.matched or result.matched
        if not matched and self._allow_rules:
            return RulesResult(self._no_match(variables, call_unknown), dry_run=result.dry_run)
        return RulesResult(matched=matched, dry_run=result.dry_run)

    def _no_match(self, variables: Mapping[str, Any], call_unknown: bool) -> Denial:
        """The denial when no allow rule matches.  It names the first one, and its error if it had one."""
        first = self._allow_rules[0]
        return first.find_denial(variables, call_unknown) or Denial(first.rule)


def _compile(rule: Rule, fields: Fields, engine: Engine, mistakes: Mistakes) -> CompiledRule:
    """The rule with those expressions that can be compiled."""
    expressions = []
    for index, source in enumerate(rule.expressions):
        place = rule.place_of(index)
        with mistakes.under(place):
            expression = compile_condition(source, fields, engine)
            expressions.append(expression)
            meant = (each for each in expression.warnings if not (each.negation and rule.action == "deny"))
            log_warnings(meant, f"policy rule {rule.name!r}", f"policy.{place}")
    return CompiledRule(rule, expressions)


def compile_condition(source: str, fields: Fields, engine: Engine = "strict") -> CompiledExpression:
    """The condition of a rule, compiled.  Raises SettingsError, with a caret under the mistake."""
    expression = (compile_rule if engine == "strict" else ReferenceExpression)(source, variables=fields)
    _check_headers(expression)
    if error := find_certain_error(expression):
        raise SettingsError(f"the condition can never be true or false: {error.message}")
    return expression


def log_warnings(warnings: Iterable[CompileWarning], rule: str, setting: str) -> None:
    """Log what a condition may not mean, with the rule's name; `llmgate check` shows it at the setting."""
    for warning in warnings:
        where = {"setting": setting, "place": warning.place, "problem": warning.text}
        log.warning("%s at %d:%d: %s", rule, *warning.place, warning.text, extra=where)


def _check_headers(expression: CompiledExpression) -> None:
    """Raises SettingsError for a header that is never there: one with a credential, or a name with capitals."""
    prefix = "request.headers."
    for name in (found.removeprefix(prefix) for found in expression.references if found.startswith(prefix)):
        if name in CREDENTIALS:
            raise SettingsError(f"rules cannot read the header {name!r}", hint="the token's claims are in jwt")
        if name != name.lower():
            raise SettingsError(f"no header is named {name!r}", hint=f"names are in lower case: {name.lower()!r}")
