"""Responses of a server of the same wire, which may give verdicts itself."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Literal

import pytest

from asgi_llmgate.errors import Overloaded, ShuttingDown
from asgi_llmgate.exchange_values import ToolUse, Verdict
from asgi_llmgate.protocol.buffer_limit import MAX_TOOL_CALLS, BufferLimit
from asgi_llmgate.protocol.messages.judged_forwarding import JudgedForwarder
from asgi_llmgate.protocol.rawjson import arrays

USAGE = {"input_tokens": 30, "output_tokens": 4}
PASS = {"type": "evaluated", "outcome": "not_flagged"}
FLAG = {"type": "evaluated", "outcome": "flagged", "explanation": "the server's reason"}
OURS = {"type": "evaluated", "outcome": "flagged", "explanation": "ours"}
BARE = {**FLAG, "explanation": None}
SKIPPED = {"type": "skipped"}
UNAVAILABLE = {"type": "unavailable", "reason": "timeout"}


def results(**tool_uses: Any) -> list[Any]:
    return [{"type": "dangerous_tool_use", "status": {"type": "available", "tool_uses": tool_uses}}]


def tool(call_id: str, name: str = "Bash", kind: str = "tool_use", **input: Any) -> dict[str, Any]:
    return {"type": kind, "id": call_id, "name": name, "input": input}


def message(*content: Any, **more: Any) -> dict[str, Any]:
    head = {"id": "msg_01", "type": "message", "role": "assistant", "model": "m", "content": list(content)}
    return {**head, "stop_reason": "tool_use", "stop_sequence": None, "usage": USAGE, **more}


def events(*content: Any, **more: Any) -> list[dict[str, Any]]:
    """A stream of the same; `more` is in the delta of `message_delta`."""
    written: list[dict[str, Any]] = [{"type": "message_start", "message": {**message(), "stop_reason": None}}]
    for index, block in enumerate(content):
        start = {**block, "input": {}} if "input" in block else block
        written.append({"type": "content_block_start", "index": index, "content_block": start})
        text = json.dumps(block.get("input"))
        for piece in (text[:3], text[3:]):
            delta = {"type": "input_json_delta", "partial_json": piece}
            written.append({"type": "content_block_delta", "index": index, "delta": delta})
        written.append({"type": "content_block_stop", "index": index})
    ending = {"stop_reason": "tool_use", "stop_sequence": None, **more}
    return [*written, {"type": "message_delta", "delta": ending, "usage": USAGE}, {"type": "message_stop"}]


def handler(stream: bool = True, limit: int = 2**20) -> JudgedForwarder:
    return JudgedForwarder(stream=stream, request_id="req_1", input_estimate=9, retained=BufferLimit(limit))


def fed(sent: Iterable[dict[str, Any]], end: bool = True) -> JudgedForwarder:
    forwarder = handler()
    for event in sent:
        forwarder.feed_event(json.dumps(event).encode())
    if end:
        forwarder.end()
    return forwarder


def read(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in data.decode().split("\n") if line.startswith("data: ")]


def verdict(use: ToolUse, outcome: Literal["pass", "flag", "unavailable"], explanation: str = "ours") -> Verdict:
    return Verdict(tool_use=use, outcome=outcome, explanation=explanation, decided_by="rule")


def release(forwarder: JudgedForwarder, **outcomes: Any) -> None:
    """With these verdicts; the server's own, or else a pass, for other calls."""
    assert forwarder.held is not None
    found = []
    for use in forwarder.held.tool_uses:
        own = forwarder.held.by_server.get(use.id, verdict(use, "pass"))
        found.append(verdict(use, outcomes[use.id]) if use.id in outcomes else own)
    forwarder.release(found)


def told(forwarder: JudgedForwarder) -> Any:
    """The results that the client is told."""
    assert (forwarder.done, forwarder.error, forwarder.held) == (True, None, None)
    deltas = [event["delta"] for event in read(forwarder.take()) if event["type"] == "message_delta"]
    return deltas[-1]["safeguard_results"]


def test_the_end_is_held_until_the_verdicts_are_there() -> None:
    sent = events(tool("a", command="ls"), tool("b", "Read"))
    forwarder = fed(sent)
    assert read(forwarder.take()) == sent[:-2]
    assert (forwarder.stopped, forwarder.done) == (True, False)
    assert forwarder.held is not None
    uses = forwarder.held.tool_uses
    assert [(use.id, use.name, use.input) for use in uses] == [
        ("a", "Bash", b'{"command": "ls"}'),
        ("b", "Read", b"{}"),
    ]
    forwarder.feed_event(b'{"type":"message_stop"}')
    forwarder.feed_document(b"{}")
    forwarder.ping()
    assert forwarder.take() == b": ping\n\n"
    release(forwarder, b="flag")
    assert told(forwarder) == results(a=PASS, b=OURS)


