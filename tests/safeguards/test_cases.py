from __future__ import annotations

from typing import Any

import pytest

from asgi_llmgate.errors import SettingsError
from asgi_llmgate.exchange_values import Target
from asgi_llmgate.policy.cases import Case
from asgi_llmgate.safeguards.cases import SafeguardCase, read_all_cases
from asgi_llmgate.safeguards.judging import Safeguards
from tests.safeguards.judged import rule


def case(**row: Any) -> SafeguardCase:
    (found,) = read_all_cases({"claims": {"alice": {"team": "data"}}, "tests": [row]})
    assert isinstance(found, SafeguardCase)
    return found


def test_the_kind_of_a_case_is_in_what_is_given() -> None:
    rows = [{"given": {"command": "ls"}, "expect": "pass"}, {"expect": "allow"}]
    assert [type(each) for each in read_all_cases({"tests": rows})] == [SafeguardCase, Case]


def test_a_command_is_short_for_a_bash_call() -> None:
    use = case(given={"command": "ls"}, expect="pass").tool_use
    assert (use.name, use.input) == ("Bash", b'{"command":"ls"}')
    use = case(given={"tool": {"name": "Bash", "input": '{"command": '}}, expect="flag").tool_use
    assert use.input == b'{"command": '


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"given": {"command": "ls"}, "expect": "allow"}, "expect", "flag, pass or undecided"),
    ({"given": {"command": "ls"}, "expect": {"decision": "allow"}}, "expect.decision", "unknown key"),
    ({"given": {"command": 5}, "expect": "pass"}, "given.command", "a text is expected"),
    ({"given": {"command": "ls", "tool": {"name": "x"}}, "expect": "pass"}, "given.command", "no tool beside it"),
    ({"given": {"tool": {}}, "expect": "pass"}, "given.tool.name", "the name of a tool"),
    ({"given": {"tool": {"name": "x", "inputs": {}}}, "expect": "pass"}, "given.tool.inputs", "unknown key"),
    ({"given": {"tool": "Bash"}, "expect": "pass"}, "given.tool", "a mapping is expected"),
    ({"given": {"command": "ls", "claims": "bob"}, "expect": "pass"}, "given.claims", "no claims are named"),
]


@pytest.mark.parametrize(("row", "path", "words"), WRONG)
def test_a_case_that_cannot_be_read_says_where(row: dict[str, Any], path: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        case(**row)
    assert caught.value.path == f"tests[0].{path}"


RULES = Safeguards(
    [
        rule("model", "flag", 'llm.model == "qwen3" && tool.name == "Bash"'),
        rule("team", "pass", 'jwt.team == "data" && tool.input.command == "ls"'),
    ]
)

RESULTS: list[tuple[dict[str, Any], Any, str]] = [
    ({"command": "ls", "claims": "alice", "llm": {"model": "gpt"}}, {"outcome": "pass", "rule": "team"}, ""),
    ({"command": "ls", "llm": {"model": "gpt"}}, "undecided", ""),
    ({"command": "ls", "llm": {"model": "qwen3"}}, "flag", ""),
    ({"command": "ls", "llm": {"model": "gpt"}}, "pass", "test 1: expected pass, got undecided"),
    (
        {"command": "ls"},
        {"outcome": "flag", "rule": "team"},
        "test 1: expected flag by 'team', got flag by 'model', llm.model is missing",
    ),
]


@pytest.mark.parametrize(("given", "expect", "wrong"), RESULTS)
def test_a_case_says_what_is_wrong(given: dict[str, Any], expect: Any, wrong: str) -> None:
    assert case(given=given, expect=expect).run(RULES) == wrong


def test_the_model_is_that_of_the_first_target() -> None:
    def targets(name: str, scope: Any, exchange: Any) -> tuple[Target, ...]:
        return Target("vllm", "on-prem", "qwen3"), Target("openai", "openai", "gpt")

    assert case(given={"command": "ls", "llm": {"requestModel": "x"}}, expect="flag").run(RULES, targets) == ""
