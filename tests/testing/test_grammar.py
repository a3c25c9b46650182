from __future__ import annotations

import json
from typing import Any

import pytest

from asgi_llmgate.testing.grammar import FramingViolation, OrderViolation, ShapeViolation, StreamViolation, check_stream

USAGE = {
    "input_tokens": 5, "output_tokens": 0, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
}  # fmt: skip
MESSAGE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [],
    "stop_reason": None, "stop_sequence": None, "usage": USAGE,
}  # fmt: skip
START = {"type": "message_start", "message": MESSAGE}
STOP = {"type": "message_stop"}
PING = {"type": "ping"}
TOOL = {"type": "tool_use", "id": "a", "name": "A", "input": {}}
THOUGHT = {"type": "thinking", "thinking": "", "signature": ""}


def opened(index: int = 0, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block or {"type": "text", "text": ""}}


def delta(index: int = 0, **delta: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": delta or {"type": "text_delta", "text": "a"}}


def piece(text: str) -> dict[str, Any]:
    return delta(type="input_json_delta", partial_json=text)


def closed(index: int = 0) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def ended(reason: Any = "end_turn", **more: Any) -> dict[str, Any]:
    fields = {"stop_reason": reason, "stop_sequence": None, **more}
    return {"type": "message_delta", "delta": fields, "usage": USAGE}


def failed(error_type: str = "api_error", message: str = "no") -> dict[str, Any]:
    return {"type": "error", "error": {"type": error_type, "message": message}}


def wire(*events: dict[str, Any]) -> bytes:
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)


TEXT = [opened(), delta(), closed()]
SIGNED = delta(type="signature_delta", signature="s")


def test_a_whole_stream_is_put_together() -> None:
    signed = delta(1, type="signature_delta", signature="s")
    thought = [opened(1, **THOUGHT), delta(1, type="thinking_delta", thinking="hm"), signed, closed(1)]
    data = wire(START, PING, *TEXT, *thought, ended(), PING, STOP)
    assert check_stream(data) == MESSAGE | {
        "content": [{"type": "text", "text": "a"}, {"type": "thinking", "thinking": "hm", "signature": "s"}],
        "stop_reason": "end_turn",
        "error": None,
        "open": False,
    }


def test_a_stream_that_ends_in_an_error_says_so() -> None:
    told = check_stream(wire(START, opened(), delta(), failed()))
    assert told["error"] == {"type": "api_error", "message": "no"}
    assert told["open"]


def test_an_error_may_come_first() -> None:
    assert check_stream(wire(failed()))["error"]


def test_a_beginning_is_enough_if_asked_for() -> None:
    assert check_stream(wire(START, opened()), complete=False)["open"]


def test_half_a_call_is_excused_by_the_limit() -> None:
    assert check_stream(wire(START, opened(**TOOL), piece('{"x'), closed(), ended("max_tokens"), STOP))["content"][0]


REFUSED = {"stop_details": {"type": "refusal"}}

