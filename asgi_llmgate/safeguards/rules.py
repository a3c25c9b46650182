"""A company's rules about tool calls, in their order: the first enforced one that fits decides.

outcome   fits when                  an error, or a value that is not a bool
-------   ------------------------   ----------------------------------------
flag      its condition is true      flags
pass      its condition is true      does not fit

Rules in mode `dry_run` decide nothing; those that would have decided are told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from asgi_llmgate.cel import EvaluationError, Fields
from asgi_llmgate.clipping import clip
from asgi_llmgate.errors import SettingsError
from asgi_llmgate.exchange_values import MAX_EXPLANATION
from asgi_llmgate.mistakes import Mistakes
from asgi_llmgate.policy.compiled_rules import CompiledExpression
from asgi_llmgate.policy.evaluation import compile_condition, log_warnings

COMMANDS = "tool.commands"


@dataclass(frozen=True, slots=True)
class SafeguardRule:
    """One rule.

    when    a CEL expression
    reason  of a flag rule: what the person and the model read
    mode    enforce, or dry_run: only record what the rule would do
    """

    name: str
    outcome: Literal["flag", "pass"]
    when: str
    reason: str = ""
    mode: Literal["enforce", "dry_run"] = "enforce"


class RuleDecision(NamedTuple):
    """What the rules say about one tool call.

    rule     the one that decides; None: the call is undecided
    error    why its condition has no value, where it decides because of that
    dry_run  rules that would have decided, were they enforced
    """

    rule: SafeguardRule | None = None
    error: EvaluationError | None = None
    dry_run: tuple[SafeguardRule, ...] = ()

    @property
    def explanation(self) -> str:
        """What the person and the model read about a flag; without values."""
        if self.rule is None or self.rule.outcome == "pass":
            return ""
        if self.error is not None and self.error.missing == COMMANDS:
            text = (
                "what this command line runs cannot be read with certainty, as "
                f"rule {self.rule.name!r} of this gateway needs it; write plain commands, without eval, computed names "
                "of commands, or a script from a pipe"
            )
        elif self.error is not None:
            missing = f" ({self.error.missing} is missing)" if self.error.missing else ""
            text = f"rule {self.rule.name!r} of this gateway cannot be evaluated for this action{missing}"
        else:
            text = self.rule.reason or f"rule {self.rule.name!r} of this gateway does not allow this action"
        return clip(text, MAX_EXPLANATION)


class SafeguardRules:
    """All rules, compiled.  `fields` are the variables that they may read (tool_variable.safeguard_fields).

    Raises SettingsError with the rule's place (`rules[2].when`) and a caret under the mistake.
    """

    def __init__(self, rules: Iterable[SafeguardRule], fields: Fields) -> None:
        mistakes = Mistakes()
        self.rules: list[tuple[SafeguardRule, CompiledExpression]] = []
        names: set[str] = set()
        for index, rule in enumerate(rules):
            if rule.name in names:
                mistakes.add(SettingsError(f"two rules are named {rule.name!r}", path=f"rules[{index}].name"))
            names.add(rule.name)
            with mistakes.under(f"rules[{index}].when"):
                self.rules.append((rule, _compile(rule, fields, index)))
        mistakes.raise_if_any()

    def decide(self, variables: Mapping[str, Any]) -> RuleDecision:
        """The decision about the call that is `tool` in the variables."""
        dry_run: list[SafeguardRule] = []
        for rule, expression in self.rules:
            error = None
            try:
                value = expression.evaluate(variables)
                if value is not True and value is not False:
                    error = EvaluationError("type", "the result is not a bool")
            except EvaluationError as failure:
                error = failure
            fits = rule.outcome == "flag" if error is not None else value is True
            if fits and rule.mode == "enforce":
                return RuleDecision(rule, error, tuple(dry_run))
            if fits:
                dry_run.append(rule)
        return RuleDecision(dry_run=tuple(dry_run))


def _compile(rule: SafeguardRule, fields: Fields, index: int) -> CompiledExpression:
    expression = compile_condition(rule.when, fields)
    if COMMANDS in expression.references:
        import asgi_llmgate.safeguards.shell  # noqa: F401  # raises MissingExtra, and loads the grammar at the start
    if rule.outcome == "pass":  # what is true more often than meant is safe in a flag rule
        log_warnings(expression.warnings, f"safeguard rule {rule.name!r}", f"safeguards.rules[{index}].when")
    return expression
