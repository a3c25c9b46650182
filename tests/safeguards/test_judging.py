from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from asgi_llmgate.exchange_values import ToolUse, Verdict
from tests.safeguards.judged import Judging, bash, rule, use

FLAG = rule("flag", "flag", 'tool.input.command.contains("bad")', reason="no")
PASS = rule("pass", "pass", 'tool.input.command.contains("good")')


class Script:
    """A classifier that gives these outcomes."""

    def __init__(self, *outcomes: Any, error: BaseException | None = None) -> None:
        self.outcomes, self.error = outcomes, error
        self.asked: list[Sequence[ToolUse]] = []

    async def classify(self, exchange: Any, request: Any, tool_uses: Sequence[ToolUse]) -> Any:
        self.asked.append(tool_uses)
        if self.error is not None:
            raise self.error
        return [verdict(each, outcome) for each, outcome in zip(tool_uses, self.outcomes, strict=False)]


def verdict(tool_use: ToolUse, outcome: Any, decided_by: Any = "classifier") -> Verdict:
    return Verdict(tool_use=tool_use, outcome=outcome, decided_by=decided_by)


UNDECIDED = [
    ("pass", "pass", ""),
    ("flag", "flag", "no rule of this gateway decides about this action"),
    ("unsupported", "unavailable", "no rule of this gateway decides about this action"),
]


@pytest.mark.parametrize(("setting", "outcome", "explanation"), UNDECIDED)
async def test_an_undecided_call_is_what_the_setting_says(setting: Any, outcome: str, explanation: str) -> None:
    found = await Judging(FLAG, undecided=setting).one(bash("ls"))
    assert (found.outcome, found.explanation, found.decided_by, found.rule) == (outcome, explanation, "undecided", "")


async def test_each_call_has_its_verdict_in_order() -> None:
    found = await Judging(FLAG, PASS).all(bash("good"), bash("bad"), bash("ls"))
    assert [(each.outcome, each.rule, each.explanation) for each in found[:2]] == [
        ("pass", "pass", ""),
        ("flag", "flag", "no"),
    ]
    assert [each.decided_by for each in found] == ["rule", "rule", "undecided"]
    assert all(each.milliseconds >= 0 for each in found)


async def test_rules_read_the_caller_and_the_target_that_served_the_call() -> None:
    judging = Judging(
        rule("r", "flag", 'jwt.team == "data" && llm.model == "qwen3" && identity.subject == "alice" && here == "x"'),
        variables={"here": lambda exchange, scope: "x"},
    )
    assert (await judging.one(use())).rule == "r"


async def test_a_hosts_variable_that_raises_flags() -> None:
    def broken(exchange: Any, scope: Any) -> Any:
        raise OSError("the address of a database")

    found = await Judging(rule("r", "flag", 'here == "x"'), variables={"here": broken}).one(use())
    assert (found.outcome, "database" in found.explanation) == ("flag", False)


@pytest.mark.parametrize("error", [RecursionError, ValueError, MemoryError])
async def test_a_defect_in_one_evaluation_flags_that_call_alone(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(line: str) -> Any:
        raise error

    monkeypatch.setattr("asgi_llmgate.safeguards.shell.commands_of", broken)
    reads = rule("reads", "flag", 'tool.name == "Bash" && tool.commands.exists(c, c[0] == "x")')
    lenient = rule("lenient", "pass", 'tool.commands.all(c, c[0] == "ls")')
    found = await Judging(reads).all(use("Read"), bash("ls"), use("Read"))
    assert [(each.outcome, each.rule) for each in found] == [
        ("unavailable", ""),
        ("flag", "reads"),
        ("unavailable", ""),
    ]
    assert (await Judging(lenient).one(bash("ls"))).decided_by == "undecided"


async def test_the_classifier_is_asked_once_for_all_that_the_rules_leave_open() -> None:
    script = Script("flag", "pass")
    first, second = bash("first"), bash("second")
    found = await Judging(FLAG, undecided="classifier", classifier=script).all(first, bash("bad"), second)
    assert script.asked == [[first, second]]
    assert [each.outcome for each in found] == ["flag", "flag", "pass"]
    assert [each.decided_by for each in found] == ["classifier", "rule", "classifier"]


async def test_the_classifier_is_not_asked_for_nothing() -> None:
    script = Script()
    await Judging(FLAG, undecided="classifier", classifier=script).all(bash("bad"))
    assert await Judging(undecided="classifier", classifier=script).all() == []
    assert script.asked == []


@pytest.mark.parametrize("script", [Script(error=KeyError("x")), Script()], ids=["raises", "gives too few"])
async def test_a_classifier_that_fails_loses_no_verdict_of_a_rule(
    script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    found = await Judging(FLAG, undecided="classifier", classifier=script).all(bash("bad"), bash("ls"))
    assert [each.outcome for each in found] == ["flag", "unavailable"]
    assert len(caplog.records) == 1


async def test_cancellation_is_not_swallowed() -> None:
    judging = Judging(undecided="classifier", classifier=Script(error=asyncio.CancelledError()))
    with pytest.raises(asyncio.CancelledError):
        await judging.one(bash("ls"))


async def test_a_dry_run_rule_is_told_where_it_would_have_decided_otherwise() -> None:
    trial = rule("trial", "flag", "true", mode="dry_run")
    same = rule("same", "pass", "true", mode="dry_run")
    assert (await Judging(trial, same, undecided="pass").one(bash("ls"))).dry_run == ("trial",)
    judging = Judging(trial, same, undecided="classifier", classifier=Script("flag"))
    assert (await judging.one(bash("ls"))).dry_run == ("same",)


SERVER: list[tuple[str, str, bool, tuple[str, str]]] = [
    ("ls", "pass", False, ("pass", "server")),
    ("ls", "flag", True, ("flag", "server")),
    ("bad", "pass", False, ("flag", "rule")),
    ("good", "flag", False, ("flag", "server")),
    ("good", "flag", True, ("pass", "rule")),
    ("good", "unavailable", False, ("pass", "rule")),
]


@pytest.mark.parametrize(("command", "told", "override", "expected"), SERVER)
async def test_a_servers_own_verdict_gives_way_to_a_stricter_rule_only(
    command: str, told: str, override: bool, expected: tuple[str, str]
) -> None:
    script = Script()
    judging = Judging(FLAG, PASS, override=override, undecided="classifier", classifier=script)
    found = await judging.one(bash(command), by_server=[verdict(bash(command), told, "server")])
    assert (found.outcome, found.decided_by) == expected
    assert script.asked == []  # the server has judged the call


async def test_other_tasks_run_between_many_calls() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.ensure_future(count())
    await Judging(FLAG).all(*[bash("ls")] * 100)
    task.cancel()
    assert turns >= 99
