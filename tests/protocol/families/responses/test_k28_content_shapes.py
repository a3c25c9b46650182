"""K28: text and reasoning in other shapes than a string, and null wherever a value may stand."""

from __future__ import annotations

from typing import Any

import pytest

from tests.protocol.responses import (
    A,
    call,
    calls,
    chunk,
    collected,
    completion,
    sse,
    streamed,
    text,
    thinking,
    tool,
    whole,
)

TEXTS: dict[str, Any] = {
    "strings": ["Ans", "wer"],
    "strings and parts": ["Ans", {"type": "text", "text": "wer"}],
    "parts and nulls": [None, {"type": "text", "text": "Answer"}, None, {"type": "text", "text": None}],
    "one part without a list": {"type": "text", "text": "Answer"},
    "parts without a type": [{"text": "Ans"}, {"text": "wer"}],
    "a type that is null": [{"type": None, "text": "Answer"}],
    "output_text": [{"type": "output_text", "text": "Answer", "annotations": []}],
    "a value in a text": [{"type": "text", "text": {"value": "Answer", "annotations": []}}],
    "content in a part": [{"type": "text", "content": "Answer"}],
    "lists in a list": [["Ans", ["wer"]]],
    "a picture beside it": [{"type": "image_url", "image_url": {"url": "x"}}, {"type": "text", "text": "Answer"}],
    "a citation beside it": [{"type": "reference", "reference_ids": [1]}, {"type": "text", "text": "Answer"}],
}

REASONINGS: dict[str, dict[str, Any]] = {
    "reasoning_content": {"reasoning_content": "hm"},
    "an object with a text": {"reasoning_content": {"text": "hm"}},
    "an object with content": {"reasoning": {"content": "hm"}},
    "an object with a thinking": {"reasoning": {"type": "thinking", "thinking": "hm"}},
    "an object with a list": {"reasoning": {"summary": [{"type": "summary_text", "text": "hm"}]}},
    "a list of strings": {"reasoning": ["h", "m"]},
    "a list of parts": {"reasoning_content": [{"type": "text", "text": "h"}, {"type": "text", "text": "m"}]},
    "Copilot": {"reasoning_text": "hm", "reasoning_opaque": "zz"},
    "Ollama's own name": {"thinking": "hm"},
    "details with nulls": {"reasoning_details": [{"type": "reasoning.text", "text": "hm", "signature": None}, None]},
    "an empty name before": {"reasoning_content": "", "reasoning": None, "reasoning_details": [{"text": "hm"}]},
    "a part with a summary": {
        "content": [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm", "signature": "x"}]}]
    },
    "a part with a text": {"content": [{"type": "reasoning_text", "text": "hm"}]},
    "a part with content": {"content": [{"type": "reasoning", "content": [{"type": "reasoning_text", "text": "hm"}]}]},
    "a thinking part": {
        "content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}], "closed": True}]
    },
    "a thinking part without a type": {"content": [{"thinking": "hm"}]},
    "a redacted part beside it": {
        "content": [{"type": "redacted_thinking", "data": "zz"}, {"type": "thinking", "thinking": "hm"}]
    },
}


@pytest.mark.parametrize("shape", TEXTS)
def test_a_text(shape: str) -> None:
    content = TEXTS[shape]
    data = sse(chunk(content=content), chunk(finish="stop"))
    for told in (streamed(data), collected(data), whole(completion(content=content))):
        assert told.content == [text("Answer")]


@pytest.mark.parametrize("shape", REASONINGS)
def test_a_reasoning(shape: str) -> None:
    delta = REASONINGS[shape]
    data = sse(chunk(**delta), chunk(content="Answer"), chunk(finish="stop"))
    for told in (streamed(data), collected(data)):
        assert told.content == [thinking("hm"), text("Answer")]
    content = [*delta.get("content", []), {"type": "text", "text": "Answer"}]
    assert whole(completion(**{**delta, "content": content})).content == [thinking("hm"), text("Answer")]


@pytest.mark.parametrize("shape", REASONINGS)
def test_a_reasoning_in_pieces(shape: str) -> None:
    told = streamed(sse(chunk(**REASONINGS[shape]), chunk(**REASONINGS[shape]), chunk(finish="stop")))
    assert told.content == [thinking("hmhm")]


def test_a_part_with_a_refusal_is_a_refusal() -> None:
    told = whole(completion(content=[{"type": "refusal", "refusal": "No."}]))
    assert told.content == [text("No.")]
    assert told.message["stop_reason"] == "refusal"


@pytest.mark.parametrize(
    "value",
    [7, True, {}, [], [[]], [{}], {"type": "text"}, [7, {"text": 7}], {"text": {"text": {"text": {"text": {}}}}}],
)
def test_a_value_without_a_text_is_nothing(value: Any) -> None:
    told = streamed(
        sse(chunk(content=value, reasoning=value, refusal=value), chunk(content="Hi"), chunk(finish="stop"))
    )
    assert told.content == [text("Hi")]


NULLS = {
    "delta": {"delta": None},
    "both": {"delta": None, "message": None},
    "everything in it": {
        "delta": dict.fromkeys(
            ["role", "content", "reasoning", "reasoning_content", "reasoning_details", "refusal", "tool_calls",
             "function_call", "audio"]
        )
    },
    "no delta": {},
    "a call": {"delta": {"tool_calls": [{"index": 0, "id": None, "type": None, "function": None}]}},
    "a call's function": {"delta": {"tool_calls": [{"index": 0, "function": {"name": None, "arguments": None}}]}},
    "other members": {"delta": {}, "logprobs": None, "stop_reason": None, "matched_stop": None, "usage": None},
}  # fmt: skip


@pytest.mark.parametrize("nulls", NULLS)
def test_nulls_are_nothing(nulls: str) -> None:
    choice = {"index": 0, "finish_reason": None, **NULLS[nulls]}
    odd = {"id": None, "model": None, "object": None, "usage": None, "error": None, "choices": [choice]}
    told = streamed(sse(calls(call(0, **A)), odd, odd, chunk(finish="tool_calls"), odd))
    assert told.content == [tool("a", "A", x=1)]
    assert told.message["stop_reason"] == "tool_use"
