"""benchmarks/side_by_side: its results as a page, and the yardstick, whose responses are a gateway's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.side_by_side import bodies, rows
from benchmarks.side_by_side.report import markdown, quotation, quoted, with_quotation
from benchmarks.side_by_side.results import WITHOUT, Result, Run
from benchmarks.side_by_side.wire import COMPLETION, stream_of_events
from benchmarks.side_by_side.yardstick import events
from benchmarks.side_by_side.yardstick.documents import decode_request, to_chat, to_message

ROOT = Path(__file__).parents[2]
ROW = replace(rows.cpu_rows(0.1)[0], goal=2.0, prototype=1.0)


def result(ours: Sequence[float], yardstick: Sequence[float] = (100, 100, 100)) -> Result:
    return Result(ROW, {"null": [30.0], "yardstick": yardstick, "gateway": ours})


def run(*results: Result) -> Run:
    return Run("python -m benchmarks.side_by_side", results, facts={"Python": "CPython"})


@pytest.mark.parametrize(
    ("ours", "yardstick", "met"),
    [
        ((190, 200, 200), (100, 100, 100), True),
        ((210, 210, 210), (100, 100, 100), False),
        ((100, 200, 300), (50, 100, 150), True),  # a slow round is slow for both
        ((100, 200, 300), (100, 100, 100), None),
        ((100, 150, 200) * 50, (100, 100, 100) * 50, True),  # many rounds tell the median of what scatters
    ],
)
def test_a_goal_is_met_by_the_ratio_of_rounds_and_an_uncertain_row_is_void(
    ours: Sequence[float], yardstick: Sequence[float], met: bool | None
) -> None:
    found = result(ours, yardstick)
    assert found.met is met
    assert ("| void |" in markdown(run(found))) is (met is None)
    assert ("**not met**" in markdown(run(found))) is (met is False)


def test_a_ratio_to_the_prototype_is_the_one_to_the_yardstick_divided_by_what_the_prototype_cost() -> None:
    found = Result(replace(ROW, prototype=1.6), result([240.0] * 3).figures)
    assert found.measured == pytest.approx([1.5] * 3)
    assert "| 2.40 | 1.50 |" in markdown(run(found))


@pytest.mark.parametrize(("without", "counts"), [(100.0, False), (1000.0, True)])
def test_what_a_part_adds_is_judged_by_the_call_that_it_is_added_to(without: float, counts: bool) -> None:
    found = Result(rows.LEDGER, {"gateway": [0.0, 20.0, 40.0], WITHOUT: [without] * 3})
    assert found.counts is counts
    assert f"| 20 (+{20 / without:.0%}) |" in markdown(run(found))


def test_a_run_is_kept_as_json() -> None:
    kept = run(result([150.0, 151.0, 152.0]))
    again = Run.from_json(json.loads(json.dumps(kept.as_json())))
    assert markdown(again) == markdown(kept)


def test_the_readme_quotes_the_results_as_they_are() -> None:
    results, readme = (ROOT / "benchmarks/RESULTS.md").read_text("utf-8"), (ROOT / "README.md").read_text("utf-8")
    assert quoted(readme) == quoted(results) != ""


def test_a_quotation_replaces_the_one_before() -> None:
    new = quotation(run(result([150.0, 151.0, 152.0])))
    page = with_quotation((ROOT / "README.md").read_text("utf-8"), new)
    assert quoted(page) == new
    assert "| small call, 16 connections, µs | 151 | 30 |" in new
    with pytest.raises(ValueError, match="substring"):
        with_quotation("# A page without marks", new)


def test_of_a_run_on_a_busy_machine_nothing_is_quoted() -> None:
    assert "none of its figures counts" in quotation(run(result([100.0, 200.0, 300.0])))


def test_the_yardstick_translates_a_conversation() -> None:
    request = decode_request(bodies.large())
    sent = json.loads(to_chat(request))
    asked = json.loads(bodies.large())
    assert [turn["role"] for turn in sent["messages"][:4]] == ["system", "user", "assistant", "tool"]
    call = asked["messages"][1]["content"][1]
    assert json.loads(sent["messages"][2]["tool_calls"][0]["function"]["arguments"]) == call["input"]
    assert [tool["function"]["parameters"] for tool in sent["tools"]] == [
        tool["input_schema"] for tool in asked["tools"]
    ]
    message, usage = to_message(COMPLETION.partition(b"\r\n\r\n")[2])
    assert json.loads(message)["content"] == [{"type": "text", "text": "word " * 240}]
    assert json.loads(message)["usage"] == {
        "input_tokens": 225,
        "cache_read_input_tokens": 4096,
        "output_tokens": usage.completion_tokens,
    }


@pytest.mark.parametrize("size", [7, 10_000])
def test_the_yardstick_translates_a_stream_however_it_is_divided(size: int) -> None:
    wire = b"".join(stream_of_events(30)).replace(b" word7", b' \\"word7\\"')
    translation = events.Events()
    written = b"".join(translation.feed(wire[at : at + size]) for at in range(0, len(wire), size))
    data = [json.loads(line[6:]) for line in written.split(b"\n") if line.startswith(b"data: ")]
    texts = [each["delta"]["text"] for each in data if each["type"] == "content_block_delta"]
    assert texts == [f" word{number}" if number != 7 else ' "word7"' for number in range(30)]
    assert data[0]["type"] == "message_start"
    assert [each["type"] for each in data[-3:]] == ["content_block_stop", "message_delta", "message_stop"]
    assert translation.usage.completion_tokens == 300


def test_the_yardstick_decodes_one_chunk_with_text(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    decode = events._decode
    monkeypatch.setattr(events, "_decode", lambda chunk: decoded.append(chunk) or decode(chunk))
    events.Events().feed(b"".join(stream_of_events(30)))
    assert len(decoded) == 4  # the role, the first text, the finish reason, the usage
