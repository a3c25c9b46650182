"""Rules as they are written, in our form and in agentgateway's.

    jwt.team == "data-platform"                                    a plain string is an allow rule
    {name: team, when: ..., action: allow, reason: ..., mode: ...}   allow | deny | require; enforce | dry_run
    {action: Allow, matchExpressions: [...]}                       agentgateway's; also under `policy:`, as in its CRD

Several expressions in one rule: an allow rule holds if ANY of them does, and so does a deny rule; a require rule if
ALL do.  agentgateway's field text says "all must match" of Allow, its code takes any; the code is what runs there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from asgi_llmgate.cel.faults import suggestion
from asgi_llmgate.errors import SettingsError

Action = Literal["allow", "deny", "require"]
Mode = Literal["enforce", "dry_run"]

_KEYS = ("name", "when", "action", "reason", "mode", "matchExpressions", "policy")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.  `when` is CEL, or several texts; `reason` is shown to a caller whom the rule turns away."""

    name: str
    when: str | tuple[str, ...]
    action: Action = "allow"
    reason: str = ""
    mode: Mode = "enforce"

    @property
    def expressions(self) -> tuple[str, ...]:
        return (self.when,) if isinstance(self.when, str) else self.when


def read_rules(written: Sequence[str | Rule | Mapping[str, Any]]) -> list[Rule]:
    """The rules; one without a name is called by its number, `rule 1`.  Raises SettingsError (`rules[0].action`)."""
    if isinstance(written, str | Mapping):
        raise SettingsError("a list of rules is expected", path="rules")
    rules = [_read(rule, index) for index, rule in enumerate(written)]
    names = [rule.name for rule in rules]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise SettingsError(f"two rules are named {name!r}", path=f"rules[{index}].name")
    return rules


def _read(written: str | Rule | Mapping[str, Any], index: int) -> Rule:
    path, name = f"rules[{index}]", f"rule {index + 1}"
    if isinstance(written, Rule):
        return written
    if isinstance(written, str):
        return Rule(name, written)
    for key in written:
        if key not in _KEYS:
            raise SettingsError(f"unknown key{suggestion(key, _KEYS)}", path=f"{path}.{key}")
    return Rule(
        name=_text(written, "name", path, name),
        when=_when(written, path),
        action=_choice(_text(written, "action", path, "allow").lower(), Action, f"{path}.action"),
        reason=_text(written, "reason", path, ""),
        mode=_choice(_text(written, "mode", path, "enforce"), Mode, f"{path}.mode"),
    )


def _when(written: Mapping[str, Any], path: str) -> str | tuple[str, ...]:
    policy = written.get("policy", {})
    if not isinstance(policy, Mapping) or policy.keys() - {"matchExpressions"}:
        raise SettingsError("holds matchExpressions and nothing else", path=f"{path}.policy")
    places = {
        "when": written.get("when"),
        "matchExpressions": written.get("matchExpressions"),
        "policy.matchExpressions": policy.get("matchExpressions"),
    }
    given = {place: value for place, value in places.items() if value is not None}
    if len(given) != 1:
        raise SettingsError("say once when the rule holds", path=f"{path}.when", hint="a CEL expression")
    ((place, value),) = given.items()
    if isinstance(value, str) and place == "when":
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
