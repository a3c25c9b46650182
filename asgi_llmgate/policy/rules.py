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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from asgi_llmgate.errors import SettingsError
from asgi_llmgate.mistakes import Mistakes
from asgi_llmgate.type_words import describe_value, did_you_mean, explain_mismatch, nearest

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
    within  where its condition is, inside of that (`.when`, `.deny`)
    """

    name: str
    when: str | tuple[str, ...]
    action: Action = "allow"
    reason: str = ""
    mode: Mode = "enforce"
    place: str = field(default="", compare=False, repr=False)
    within: str = field(default=".when", compare=False, repr=False)

    @property
    def expressions(self) -> tuple[str, ...]:
        return (self.when,) if isinstance(self.when, str) else self.when

    @property
    def condition_place(self) -> str:
        """Where the condition is written: `rules[0].when`; `rules[0]` where that is all of the rule."""
        return self.place + self.within

    def place_of(self, index: int) -> str:
        """Where one of the expressions is written."""
        return self.condition_place if isinstance(self.when, str) else f"{self.condition_place}[{index}]"


def read_rules(written: Sequence[str | Rule | Mapping[str, Any]], mistakes: Mistakes) -> list[Rule]:
    """The rules.  A rule without a name gets its number as the name: `rule 1`.

    What is wrong is added to `mistakes` with its place (`rules[0].action`).
    """
    if isinstance(written, str | Mapping):
        mistakes.add(SettingsError(f"must be a list of rules, not {describe_value(written)}", path="rules"))
        return []
    rules = _read_each(written, "rules", "rule", mistakes)
    names: set[str] = set()
    for rule in rules:
        if rule.name in names:
            mistakes.add(SettingsError(f"two rules are named {rule.name!r}", path=f"{rule.place}.name"))
        names.add(rule.name)
    return rules


def read_authorization(written: Mapping[str, Any]) -> list[Rule]:
    """The rules of an `authorization` section of agentgateway: one rule, as in its Kubernetes resource, or `rules`.

    Raises SettingsError (`authorization.policy.matchExpressions`).
    """
    mistakes = Mistakes()
    rules = collect_authorization(written, mistakes)
    mistakes.raise_if_any()
    return rules


def collect_authorization(written: Mapping[str, Any], mistakes: Mistakes) -> list[Rule]:
    """The same; what is wrong is added to `mistakes`."""
    if "rules" not in written:
        rule = _read(written, "authorization", "authorization", mistakes)
        return [rule] if rule is not None else []
    for key in written:
        if key != "rules":
            message = "unknown key: with rules there can be no other key"
            mistakes.add(SettingsError(message, path=f"authorization.{key}"))
    if isinstance(written["rules"], list | tuple):
        return _read_each(written["rules"], "authorization.rules", "authorization rule", mistakes)
    found = describe_value(written["rules"])
    mistakes.add(SettingsError(f"must be a list of rules, not {found}", path="authorization.rules"))
    return []


def _read_each(
    written: Sequence[str | Rule | Mapping[str, Any]], path: str, name: str, mistakes: Mistakes
) -> list[Rule]:
    rules = (_read(each, f"{path}[{index}]", f"{name} {index + 1}", mistakes) for index, each in enumerate(written))
    return [rule for rule in rules if rule is not None]


def _read(written: Any, path: str, name: str, mistakes: Mistakes) -> Rule | None:
    """The rule, as far as it can be read; None without a condition."""
    if isinstance(written, Rule):
        return written if written.place else replace(written, place=path)
    if isinstance(written, str):
        return Rule(name, written, place=path, within="")
    if not isinstance(written, Mapping):
        message = f"must be a CEL expression or a rule, not {describe_value(written)}"
        mistakes.add(SettingsError(message, path=path))
        return None
    written = _known(written, path, mistakes)
    options: dict[str, Any] = {}
    for key, read in _READERS.items():
        with mistakes.under():
            options[key] = read(written, path)
    with mistakes.under():
        options["when"], options["within"] = _when(written, path)
    return Rule(**{**options, "name": options.get("name") or name}, place=path) if "when" in options else None


def _known(written: Mapping[str, Any], path: str, mistakes: Mistakes) -> dict[str, Any]:
    """The mapping with the keys that rules have; a misspelt one is told, and read as the one that was meant."""
    known = {key: value for key, value in written.items() if key in _KEYS}
    for key, value in written.items():
        if key not in _KEYS:
            mistakes.add(SettingsError("unknown key", path=f"{path}.{key}", hint=did_you_mean(str(key), _KEYS)))
            if meant := nearest(str(key), _KEYS):
                known.setdefault(meant, value)
    return known


def _action(written: Mapping[str, Any], path: str) -> Action:
    """`action: Deny`, or the key of `{deny: ...}`."""
    short = [key for key in get_args(Action) if key in written]
    if short and "action" in written:
        raise SettingsError(f"the rule has two actions: write either action or {short[0]}", path=f"{path}.action")
    action: Action = _choice(_text(written, "action", path, (*short, "allow")[0]).lower(), Action, f"{path}.action")
    return action


def _when(written: Mapping[str, Any], path: str) -> tuple[str | tuple[str, ...], str]:
    """The condition, and where in the rule it is."""
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
        return value, f".{place}"
    if isinstance(value, list | tuple) and value and all(isinstance(text, str) for text in value):
        return tuple(value), f".{place}"
    raise SettingsError("must be a CEL expression or a list of them", path=f"{path}.{place}")


def _mode(written: Mapping[str, Any], path: str) -> Mode:
    mode: Mode = _choice(_text(written, "mode", path, "enforce"), Mode, f"{path}.mode")
    return mode


def _text(written: Mapping[str, Any], key: str, path: str, default: str) -> str:
    value = written.get(key, default)
    if not isinstance(value, str):
        words = explain_mismatch(value, str)
        raise SettingsError(words.message, path=f"{path}.{key}", hint=words.hint)
    return value


def _choice(value: str, choices: Any, path: str) -> Any:
    if value not in get_args(choices):
        words = explain_mismatch(value, choices)
        raise SettingsError(words.message, path=path, hint=words.hint)
    return value


_READERS: Mapping[str, Callable[[Mapping[str, Any], str], Any]] = {
    "name": lambda written, path: _text(written, "name", path, ""),
    "action": _action,
    "reason": lambda written, path: _text(written, "reason", path, ""),
    "mode": _mode,
}
"""How the members of a rule are read, each by itself."""
