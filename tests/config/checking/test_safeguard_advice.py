from __future__ import annotations

from typing import Any

import msgspec
import pytest

from asgi_llmgate.config.checking.safeguard_advice import advise_safeguards
from asgi_llmgate.config.sections.safeguards import SafeguardsSettings

BASH = 'tool.name == "Bash" && '


def flag(when: str, **more: Any) -> dict[str, Any]:
    return {"name": "f", "outcome": "flag", "when": when, **more}


def let_pass(when: str) -> dict[str, Any]:
    return {"name": "p", "outcome": "pass", "when": when}


def advice(**written: Any) -> list[tuple[str, str]]:
    settings = msgspec.convert(written, SafeguardsSettings)
    return [(error.path, error.problem) for error in advise_safeguards(settings)]


GOOD: list[dict[str, Any]] = [
    {"rules": [flag(BASH + 'tool.input.command.contains("x")')]},
    {"rules": [flag('has(tool.input.command) && tool.input.command.contains("x")')]},
    {"rules": [flag('tool.server == "x" && tool.input.query == "y"')]},
    {"rules": [flag(BASH + 'tool.commands.exists(c, c[0] == "x")')]},
    {"rules": [let_pass('tool.commands.all(c, c[0] == "x")')]},
    {"rules": [let_pass(BASH + 'tool.commands.all(c, c[0] == "x") && tool.input.command.size() < 100')]},
    {"rules": [flag("true", mode="dry_run"), flag(BASH + "true")]},
    {"rules": [flag("tool.name == x")]},  # an error, which is told elsewhere
    {"undecided": "flag"},
    {"undecided": "classifier", "classifier": {"use": "a/b"}},
    {"classifier": {"use": "a/b"}},
]


@pytest.mark.parametrize("written", GOOD)
def test_nothing_is_said_about_good_rules(written: dict[str, Any]) -> None:
    assert advice(**written) == []


ADVICE: list[tuple[dict[str, Any], str, str]] = [
    ({"rules": [flag('tool.input.command == "x"')]}, "rules[0].when", "flags all other tools, which lack it"),
    ({"rules": [let_pass('tool.input.file_path == "x"')]}, "rules[0].when", "fits other tools that have it"),
    ({"rules": [flag('tool.commands.exists(c, c[0] == "x")')]}, "rules[0].when", "absent for all tools but Bash"),
    ({"rules": [let_pass(BASH + 'tool.input.command.startsWith("ls")')]}, "rules[0].when", "evades a pass rule"),
    ({"rules": [flag("true"), let_pass('tool.name == "x"')]}, "rules[1].when", "never decides: rule 'f' before it"),
    ({"undecided": "pass"}, "undecided", "runs without a question"),
    ({"undecided": "flag", "classifier": {"use": "a/b"}}, "classifier", "asked about nothing"),
]


@pytest.mark.parametrize(("written", "path", "words"), ADVICE)
def test_what_is_probably_not_meant_is_told_with_its_place(written: dict[str, Any], path: str, words: str) -> None:
    ((where, text),) = advice(**written)
    assert where == f"safeguards.{path}"
    assert words in text