# What the server says of the calls a and b -> what the client is told where our verdicts change nothing, and where b is
# flagged by us.  None: as the server has it.
SERVERS: list[tuple[str, Any, Any, Any]] = [
    ("both passed", results(a=PASS, b=PASS), None, results(a=PASS, b=OURS)),
    ("one flagged", results(a=FLAG, b=PASS), None, results(a=FLAG, b=OURS)),
    ("the same flagged", results(a=PASS, b=FLAG), None, results(a=PASS, b=OURS)),
    ("flagged without a reason", results(a=BARE, b=PASS), None, results(a=BARE, b=OURS)),
    ("unavailable", results(a=UNAVAILABLE, b=PASS), results(a=PASS, b=PASS), results(a=PASS, b=OURS)),
    ("one left out", results(b=PASS), results(a=PASS, b=PASS), results(a=PASS, b=OURS)),
    ("skipped", results(a=SKIPPED, b=PASS), None, results(a=SKIPPED, b=OURS)),
    ("one more", results(a=PASS, b=PASS, x=FLAG), None, results(a=PASS, b=OURS, x=FLAG)),
    ("another type", [{"type": "x"}, *results(a=PASS, b=PASS)], None, [{"type": "x"}, *results(a=PASS, b=OURS)]),
]
NOT_READ: list[tuple[str, Any]] = [
    ("none", ...),
    ("null", None),
    ("an empty list", []),
    ("another type only", [{"type": "x"}]),
    ("two", results(a=FLAG) + results(a=FLAG)),
    ("unsupported", [{"type": "dangerous_tool_use", "status": {"type": "unsupported"}}]),
    ("all unavailable", [{"type": "dangerous_tool_use", "status": {"type": "unavailable", "reason": "x"}}]),
    ("no status", [{"type": "dangerous_tool_use"}]),
    ("no list", results(a=FLAG)[0]),
    ("an unknown outcome", results(a={**PASS, "outcome": "x"}, b=PASS)),
    ("an explanation that is no text", results(a={**PASS, "explanation": 1}, b=PASS)),
    ("unavailable without a reason", results(a={"type": "unavailable"}, b=PASS)),
    ("no object", results(a="flagged", b=PASS)),
    ("no objects", [{"type": "dangerous_tool_use", "status": {"type": "available", "tool_uses": []}}]),
    ("too large", results(a=FLAG, b={**FLAG, "explanation": "x" * 300_000})),
]


def ended(own: Any, **outcomes: Any) -> tuple[Any, Any]:
    """The results that the client is told, streamed and whole; and that nothing else is changed."""
    more = {} if own is ... else {"safeguard_results": own}
    content = tool("a", command="ls"), tool("b")
    sent, document = events(*content, **more), message(*content, **more)
    forwarder, whole = fed(sent), handler(stream=False)
    whole.feed_document(json.dumps(document).encode())
    for each in (forwarder, whole):
        release(each, **outcomes)
        assert (each.done, each.error, each.usage.output) == (True, None, 4)
    streamed, data = read(forwarder.take()), json.loads(whole.take())
    results = streamed[-2]["delta"].pop("safeguard_results"), data.pop("safeguard_results")
    sent[-2]["delta"].pop("safeguard_results", None)
    document.pop("safeguard_results", None)
    assert (streamed, data) == (sent, document)
    return results


@pytest.mark.parametrize(("own", "kept", "flagged"), [row[1:] for row in SERVERS], ids=[row[0] for row in SERVERS])
def test_a_servers_own_verdicts_are_kept_unless_ours_differ(own: Any, kept: Any, flagged: Any) -> None:
    assert ended(own) == (kept or own,) * 2
    assert ended(own, b="flag") == (flagged,) * 2


@pytest.mark.parametrize("own", [row[1] for row in NOT_READ], ids=[row[0] for row in NOT_READ])
def test_where_a_server_gives_none_that_a_client_takes_ours_are_told(own: Any) -> None:
    assert ended(own, b="flag") == (results(a=PASS, b=OURS),) * 2


@pytest.mark.parametrize("own", [results(), results(x=FLAG), ...], ids=["empty", "of another call", "none"])
def test_a_response_without_calls_waits_for_nobody(own: Any) -> None:
    more = {} if own is ... else {"safeguard_results": own}
    forwarder = fed(events({"type": "text", "text": ""}, **more))
    assert told(forwarder) == (results() if own is ... else own)


def test_what_is_not_changed_keeps_every_byte() -> None:
    lines = [
        json.dumps(event, indent=1 if event["type"] == "message_delta" else None).encode()
        for event in events(tool("a"), safeguard_results=results(a=PASS))
    ]
    forwarder = handler()
    for line in lines:
        forwarder.feed_event(line)
    release(forwarder)
    written = forwarder.take()
    assert all(line.replace(b"\n", b"\ndata: ") in written for line in lines)
    whole = handler(stream=False)
    document = json.dumps(message(tool("a"), safeguard_results=results(a=PASS)), indent=1).encode()
    whole.feed_document(document)
    release(whole)
    assert whole.take() == document


