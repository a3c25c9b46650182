"""What is printed: lines, JSON, and no secret."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_llmgate.cli.doctor.report import Mask, Report
from asgi_llmgate.cli.doctor.steps import Step, timed
from asgi_llmgate.config.checking.findings import Finding

KEY = "sk-live_abcdefgh-12345678/xyz+="


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"Incorrect API key provided: {KEY}.", "Incorrect API key provided: [secret]."),
        ("the key sk-live_abcdefgh-123 is unknown", "the key [secret] is unknown"),
        ("key=sk-live_abcdefgh-123&x", "key=[secret]&x"),
        ("the model gpt-4o-mini", "the model gpt-4o-mini"),
        ("live", "live"),
        ("\x1b[2Jred\nline\x07", " [2Jred line "),
        ("Müller schreibt «ja»", "Müller schreibt «ja»"),
    ],
)
def test_a_secret_and_a_part_of_it_are_not_shown(text: str, shown: str) -> None:
    assert Mask([KEY])(text) == shown


def test_what_is_too_short_to_be_a_secret_hides_nothing() -> None:
    assert Mask(["", "no"])("no key") == "no key"


def test_a_text_is_cut() -> None:
    assert len(Mask()("a b " * 10_000)) == 1200


@settings(max_examples=25)
@given(st.text(alphabet="abcXYZ019_-.", min_size=8, max_size=40), st.text(max_size=9), st.text(max_size=9))
def test_no_secret_is_left_whatever_stands_around_it(secret: str, before: str, after: str) -> None:
    masked = Mask([secret, secret[::-1]])(before + secret + after)
    assert secret not in masked


def test_a_line_has_state_time_place_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report("a.yaml", Mask(), lambda finding: replace(finding, file="a.yaml", line=3, column=5))
    report.add(Step(path="backends.x.base_url", message="connected", seconds=0.0123))
    report.add(Step(state="error", path="models[0].use", message="no", hint="do", shown="API Error: 502 no", seconds=2))
    report.add(Step(state="skipped", path="models[1].use", message="not asked"))
    report.end()
    assert capsys.readouterr().out.splitlines() == [
        "ok          12 ms backends.x.base_url: connected",
        "error     2000 ms models[0].use: no",
        "                  a.yaml:3:5",
        "                  to do: do",
        "                  Claude Code shows: API Error: 502 no",
        "-                 models[1].use: not asked",
        "1 error",
    ]


def test_json_has_the_findings_and_the_steps(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report("a.yaml", Mask(["s3cr3t-word"]), lambda finding: finding, as_json=True)
    report.add(Step(path="a", message="fine", seconds=0.5))
    report.add(Step(state="warning", path="b", message="odd s3cr3t-word", hint="do"))
    report.end()
    printed = json.loads(capsys.readouterr().out)
    finding = {"severity": "warning", "message": "odd [secret]", "path": "b", "hint": "do"}
    assert printed["file"] == "a.yaml"
    assert printed["findings"] == [finding]
    assert [row["state"] for row in printed["steps"]] == ["ok", "warning"]
    assert printed["steps"][0]["milliseconds"] == 500


def test_a_step_is_a_finding_where_something_is_wrong() -> None:
    step = Step(state="error", path="a", message="b", hint="c")
    assert step.finding == Finding("error", "b", "a", "c")
    assert replace(step, state="ok").finding is None
    assert replace(step, state="skipped").finding is None


async def test_a_step_has_the_time_since_the_one_before() -> None:
    ticks = iter([0.0, 1.0, 5.0, 7.5, 8.0, 9.0, 10.0])

    async def steps():
        yield Step(path="a", message="")
        yield Step(path="b", message="")
        yield Step(path="c", message="", state="skipped")

    found = [step.seconds async for step in timed(steps(), lambda: next(ticks))]
    assert found == [1.0, 2.5, None]
