"""The field `safeguards` of a request, and the results of a response."""

from __future__ import annotations

import json
from typing import Any, Literal

import msgspec
import pytest
from msgspec import Raw

from asgi_llmgate.exchange_values import ToolUse, Verdict
from asgi_llmgate.protocol.messages.safeguards import NO_TOOL_USES, classifier_context, one_line, results_json
from asgi_llmgate.testing.verdicts import complaint_about_results

ASKED = {"type": "dangerous_tool_use", "classifier_context": {"v": 1}}


@pytest.mark.parametrize(
    ("value", "context"),
    [
        ([ASKED], b'{"v":1}'),
        ([{"type": "other"}, 1, ASKED], b'{"v":1}'),
        ([{"type": "dangerous_tool_use"}], b"{}"),
        ([{"type": "dangerous_tool_use", "classifier_context": "x"}], b"{}"),
        ([], None),
        (None, None),
        ({}, None),
        (ASKED, None),
        ("dangerous_tool_use", None),
        ([{"type": "other"}], None),
        ([{"type": None}, {}, []], None),
        (["dangerous_tool_use"], None),
    ],
)
def test_a_request_asks_for_decisions_if_its_field_has_the_type(value: Any, context: bytes | None) -> None:
    assert classifier_context({"safeguards": Raw(msgspec.json.encode(value))}) == (context and Raw(context))


def test_a_request_without_the_field_asks_for_none() -> None:
    assert classifier_context({}) is None


def verdict(call_id: str, outcome: Literal["pass", "flag", "unavailable"], explanation: str = "x") -> Verdict:
    return Verdict(
        tool_use=ToolUse(call_id, "Bash", b"{}"), outcome=outcome, explanation=explanation, decided_by="rule"
    )


def test_results_have_a_verdict_for_each_call() -> None:
    verdicts = [verdict("a", "pass"), verdict("b", "flag", 'no "x"'), verdict("c", "unavailable")]
    results = json.loads(results_json([*verdicts, verdict("d", "flag", "")]))
    assert complaint_about_results(results, "abcd") == ""
    assert results[0]["status"]["tool_uses"] == {
        "a": {"type": "evaluated", "outcome": "not_flagged"},
        "b": {"type": "evaluated", "outcome": "flagged", "explanation": 'no "x"'},
        "c": {"type": "unavailable", "reason": "x"},
        "d": {"type": "evaluated", "outcome": "flagged", "explanation": "no reason was given"},
    }
    assert results_json([]) == NO_TOOL_USES


def test_of_the_verdicts_on_one_id_the_strictest_counts() -> None:
    outcomes: list[Literal["pass", "flag", "unavailable"]] = ["pass", "unavailable", "flag", "pass", "unavailable"]
    for count, told in ((1, "not_flagged"), (2, None), (3, "flagged"), (5, "flagged")):
        results = json.loads(results_json([verdict("a", outcome) for outcome in outcomes[:count]]))
        assert results[0]["status"]["tool_uses"]["a"].get("outcome") == told


@pytest.mark.parametrize(
    ("text", "clipped"),
    [
        ("plain words", "plain words"),
        (" two\r\nlines\x1b[31m ", "two lines\ufffd[31m"),
        ("turned \u202eround", "turned \ufffdround"),
        ("half \ud800", "half \ufffd"),
        ("x" * 300, "x" * 300),
        ("x" * 301, "x" * 299 + "…"),
        ("x" * 10_000_000, "x" * 299 + "…"),
        ("\n" * 10_000, ""),
    ],
)
def test_an_explanation_is_one_line_of_300_characters(text: str, clipped: str) -> None:
    assert one_line(text) == clipped
