from __future__ import annotations

from typing import Any

import pytest

from asgi_llmgate.errors import SettingsError
from asgi_llmgate.exchange_values import ToolUse
from asgi_llmgate.safeguards.rules import SafeguardRule, SafeguardRules
from asgi_llmgate.safeguards.tool_variable import ToolVariable, safeguard_fields
from tests.safeguards.judged import bash, rule, use

NO_PROD = rule("no-prod", "flag", 'tool.input.command.contains("prod")', reason="the pipeline does that")
READS = rule("reads", "pass", 'tool.name in ["Read", "Grep"]')
LS = rule("ls", "pass", 'tool.input.command == "ls"')

DECISIONS: list[tuple[str, list[SafeguardRule], ToolUse, Any]] = [
    ("no rule", [], bash("ls"), None),
    ("a flag rule that fits", [NO_PROD], bash("kubectl --context prod"), ("no-prod", "the pipeline does that")),
    ("a flag rule that does not fit", [NO_PROD], bash("ls"), None),
    ("the first of two that fit", [rule("all", "pass", "true"), NO_PROD], bash("prod"), ("all", "")),
    ("the second, as the first does not fit", [READS, NO_PROD], bash("prod"), ("no-prod", "the pipeline does that")),
    (
        "a flag rule without a value flags",
        [NO_PROD],
        use("Edit", {"file_path": "x"}),
        (
            "no-prod",
            "rule 'no-prod' of this gateway cannot be evaluated for this action (tool.input.command is missing)",
        ),
    ),
    (
        "also where the input is no object",
        [NO_PROD],
        use(text=b'{"command": "pro'),
        ("no-prod", "rule 'no-prod' of this gateway cannot be evaluated for this action"),
    ),
    (
        "and where the value is no bool",
        [rule("odd", "flag", "tool.name")],
        bash("ls"),
        ("odd", "rule 'odd' of this gateway cannot be evaluated for this action"),
    ),
    (
        "a line that cannot be read flags, and says how to write it",
        [rule("x", "flag", 'tool.commands.exists(c, c[0] == "kubectl")')],
        bash("echo x | sh"),
        (
            "x",
            "what this command line runs cannot be read with certainty, as rule 'x' of this gateway needs it; write "
            "plain commands, without eval, computed names of commands, or a script from a pipe",
        ),
    ),
    ("a pass rule without a value does not fit", [LS, rule("odd", "pass", "tool.name")], use("Edit"), None),
    (
        "a flag without a reason names the rule",
        [rule("x", "flag", "true")],
        bash("ls"),
        ("x", "rule 'x' of this gateway does not allow this action"),
    ),
]


def rules(*written: SafeguardRule) -> SafeguardRules:
    return SafeguardRules(written, safeguard_fields())


@pytest.mark.parametrize(
    ("written", "tool_use", "expected"), [row[1:] for row in DECISIONS], ids=[row[0] for row in DECISIONS]
)
def test_the_first_rule_that_fits_decides(
    written: list[SafeguardRule], tool_use: ToolUse, expected: tuple[str, str] | None
) -> None:
    decision = rules(*written).decide({"tool": ToolVariable(tool_use)})
    assert (decision.rule and (decision.rule.name, decision.explanation)) == expected


def test_a_dry_run_rule_decides_nothing_and_is_told() -> None:
    trial = rule("trial", "flag", 'tool.name == "Bash"', mode="dry_run")
    late = rule("late", "flag", "true", mode="dry_run")
    decision = rules(trial, rule("all", "pass", "true"), late).decide({"tool": ToolVariable(bash("ls"))})
    assert decision.rule is not None
    assert (decision.rule.name, [each.name for each in decision.dry_run]) == ("all", ["trial"])
    assert [each.name for each in rules(trial).decide({"tool": ToolVariable(bash("ls"))}).dry_run] == ["trial"]


def test_an_explanation_is_short_and_has_no_control_characters() -> None:
    decision = rules(rule("x", "flag", "true", reason="a\x1b\u202e" + "b" * 400)).decide({"tool": ToolVariable(use())})
    assert decision.explanation == "a\ufffd\ufffd" + "b" * 296 + "…"


def test_no_value_is_in_an_explanation() -> None:
    decision = rules(rule("x", "flag", "tool.input.command.startsWith(tool.input.secret)")).decide(
        {"tool": ToolVariable(use("Bash", {"command": "hunter2"}))}
    )
    assert "hunter2" not in decision.explanation


WRONG = [
    ([rule("a", "flag", "tool.nam")], "rules[0].when", "'tool' has no field 'nam', did you mean 'name'?"),
    ([rule("a", "flag", "true"), rule("a", "pass", "true")], "rules[1].name", "two rules are named 'a'"),
    ([rule("a", "flag", "true &&")], "rules[0].when", ""),
    ([rule("a", "flag", "request.headers.authorization == ''")], "rules[0].when", "cannot read the header"),
    ([READS, rule("a", "flag", '"x"')], "rules[1].when", "can never be true or false: the result is not a bool"),
    ([rule("a", "pass", '"x"')], "rules[0].when", "can never be true or false"),
    ([rule("a", "flag", 'tool.name == "Bash" ? "yes" : "no"')], "rules[0].when", "can never be true or false"),
]


@pytest.mark.parametrize(("written", "place", "words"), WRONG)
def test_a_wrong_rule_is_told_with_its_place(written: list[SafeguardRule], place: str, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        rules(*written)
    assert caught.value.path == place
    assert words in str(caught.value)


def test_what_a_pass_rule_may_not_mean_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    rules(rule("a", "pass", 'tool.name != "Bash"'), rule("b", "flag", 'tool.name != "Bash"'))
    assert [record.message for record in caplog.records] == [
        "safeguard rule 'a' at 1:11: '!=' is also true for a value of another type; write which values are allowed"
    ]
