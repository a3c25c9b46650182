"""A strict reader of Anthropic's event stream, for tests: every deviation is an error.

Clients tolerate different deviations, so a stream that one client accepts may fail in another.  This reader tolerates
none: it expects each event exactly as https://platform.claude.com/docs/en/build-with-claude/streaming shows it,
`event:` line included, in the order of the grammar (see `asgi_llmgate.protocol.messages.events`), with every delta of
the kind of its block.  It shares no code with what it checks.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from asgi_llmgate.testing.verdicts import complaint_about_results

__all__ = ["FramingViolation", "OrderViolation", "ShapeViolation", "StreamViolation", "check_stream"]

_EMPTY_BLOCKS: dict[str, dict[str, Any]] = {
    "text": {"type": "text", "text": ""},
    "thinking": {"type": "thinking", "thinking": "", "signature": ""},
    "tool_use": {"type": "tool_use", "input": {}},
}
_DELTAS = {
    "text_delta": ("text", "text"),
    "thinking_delta": ("thinking", "thinking"),
    "signature_delta": ("thinking", "signature"),
    "input_json_delta": ("tool_use", "partial_json"),
}
_STOP_REASONS = {"end_turn", "max_tokens", "stop_sequence", "tool_use", "refusal"}
_ERROR_TYPES = {
    "invalid_request_error", "authentication_error", "billing_error", "permission_error", "not_found_error",
    "conflict_error", "request_too_large", "rate_limit_error", "api_error", "timeout_error", "overloaded_error",
}  # fmt: skip
_MESSAGE = {"id", "type", "role", "content", "model", "stop_reason", "stop_sequence", "usage"}
_USAGE = {"input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"}


class StreamViolation(AssertionError):
    """The stream is not valid.  `event` counts from 0."""

    def __init__(self, complaint: str, event: int) -> None:
        super().__init__(f"event {event}: {complaint}")
        self.event = event


class FramingViolation(StreamViolation):
    """The bytes are no server-sent events of the expected form."""


class OrderViolation(StreamViolation):
    """An event is not allowed at its place."""


class ShapeViolation(StreamViolation):
    """An event lacks something, or holds something wrong."""


def check_stream(data: bytes, *, complete: bool = True, any_input: bool = False) -> dict[str, Any]:
    """Read a stream to its end and return the Message that it tells, as a client would put it together.

    Beside the Message's own fields the result has `error` (the error object that the stream ended with, or None) and
    `open` (whether a block was left open).  With `complete=False` the stream may break off after any event.  With
    `any_input=True` a tool call's input may be any text, because a model may write any: what is not a JSON object is
    returned as `{"INVALID_JSON": text}`.  Raises a StreamViolation, which is an AssertionError, at the first thing that
    is wrong.
    """
    reader = _Reader(any_input=any_input)
    *events, rest = data.split(b"\n\n")
    for event in events:
        reader.read(event)
        reader.number += 1
    if rest:
        reader.fail(FramingViolation, f"no blank line after {rest[:80]!r}")
    if complete and not reader.ended:
        reader.fail(OrderViolation, "the stream breaks off")
    return {**reader.message, "error": reader.error, "open": reader.block is not None}


class _Reader:
    def __init__(self, *, any_input: bool) -> None:
        self.any_input = any_input
        self.inputs: dict[str, str] = {}  # by the call's id: what is not a JSON object
        self.number = 0
        self.message: dict[str, Any] = {"content": []}
        self.block: dict[str, Any] | None = None
        self.input = ""
        self.closing = False
        self.ended = False
        self.error: dict[str, Any] | None = None

    def fail(self, violation: type[StreamViolation], complaint: str) -> NoReturn:
        raise violation(complaint, self.number)

    def need(self, condition: object, complaint: str, violation: type[StreamViolation] = ShapeViolation) -> None:
        if not condition:
            self.fail(violation, complaint)

    def read(self, event: bytes) -> None:
        lines = event.split(b"\n")
        framed = len(lines) == 2 and lines[0].startswith(b"event: ") and lines[1].startswith(b"data: {")
        self.need(framed, f"not an `event:` and a `data:` line: {event[:80]!r}", FramingViolation)
        name = lines[0][7:].decode()
        try:
            payload = json.loads(lines[1][6:].decode())
        except ValueError as error:
            self.fail(FramingViolation, f"{name}: {error}")
        self.need(payload.get("type") == name, f"{name}: `type` says {payload.get('type')!r}")
        self.need(not self.ended, f"{name} after the end", OrderViolation)
        step = getattr(self, f"_{name}", None)
        self.need(step is not None, f"no such event: {name}", OrderViolation)
        begun = bool(self.message.get("id")) or name in {"message_start", "error"}
        self.need(begun, f"{name} before message_start", OrderViolation)
        self.need(
            not self.closing or name in {"message_stop", "ping", "error"}, f"{name} after message_delta", OrderViolation
        )
        assert step is not None
        step(payload)

    def _message_start(self, payload: dict[str, Any]) -> None:
        self.need("id" not in self.message, "a second message_start", OrderViolation)
        message: Any = payload.get("message")
        self.need(isinstance(message, dict) and set(message) == _MESSAGE, f"message_start holds {message!r}")
        self.need(message["type"] == "message" and message["role"] == "assistant", "not an assistant's message")
        self.need(message["id"] and message["model"], "no id or no model")
        self.need(message["content"] == [] and message["stop_reason"] is message["stop_sequence"] is None, "not empty")
        self._check_usage(message["usage"])
        self.message = message

    def _content_block_start(self, payload: dict[str, Any]) -> None:
        self.need(self.block is None, "a block begins while another is open", OrderViolation)
        self._check_index(payload, len(self.message["content"]))
        block: Any = payload.get("content_block")
        self.need(isinstance(block, dict) and block.get("type") in _EMPTY_BLOCKS, f"no such block: {block!r}")
        names = {key: block[key] for key in ("id", "name") if block["type"] == "tool_use" and block.get(key)}
        self.need(block["type"] != "tool_use" or len(names) == 2, "a call without id or name")
        self.need(block == _EMPTY_BLOCKS[block["type"]] | names, "a block that begins with content")
        used = {other["id"] for other in self.message["content"] if other["type"] == "tool_use"}
        self.need(names.get("id") not in used, f"the id {names.get('id')!r} comes twice")
        self.block, self.input = block, ""
        self.message["content"].append(block)

    def _content_block_delta(self, payload: dict[str, Any]) -> None:
        self._check_open(payload)
        delta: Any = payload.get("delta")
        self.need(isinstance(delta, dict) and delta.get("type") in _DELTAS, f"no such delta: {delta!r}")
        kind, field = _DELTAS[delta["type"]]
        assert self.block is not None
        self.need(self.block["type"] == kind, f"a {delta['type']} in a {self.block['type']} block")
        self.need(set(delta) == {"type", field} and isinstance(delta[field], str), f"not a {delta['type']}: {delta!r}")
        self.need(delta[field], "an empty delta")
        self.need(not self.block.get("signature"), "a delta after the signature", OrderViolation)
        if kind == "tool_use":
            self.input += delta[field]
        else:
            self.block[field] += delta[field]

    def _content_block_stop(self, payload: dict[str, Any]) -> None:
        self._check_open(payload)
        assert self.block is not None
        self.need(self.block["type"] != "thinking" or self.block["signature"], "thinking without a signature")
        if self.block["type"] == "tool_use":
            self.block["input"] = self._read_input()
        self.block = None

    def _message_delta(self, payload: dict[str, Any]) -> None:
        self.need(self.block is None, "message_delta while a block is open", OrderViolation)
        delta = payload.get("delta", {})
        optional = {"stop_details", "safeguard_results"}
        self.need(set(delta) - optional == {"stop_reason", "stop_sequence"}, f"message_delta holds {delta!r}")
        if "safeguard_results" in delta:
            ids = [block["id"] for block in self.message["content"] if block["type"] == "tool_use"]
            complaint = complaint_about_results(delta["safeguard_results"], ids)
            self.need(not complaint, complaint)
        self.need(delta["stop_reason"] in _STOP_REASONS, f"no such stop_reason: {delta['stop_reason']!r}")
        matched = delta["stop_sequence"] is not None
        self.need(
            matched == (delta["stop_reason"] == "stop_sequence"), "stop_sequence without its reason, or the reverse"
        )
        self.need(("stop_details" in delta) == (delta["stop_reason"] == "refusal"), "stop_details without refusal")
        half = [block for block in self.message["content"] if block.get("input", {}) is None]
        cut = delta["stop_reason"] in {"max_tokens", "refusal"}
        self.need(not half or cut or self.any_input, "an incomplete tool call that is marked as complete")
        for block in half:
            block["input"] = {} if cut else {"INVALID_JSON": self.inputs[block["id"]]}
        called = any(block["type"] == "tool_use" for block in self.message["content"])
        self.need(called or delta["stop_reason"] != "tool_use", "tool_use without a call")
        self._check_usage(payload.get("usage"))
        self.message |= delta | {"usage": payload["usage"]}
        self.closing = True

    def _message_stop(self, payload: dict[str, Any]) -> None:
        self.need(self.closing, "message_stop without message_delta", OrderViolation)
        self.need(payload == {"type": "message_stop"}, "message_stop holds something")
        self.ended = True

    def _ping(self, payload: dict[str, Any]) -> None:
        self.need(payload == {"type": "ping"}, "ping holds something")

    def _error(self, payload: dict[str, Any]) -> None:
        error: Any = payload.get("error")
        self.need(isinstance(error, dict) and set(error) == {"type", "message"}, f"error holds {error!r}")
        self.need(error["type"] in _ERROR_TYPES, f"no such error type: {error['type']!r}")
        self.need(isinstance(error["message"], str) and error["message"], "an error without a message")
        self.error = error
        self.ended = True

    def _check_index(self, payload: dict[str, Any], expected: int) -> None:
        self.need(
            payload.get("index") == expected, f"index {payload.get('index')!r} instead of {expected}", OrderViolation
        )

    def _check_open(self, payload: dict[str, Any]) -> None:
        self.need(self.block is not None, f"{payload['type']} while no block is open", OrderViolation)
        self._check_index(payload, len(self.message["content"]) - 1)

    def _check_usage(self, usage: Any) -> None:
        self.need(
            isinstance(usage, dict) and set(usage) - {"output_tokens_details"} == _USAGE, f"not a usage: {usage!r}"
        )
        self.need(all(isinstance(usage[key], int) and usage[key] >= 0 for key in _USAGE), f"not counts: {usage!r}")

    def _read_input(self) -> dict[str, Any] | None:
        """The input of the call that ends; None for half of one, which only some stop reasons excuse."""
        assert self.block is not None
        try:
            value = json.loads(self.input)
        except ValueError:
            value = None
        if value is None or (self.any_input and not isinstance(value, dict)):
            self.inputs[self.block["id"]] = self.input
            return None
        self.need(isinstance(value, dict), f"a tool input that is no object: {self.input[:80]!r}")
        assert isinstance(value, dict)
        return value