def test_results_are_in_one_event_where_the_server_has_them_in_several() -> None:
    sent = events(tool("a"), safeguard_results=results(a=PASS))
    sent.insert(-1, {"type": "message_delta", "delta": {"safeguard_results": results(a=FLAG)}, "usage": USAGE})
    sent.insert(-1, {"type": "message_delta", "delta": {}, "usage": USAGE})
    forwarder = fed(sent)
    assert forwarder.held is not None
    assert forwarder.held.by_server["a"].outcome == "flag"
    release(forwarder, a="unavailable")
    deltas = [event["delta"] for event in read(forwarder.take()) if event["type"] == "message_delta"]
    told = [delta.get("safeguard_results") for delta in deltas]
    assert told == [None, None, results(a={"type": "unavailable", "reason": "ours"})]


def test_only_calls_that_the_client_runs_are_judged() -> None:
    content = tool("a", kind="server_tool_use"), tool("b", kind="mcp_tool_use"), tool("c"), {"type": "text", "id": 1}
    forwarder = fed(events(*content))
    assert forwarder.held is not None
    assert [use.id for use in forwarder.held.tool_uses] == ["c"]


def test_an_input_that_stands_in_the_start_of_its_block_is_judged() -> None:
    sent = [event for event in events(tool("a", command="ls")) if event["type"] != "content_block_delta"]
    sent[1]["content_block"]["input"] = {"command": "ls"}
    forwarder = fed(sent)
    assert forwarder.held is not None
    assert forwarder.held.tool_uses[0].input == b'{"command": "ls"}'


def test_an_input_belongs_to_the_last_block_with_its_index() -> None:
    sent = events(tool("a", n=1))
    again = events(tool("b", n=2))
    forwarder = fed([*sent[:3], again[1], *again[2:]])
    assert forwarder.held is not None
    assert [(use.id, use.input) for use in forwarder.held.tool_uses] == [("a", b'{"n'), ("b", b'{"n": 2}')]
    text = events({"type": "text", "text": ""}, tool("b", n=2))
    assert fed(text).held is not None


@pytest.mark.parametrize("cut", ["before message_stop", "an error after the stop reason"])
def test_a_response_is_complete_when_it_has_a_stop_reason(cut: str) -> None:
    sent = events(tool("a"))[:-1]
    if cut != "before message_stop":
        sent.append({"type": "error", "error": {"type": "api_error", "message": "x"}})
    forwarder = fed(sent)
    forwarder.end()
    release(forwarder)
    assert told(forwarder) == results(a=PASS)


def test_a_response_that_breaks_off_earlier_ends_in_an_error() -> None:
    sent = events(tool("a"))
    for place in range(len(sent) - 2):
        forwarder = fed(sent[:place])
        assert forwarder.held is None
        assert read(forwarder.take())[-1]["type"] == "error"
    without_delta = fed([*sent[:-2], sent[-1]])
    assert read(without_delta.take())[-1]["type"] == "error"


@pytest.mark.parametrize("kind", [None, ShuttingDown, Overloaded])
def test_a_failure_while_the_end_is_held_ends_the_response(kind: Any) -> None:
    forwarder = fed(events(tool("a")))
    forwarder.take()
    forwarder.fail(ShuttingDown() if kind is None else kind("x") if kind is Overloaded else kind())
    assert forwarder.held is None
    assert [event["type"] for event in read(forwarder.take())] == ["error"]
    assert forwarder.done
    forwarder.fail(ShuttingDown())
    assert forwarder.take() == b""


ODD: list[dict[str, Any]] = [
    {"index": 0, "content_block": {"type": "tool_use", "id": None, "name": "Bash"}},
    {"index": 0, "content_block": {"type": "tool_use", "id": "a", "name": 1}},
    {"index": "0", "content_block": tool("a")},
]


@pytest.mark.parametrize("odd", ODD)
def test_a_call_that_cannot_be_read_is_not_let_pass(odd: dict[str, Any]) -> None:
    sent = events(tool("a"))
    forwarder = fed([sent[0], {"type": "content_block_start", **odd}, *sent[2:]])
    assert forwarder.error is not None
    assert "cannot be read" in forwarder.error.message
    if odd["index"] == 0:
        whole = handler(stream=False)
        whole.feed_document(json.dumps(message(odd["content_block"])).encode())
        assert whole.error is not None


def test_a_number_without_end_in_place_of_an_id_is_not_let_pass() -> None:
    whole = handler(stream=False)
    whole.feed_document(json.dumps(message(tool("ID"))).encode().replace(b'"ID"', b"9" * 5000))
    assert whole.error is not None


def test_what_is_kept_is_limited() -> None:
    many = fed(events(*(tool(f"a{number}") for number in range(MAX_TOOL_CALLS + 1))), end=False)
    assert many.error is not None
    long = handler(limit=1000)
    for event in events(tool("a", command="x" * 2000)):
        long.feed_event(json.dumps(event).encode())
    assert long.error is not None
    held = handler(limit=4000)
    for event in [*events(tool("a"))[:-1], *[{"type": "message_delta", "delta": {}}] * 20]:
        held.feed_event(json.dumps(event).encode())
    assert held.error is not None
    whole = handler(stream=False, limit=1000)
    whole.feed_document(json.dumps(message(tool("a", command="x" * 2000))).encode())
    assert whole.error is not None
    assert arrays.MAX_ELEMENTS == MAX_TOOL_CALLS  # a document cannot have more
