"""`authorization` -> `policy.rules`.

A rule that cannot be written here never opens what it closed there: an Allow becomes one that is never true, a Deny and
a Require deny.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from asgi_llmgate.cli.convert.expressions import convert_expression
from asgi_llmgate.cli.convert.kubernetes.matches import any_of
from asgi_llmgate.cli.convert.manifests import Entry, Manifest
from asgi_llmgate.cli.convert.names import free_name
from asgi_llmgate.cli.convert.notes import Notes
from asgi_llmgate.cli.convert.writer import noted

ACTIONS = ("Allow", "Deny", "Require")
_CLOSED = {"Allow": "false", "Deny": "true", "Require": "false"}
_REASON_NOTE = "reason is what Claude Code shows to a developer: say what to do, and whom to ask"


@dataclass(slots=True)
class Authorization:
    """The rules of all policies, as the settings have them."""

    notes: Notes
    rules: list[Any] = field(default_factory=list)
    _open: bool = True
    _scopes: list[str] = field(default_factory=list)
    _names: set[str] = field(default_factory=set)
    _explained: bool = False

    def read(self, authorization: Entry, policy: Manifest, scope: str) -> None:
        """Add the rule of a policy; `scope` is the condition that a request is one that the policy is about."""
        action = authorization.get("action").text("Allow")
        if action not in ACTIONS:
            raise authorization.get("action").error(f"unknown action {action!r}", "one of " + ", ".join(ACTIONS))
        entries = authorization.get("policy", "matchExpressions").each()
        if not entries:
            raise authorization.error("no matchExpressions")
        self.notes.carry(authorization, "policy.rules")
        said = [f"from {authorization.place}", *self._differences(authorization, action, len(entries))]
        when = []
        for entry in entries:
            source, words = self._expression(entry, action)
            said += words
            when.append(_scoped(source, action, scope))
        self._note_allow(action, scope)
        self._add(policy.name, action, when, said)

    def read_rules(self, rules: Entry, name: str, scope: str) -> None:
        """The rules of a configuration file: a text allows, a mapping says what it does (`{deny: ...}`)."""
        for entry in rules.each():
            given = [each for each in ACTIONS if not entry.is_text and each.lower() in entry]
            if not entry.is_text and len(given) != 1:
                raise entry.error("a rule is an expression, or one of allow, deny, require")
            action = given[0] if given else "Allow"
            self.notes.carry(entry, "policy.rules")
            said = [f"from {entry.place}"]
            if action == "Deny":
                said.append(self.notes.differ(entry, "a Deny rule that cannot be evaluated denies here"))
            source, words = self._expression(entry.get(action.lower()) if given else entry, action)
            self._note_allow(action, scope)
            self._add(name, action, [_scoped(source, action, scope)], said + words)

    def close(self, name: str, note: str) -> None:
        """Deny everything, with a comment that says why."""
        self._add(name, "Deny", ["true"], [note])
        self._open = False

    def finish(self) -> None:
        """Where only some routes have Allow rules, the others stay open, as they are there."""
        if self._open and self._scopes:
            self._add(
                "other-routes", "Allow", [f"!({any_of(*self._scopes)})"], ["routes without an Allow rule are open"]
            )

    def _note_allow(self, action: str, scope: str) -> None:
        if action == "Allow":
            if scope:
                self._scopes.append(scope)
            else:
                self._open = False

    def _differences(self, authorization: Entry, action: str, count: int) -> Iterator[str]:
        if action == "Allow" and count > 1:
            yield "allows if any of the expressions is true, as agentgateway's code does; for all of them write require"
        if action == "Deny":
            yield self.notes.differ(authorization, "a Deny rule that cannot be evaluated denies here")

    def _expression(self, entry: Entry, action: str) -> tuple[str, list[str]]:
        converted = convert_expression(entry.text())
        said = [self.notes.differ(entry, change) for change in converted.changes]
        if converted.problem:
            message = f"the expression cannot be used here, so it stands as {_CLOSED[action]}: {converted.problem}"
            said.append(f"{self.notes.ignore(entry, message)} (it was: {entry.text()})")
            return _CLOSED[action], said
        return converted.source, said

    def _add(self, name: str, action: str, when: list[str], said: list[str]) -> None:
        chosen = free_name(name, self._names)
        self._names.add(chosen)
        rule: dict[str, Any] = {
            "name": chosen,
            "action": action.lower(),
            "when": when[0] if len(when) == 1 else when,
            "reason": f"the policy {chosen} does not allow this; ask the team that runs the gateway for access",
        }
        if not self._explained:
            said = [*said, _REASON_NOTE]
            self._explained = True
        self.rules.append(noted(rule, *said))


def _scoped(source: str, action: str, scope: str) -> str:
    """The expression for the requests of a scope alone."""
    if not scope:
        return source
    return f"!({scope}) || ({source})" if action == "Require" else f"({scope}) && ({source})"
