"""Rules as they are written, in our form and in agentgateway's.

    jwt.team == "data-platform"                                    a plain string is an allow rule
    {name: team, when: ..., action: allow, reason: ..., mode: ...}   allow | deny | require; enforce | dry_run
    {action: Allow, policy: {matchExpressions: [...]}}             agentgateway's, as in its Kubernetes resource
    {deny: ...}                                                    agentgateway's, as in its own file

Several expressions in one rule: an allow rule holds if ANY of them does, and so does a deny rule; a require rule if
ALL do.  agentgateway's field text says "all must match" of Allow, its code takes any; the code is what runs there.
"""

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

    `when` is CEL, or several texts; `reason` is shown to a caller whom the rule turns away; `place` is where it is
    written (`rules[0]`), for messages.
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
    """The rules; one without a name is called by its number, `rule 1`.  Raises SettingsError (`rules[0].action`)."""
    if isinstance(written, str | Mapping):
        raise SettingsError("a list of rules is expected", path="rules")
    rules = [_read(rule, f"rules[{index}]", f"rule {index + 1}") for index, rule in enumerate(written)]
    names = [rule.name for rule in rules]
    for index, rule in enumerate(rules):
        if rule.name in names[:index]:
            raise SettingsError(f"two rules are named {rule.name!r}", path=f"{rule.place}.name")
    return rules


def read_authorization(written: Mapping[str, Any]) -> list[Rule]:
    """The rules of an `authorization` section of agentgateway's: one rule as in its Kubernetes resource, or `rules`.

    Raises SettingsError (`authorization.policy.matchExpressions`).
    """
    if "rules" not in written:
        return [_read(written, "authorization", "authorization")]
    if more := written.keys() - {"rules"}:
        raise SettingsError("holds rules and nothing else", path=f"authorization.{min(more)}")
    if not isinstance(written["rules"], list | tuple):
        raise SettingsError("a list of rules is expected", path="authorization.rules")
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
        raise SettingsError("a CEL expression or a rule is expected", path=path)
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
        raise SettingsError(f"say once what the rule does: action, or {short[0]}", path=f"{path}.action")
    action: Action = _choice(_text(written, "action", path, (*short, "allow")[0]).lower(), Action, f"{path}.action")
    return action


def _when(written: Mapping[str, Any], path: str) -> str | tuple[str, ...]:
    policy = written.get("policy", {})
    if not isinstance(policy, Mapping) or policy.keys() - {"matchExpressions"}:
        raise SettingsError("holds matchExpressions and nothing else", path=f"{path}.policy")
    texts = ("when", *get_args(Action))
    places = {key: written.get(key) for key in (*texts, "matchExpressions")}
    places["policy.matchExpressions"] = policy.get("matchExpressions")
    given = {place: value for place, value in places.items() if value is not None}
    if len(given) != 1:
        raise SettingsError("say once when the rule holds", path=f"{path}.when", hint="a CEL expression")
    ((place, value),) = given.items()
    if isinstance(value, str) and place in texts:
        return value
    if isinstance(value, list | tuple) and value and all(isinstance(text, str) for text in value):
        return tuple(value)
    raise SettingsError("a CEL expression or a list of them is expected", path=f"{path}.{place}")


def _text(written: Mapping[str, Any], key: str, path: str, default: str) -> str:
    value = written.get(key, default)
    if not isinstance(value, str):
        raise SettingsError("a text is expected", path=f"{path}.{key}")
    return value


def _choice(value: str, choices: Any, path: str) -> Any:
    if value not in get_args(choices):
        raise SettingsError(f"no such choice: {value!r}", path=path, hint="one of " + ", ".join(get_args(choices)))
    return value
