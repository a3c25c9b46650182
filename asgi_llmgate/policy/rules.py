"""Reads rules as they are written in the settings, in this project's form and in agentgateway's.

    jwt.team == "data-platform"                                    a plain string is an allow rule
    {name: team, when: ..., action: allow, reason: ..., mode: ...}   allow | deny | require; enforce | dry_run
    {action: Allow, policy: {matchExpressions: [...]}}               agentgateway's, in its Kubernetes resource
    {deny: ...}                                                      agentgateway's, in its own configuration file

With several expressions in one rule, an allow rule or a deny rule matches if ANY of them is true, a require rule passes
if ALL are true.
"""
# agentgateway's field description says "all must match" for Allow, but its code takes any.  Rules here do what its code
# does.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from asgi_llmgate.cel.errors import suggestion
from asgi_llmgate.errors import SettingsError

Action = Literal["allow", "deny", "require"]
Mode = Literal["enforce", "dry_run"]

_KEYS = ("name", "when", "action", "reason", "mode", "matchExpressions", "policy", *get_args(Action))


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    when    a CEL expression, or several
    reason  the message for a caller whom the rule denies
    mode    enforce, or dry_run: only record what the rule would do
    place   where the rule is written (`rules[0]`), for error messages
    """

    name: str
    when: str | tuple[str, ...]
    action: Action = "allow"
    reason: str = ""
    mode: Mode = "enforce"
    place: str = field(default="", compare=False, repr=False)

    @property
    def expressions(self) -> tuple[str, ...]:
        return (self.when,) if isinstance(self.when, str) else self.when


def read_rules(written: Sequence[str | Rule | Mapping[str, Any]]) -> list[Rule]:
    """The rules.  A rule without a name gets its number as the name: `rule 1`.

    Raises SettingsError with the place (`rules[0].action`).
    """
    if isinstance(written, str | Mapping):
        raise SettingsError(f"must be a list of rules, not {type(written).__name__}", path="rules")
    rules = [_read(rule, f"rules[{index}]", f"rule {index + 1}") for index, rule in enumerate(written)]
    names = [rule.name for rule in rules]
    for index, rule in enumerate(rules):
        if rule.name in names[:index]:
            raise SettingsError(f"two rules are named {rule.name!r}", path=f"{rule.place}.name")
    return rules


def read_authorization(written: Mapping[str, Any]) -> list[Rule]:
    """The rules of an `authorization` section of agentgateway: one rule, as in its Kubernetes resource, or `rules`.

    Raises SettingsError (`authorization.policy.matchExpressions`).
    """
    if "rules" not in written:
        return [_read(written, "authorization", "authorization")]
    if more := written.keys() - {"rules"}:
        raise SettingsError("unknown key: with rules there can be no other key", path=f"authorization.{min(more)}")
    if not isinstance(written["rules"], list | tuple):
        found = type(written["rules"]).__name__
        raise SettingsError(f"must be a list of rules, not {found}", path="authorization.rules")
    return [
        _read(rule, f"authorization.rules[{index}]", f"authorization rule {index + 1}")
        for index, rule in enumerate(written["rules"])
    ]


def _read(written: str | Rule | Mapping[str, Any], path: str, name: str) -> Rule:
    if isinstance(written, Rule):
        return written if written.place else replace(written, place=path)
    if isinstance(written, str):
        return Rule(name, written, place=path)
    if not isinstance(written, Mapping):
        raise SettingsError(f"must be a CEL expression or a rule, not {type(written).__name__}", path=path)
    for key in written:
        if key not in _KEYS:
            raise SettingsError(f"unknown key{suggestion(key, _KEYS)}", path=f"{path}.{key}")
    return Rule(
        name=_text(written, "name", path, name),
        when=_when(written, path),
        action=_action(written, path),
        reason=_text(written, "reason", path, ""),
        mode=_choice(_text(written, "mode", path, "enforce"), Mode, f"{path}.mode"),
        place=path,
    )


def _action(written: Mapping[str, Any], path: str) -> Action:
    """`action: Deny`, or the key of `{deny: ...}`."""
    short = [key for key in get_args(Action) if key in written]
    if short and "action" in written:
        raise SettingsError(f"the rule has two actions: write either action or {short[0]}", path=f"{path}.action")
    action: Action = _choice(_text(written, "action", path, (*short, "allow")[0]).lower(), Action, f"{path}.action")
    return action


def _when(written: Mapping[str, Any], path: str) -> str | tuple[str, ...]:
    policy = written.get("policy", {})
    if not isinstance(policy, Mapping) or policy.keys() - {"matchExpressions"}:
        raise SettingsError("must be a mapping with the key matchExpressions and no other key", path=f"{path}.policy")
    texts = ("when", *get_args(Action))
    places = {key: written.get(key) for key in (*texts, "matchExpressions")}
    places["policy.matchExpressions"] = policy.get("matchExpressions")
    given = {place: value for place, value in places.items() if value is not None}
    if len(given) != 1:
        raise SettingsError("a rule needs exactly one condition", path=f"{path}.when", hint="a CEL expression")
    ((place, value),) = given.items()
    if isinstance(value, str) and place in texts:
        return value
    if isinstance(value, list | tuple) and value and all(isinstance(text, str) for text in value):
        return tuple(value)
    raise SettingsError("must be a CEL expression or a list of them", path=f"{path}.{place}")


def _text(written: Mapping[str, Any], key: str, path: str, default: str) -> str:
    value = written.get(key, default)
    if not isinstance(value, str):
        raise SettingsError(f"must be a string, not {type(value).__name__}", path=f"{path}.{key}")
    return value


def _choice(value: str, choices: Any, path: str) -> Any:
    if value not in get_args(choices):
        raise SettingsError(f"unknown value: {value!r}", path=path, hint="one of " + ", ".join(get_args(choices)))
    return value
