"""Test cases for rules about tool calls, in the same files as those for the policy.

    tests:
      - name: production is changed by the pipeline
        given: {claims: alice, command: kubectl --context prod delete pod x}
        expect: {outcome: flag, rule: no-prod}
      - name: reading is no danger
        given: {tool: {name: Read, input: {file_path: README.md}}}
        expect: pass

`given.command` is short for a `Bash` call.  The outcome is that of the rules alone: `flag`, `pass`, or `undecided`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import msgspec

from asgi_llmgate.errors import GateError, SettingsError
from asgi_llmgate.exchange_values import ToolUse
from asgi_llmgate.policy.cases import (
    Case,
    Row,
    Targets,
    TestRequest,
    check_keys,
    read_case,
    read_expectation,
    read_given,
    read_rows,
)
from asgi_llmgate.rule_variables import RuleVariables
from asgi_llmgate.safeguards.judging import Safeguards
from asgi_llmgate.safeguards.tool_variable import SHELL_TOOL

Outcome = Literal["flag", "pass", "undecided"]


@dataclass(frozen=True, slots=True)
class SafeguardCase:
    """One test case.  `rule` is the name of the rule that must decide; None: any."""

    name: str
    given: TestRequest
    tool_use: ToolUse
    outcome: Outcome
    rule: str | None

    def run(self, safeguards: Safeguards, targets: Targets | None = None) -> str:
        """What is wrong, in one line; "" when the outcome is as expected."""
        try:
            decision = safeguards.decide(variables_of_case(safeguards, self.given, targets), self.tool_use)
        except GateError as error:
            return f"{self.name}: {error.message}"
        outcome, rule = (decision.rule.outcome, decision.rule.name) if decision.rule is not None else ("undecided", "")
        if outcome == self.outcome and self.rule in (None, rule):
            return ""
        missing = (
            f", {decision.error.missing} is missing" if decision.error is not None and decision.error.missing else ""
        )
        return f"{self.name}: expected {_format(self.outcome, self.rule)}, got {_format(outcome, rule)}{missing}"


def variables_of_case(safeguards: Safeguards, given: TestRequest, targets: Targets | None = None) -> RuleVariables:
    """The variables of a test's request, as if its first target had served the call.  Raises NotFound."""
    scope, exchange = given.make_exchange(targets)
    variables = safeguards.variables(scope, exchange)
    served = exchange.call.candidates[:1] if exchange.call is not None else ()
    return variables.about(served[0]) if served else variables


def read_all_cases(document: Any) -> Iterator[Case | SafeguardCase]:
    """The test cases of a file, of both kinds.  Raises SettingsError with the place."""
    for row in read_rows(document):
        given = row.written.get("given")
        of_tool = isinstance(given, Mapping) and ("tool" in given or "command" in given)
        yield _read_case(row) if of_tool else read_case(row)


def _read_case(row: Row) -> SafeguardCase:
    given = read_given(row, "tool", "command")
    expect = read_expectation(row, "outcome")
    if expect.get("outcome") not in get_args(Outcome):
        raise SettingsError("flag, pass or undecided is expected", path=f"{row.path}.expect")
    use = _read_tool(row.written["given"], f"{row.path}.given")
    return SafeguardCase(row.name, given, use, expect["outcome"], expect.get("rule"))


def _read_tool(given: Mapping[str, Any], path: str) -> ToolUse:
    if "command" in given:
        if "tool" in given or not isinstance(given["command"], str):
            raise SettingsError("a text is expected, and no tool beside it", path=f"{path}.command")
        return ToolUse("", SHELL_TOOL, msgspec.json.encode({"command": given["command"]}))
    tool = given["tool"]
    check_keys(tool, ("name", "input"), f"{path}.tool")
    if not isinstance(tool.get("name"), str):
        raise SettingsError("the name of a tool is expected", path=f"{path}.tool.name")
    arguments = tool.get("input", {})
    # A text is the input as a model has written it.
    return ToolUse(
        "", tool["name"], arguments.encode() if isinstance(arguments, str) else msgspec.json.encode(arguments)
    )


def _format(outcome: str, rule: str | None) -> str:
    return outcome + (f" by {rule!r}" if rule else "")