WRONG: list[tuple[str, type[StreamViolation], bytes]] = [
    ("no event line", FramingViolation, b'data: {"type":"ping"}\n\n'),
    ("a comment", FramingViolation, b": hello\n\n"),
    ("no blank line", FramingViolation, wire(START)[:-1]),
    ("no JSON", FramingViolation, b"event: ping\ndata: {\n\n"),
    ("names differ", ShapeViolation, b'event: ping\ndata: {"type":"pong"}\n\n'),
    ("DONE", FramingViolation, wire(START, *TEXT, ended(), STOP) + b"data: [DONE]\n\n"),
    ("unknown event", OrderViolation, wire({"type": "hello"})),
    ("breaks off", OrderViolation, wire(START, *TEXT, ended())),
    ("nothing", OrderViolation, b""),
    ("no start", OrderViolation, wire(opened())),
    ("ping before the start", OrderViolation, wire(PING)),
    ("two starts", OrderViolation, wire(START, START)),
    ("after the end", OrderViolation, wire(START, *TEXT, ended(), STOP, PING)),
    ("after an error", OrderViolation, wire(START, failed(), ended())),
    ("block after message_delta", OrderViolation, wire(START, ended(), opened())),
    ("stop without delta", OrderViolation, wire(START, STOP)),
    ("two open blocks", OrderViolation, wire(START, opened(), opened(1))),
    ("index with a gap", OrderViolation, wire(START, *TEXT, opened(2))),
    ("delta without a block", OrderViolation, wire(START, delta())),
    ("delta to a closed block", OrderViolation, wire(START, *TEXT, delta())),
    ("delta to another block", OrderViolation, wire(START, *TEXT, opened(1), delta(0))),
    ("stop without a block", OrderViolation, wire(START, closed())),
    ("message_delta over an open block", OrderViolation, wire(START, opened(), ended())),
    ("after the signature", OrderViolation, wire(
        START,
        opened(**THOUGHT),
        delta(type="signature_delta", signature="s"),
        delta(type="thinking_delta", thinking="a"),
    )),
    ("no message", ShapeViolation, wire({"type": "message_start"})),
    ("a key too few", ShapeViolation, wire({**START, "message": {k: v for k, v in MESSAGE.items() if k != "usage"}})),
    ("another role", ShapeViolation, wire({**START, "message": {**MESSAGE, "role": "user"}})),
    ("no id", ShapeViolation, wire({**START, "message": {**MESSAGE, "id": ""}})),
    ("content at the start", ShapeViolation, wire({**START, "message": {**MESSAGE, "content": [1]}})),
    ("usage is null", ShapeViolation, wire({**START, "message": {**MESSAGE, "usage": None}})),
    ("negative usage", ShapeViolation, wire({**START, "message": {**MESSAGE, "usage": {**USAGE, "input_tokens": -1}}})),
    ("unknown block", ShapeViolation, wire(START, opened(type="image"))),
    ("text in the start", ShapeViolation, wire(START, opened(type="text", text="a"))),
    ("input in the start", ShapeViolation, wire(START, opened(**{**TOOL, "input": {"x": 1}}))),
    ("call without a name", ShapeViolation, wire(START, opened(**{**TOOL, "name": ""}))),
    ("an id twice", ShapeViolation, wire(START, opened(**TOOL), piece("{}"), closed(), opened(1, **TOOL))),
    ("unknown delta", ShapeViolation, wire(START, opened(), delta(type="odd"))),
    ("delta of another kind", ShapeViolation, wire(START, opened(), piece("{}"))),
    ("delta that is no text", ShapeViolation, wire(START, opened(), delta(type="text_delta", text=1))),
    ("empty delta", ShapeViolation, wire(START, opened(), delta(type="text_delta", text=""))),
    ("no signature", ShapeViolation, wire(START, opened(**THOUGHT), closed())),
    ("input that is no object", ShapeViolation, wire(START, opened(**TOOL), piece("[]"), closed())),
    ("half a call", ShapeViolation, wire(START, opened(**TOOL), piece('{"x'), closed(), ended("tool_use"))),
    ("tool_use without a call", ShapeViolation, wire(START, *TEXT, ended("tool_use"))),
    ("unknown stop reason", ShapeViolation, wire(START, ended("stop"))),
    ("message_delta with more", ShapeViolation, wire(START, ended(x=1))),
    ("sequence without reason", ShapeViolation, wire(START, ended(stop_sequence="END"))),
    ("reason without sequence", ShapeViolation, wire(START, ended("stop_sequence"))),
    ("details without refusal", ShapeViolation, wire(START, ended(**REFUSED))),
    ("refusal without details", ShapeViolation, wire(START, ended("refusal"))),
    ("no usage at the end", ShapeViolation, wire(START, {**ended(), "usage": None})),
    ("message_stop with more", ShapeViolation, wire(START, ended(), {**STOP, "x": 1})),
    ("ping with more", ShapeViolation, wire(START, {**PING, "x": 1})),
    ("error of no type", ShapeViolation, wire(failed("server_error"))),
    ("error without words", ShapeViolation, wire(failed(message=""))),
    ("error of another shape", ShapeViolation, wire({"type": "error", "error": "no"})),
]  # fmt: skip


@pytest.mark.parametrize(("violation", "data"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_what_is_wrong_is_named(violation: type[StreamViolation], data: bytes) -> None:
    with pytest.raises(violation) as caught:
        check_stream(data)
    assert type(caught.value) is violation
    assert str(caught.value).startswith(f"event {caught.value.event}: ")
