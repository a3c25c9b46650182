"""What the doctor prints: a line for each step as soon as it is known, or one JSON document at the end.

Nothing that is printed contains a secret, also where a server has sent one back: each text goes through the mask.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import click

from asgi_llmgate.cli.doctor.steps import Step
from asgi_llmgate.config.checking.findings import Finding, count
from asgi_llmgate.protocol.redaction import without_secrets
from asgi_llmgate.secret_values import Secret

_LEAST = 4
"""Characters of a secret; what is shorter is in ordinary words as well."""

_COLOURS: Mapping[str, str] = {"ok": "green", "warning": "yellow", "error": "red"}
_LABELS = {"skipped": "-"}
_MARGIN = " " * 18
_LONGEST = 1200


class Mask:
    """Replaces the secrets of the settings in a text, and characters that a terminal would obey."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: list[Secret] = []  # longest first: one may be a part of another
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str) -> None:
        """One more secret, such as a token that was fetched."""
        if len(secret) >= _LEAST and all(secret != each.reveal() for each in self._secrets):
            self._secrets = sorted([*self._secrets, Secret(secret)], key=lambda each: len(each.reveal()), reverse=True)

    def __call__(self, text: str) -> str:
        text = without_secrets(text, self._secrets, "[secret]")
        return "".join(each if each.isprintable() else " " for each in text)[:_LONGEST]


Locate = Callable[[Finding], Finding]
"""Adds file, line and column to a finding."""


@dataclass(slots=True)
class Report:
    """Prints steps and counts them. With `as_json` it prints one document at the end."""

    file: str
    mask: Mask
    locate: Locate
    as_json: bool = False
    steps: list[Step] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def add_finding(self, finding: Finding) -> None:
        """A finding that has its place already."""
        mask = self.mask
        finding = replace(finding, message=mask(finding.message), hint=mask(finding.hint))
        self.findings.append(finding)
        if not self.as_json:
            step = Step(state=finding.severity, path=finding.path, message=finding.message, hint=finding.hint)
            _print(step, finding)

    def add(self, step: Step) -> None:
        """A step; what has been found already is not told again."""
        mask = self.mask
        step = replace(step, message=mask(step.message), hint=mask(step.hint), shown=mask(step.shown))
        self.steps.append(step)
        finding = step.finding
        if finding is not None:
            if any((each.path, each.message) == (finding.path, finding.message) for each in self.findings):
                return
            finding = self.locate(finding)
            self.findings.append(finding)
        if not self.as_json:
            _print(step, finding)

    def end(self) -> None:
        """Print the last line, or the document."""
        if not self.as_json:
            click.echo(count(self.findings))
            return
        severities = [finding.severity for finding in self.findings]
        document = {
            "file": self.file,
            "errors": severities.count("error"),
            "warnings": severities.count("warning"),
            "findings": [finding.as_json() for finding in self.findings],
            "steps": [_as_json(step) for step in self.steps],
        }
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def _print(step: Step, finding: Finding | None) -> None:
    label = f"{_LABELS.get(step.state, step.state):<8}"
    colour = _COLOURS.get(step.state)
    time = "" if step.seconds is None else f"{step.seconds * 1000:.0f} ms"
    place = f"{step.path}: " if step.path else ""
    # https://no-color.org; without it click decides by whether this is a terminal.
    colours = False if os.environ.get("NO_COLOR") else None
    click.echo(f"{click.style(label, fg=colour)}{time:>9} {place}{step.message}", color=colours)
    if finding is not None and (finding.line or not finding.path):
        click.echo(f"{_MARGIN}{finding.place.removesuffix(': ')}")
    if step.hint:
        click.echo(f"{_MARGIN}to do: {step.hint}")
    if step.shown:
        click.echo(f"{_MARGIN}Claude Code shows: {step.shown}")


def _as_json(step: Step) -> dict[str, Any]:
    milliseconds = None if step.seconds is None else round(step.seconds * 1000, 1)
    row = {"state": step.state, "path": step.path, "message": step.message, "hint": step.hint, "shown": step.shown}
    return {**{name: value for name, value in row.items() if value}, "milliseconds": milliseconds}
