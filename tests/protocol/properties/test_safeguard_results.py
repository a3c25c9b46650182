"""Whatever a server sends: the client gets a well-formed result for each tool call that it sees, or an error."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from asgi_llmgate.errors import ShuttingDown
from asgi_llmgate.exchange_values import ToolUse, Verdict
from asgi_llmgate.protocol.buffer_limit import BufferLimit
from asgi_llmgate.protocol.messages.events import MessageEmitter, SSEEmitter
from asgi_llmgate.protocol.messages.judged_forwarding import JudgedForwarder
from asgi_llmgate.protocol.translation.response.translator import Translator
from asgi_llmgate.testing.grammar import check_stream
from asgi_llmgate.testing.verdicts import complaint_about_results
from tests.protocol.properties.test_any_response import bodies
from tests.protocol.responses import PLAN, Script, call, calls, chunk, cut_up, feed, scripts, sse

ASKED = replace(PLAN, safeguards=True)
OUTCOMES: Any = ("pass", "flag", "unavailable")
tried = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
seeds = st.integers(0, 999)


def released(handler: Any, seed: int) -> Sequence[ToolUse]:
    """Release what is held, if anything is, with some verdicts: the tool uses that were judged."""
    if handler.held is None:
        assert handler.done
        return ()
    assert handler.held.tool_uses
    assert (handler.stopped, handler.done, handler.error) == (True, False, None)
    tool_uses: Sequence[ToolUse] = handler.held.tool_uses
    why = "why\n" * (seed % 200)
    handler.release(
        [
            Verdict(tool_use=use, outcome=OUTCOMES[(seed + number) % 3], explanation=why, decided_by="rule")
            for number, use in enumerate(tool_uses)
        ]
    )
    assert (handler.done, handler.held) == (True, None)
    return tool_uses


def check(data: bytes, tool_uses: Sequence[ToolUse], *, stream: bool) -> None:
    """The results are about the calls that the client reads, and these are what was judged."""
    message = check_stream(data, any_input=True) if stream else json.loads(data)
    called = [block for block in message["content"] if block["type"] == "tool_use"]
    assert [(use.id, use.name) for use in tool_uses] == [(block["id"], block["name"]) for block in called]
    assert complaint_about_results(message["safeguard_results"], [use.id for use in tool_uses]) == ""
    for use, block in zip(tool_uses, called, strict=True):
        try:
            assert json.loads(use.input) == block["input"]
        except ValueError:
            assert block["input"] in ({}, {"INVALID_JSON": use.input.decode()})


def translators(plan: Any = ASKED) -> list[tuple[bool, Translator]]:
    """For a client that streams, and for one that does not."""
    return [(True, Translator(plan, SSEEmitter())), (False, Translator(plan, MessageEmitter()))]


@tried
@given(scripts(), st.data(), seeds)
def test_every_response_has_results_wherever_its_bytes_are_cut(script: Script, data: st.DataObject, seed: int) -> None:
    end = data.draw(st.just(len(script.data)) | st.integers(0, len(script.data)))
    pieces = data.draw(cut_up(script.data[:end]))
    for stream, translator in translators():
        feed(pieces, translator)
        tool_uses = released(translator, seed)
        if translator.error is None:
            check(translator.take(), tool_uses, stream=stream)
        elif stream:
            assert b"safeguard_results" not in translator.take()


@tried
@given(scripts(tidy=True), seeds)
def test_a_completion_has_results(script: Script, seed: int) -> None:
    for stream, translator in translators():
        translator.feed_document(json.dumps(script.completion).encode())
        tool_uses = released(translator, seed)
        check(translator.take(), tool_uses, stream=stream)


@tried
@given(scripts(), bodies, seeds)
def test_what_comes_after_the_end_changes_nothing(script: Script, junk: bytes, seed: int) -> None:
    for stream, translator in translators():
        feed([script.data], translator)
        for more in (junk, b"[DONE]", json.dumps(chunk(content="x")).encode()):
            translator.feed_event(more)
        translator.end()
        tool_uses = released(translator, seed)
        check(translator.take(), tool_uses, stream=stream)


LEAKS = replace(ASKED, leaked_calls=frozenset({"hermes"}), tools=b'[{"type":"function","function":{"name":"A"}}]')
LEAK = '<tool_call>\n{"name": "A", "arguments": {"x": 1}}\n</tool_call>'
ENDINGS: dict[str, tuple[Any, dict[str, Any], list[str]]] = {
    "a refusal": (ASKED, chunk(content="no", finish="content_filter"), []),
    "a call and a refusal": (ASKED, calls(call(name="A", args='{"x":'), finish="content_filter"), ["A"]),
    "half of an input": (ASKED, calls(call(name="A", args='{"x":'), finish="length"), ["A"]),
    "a call that has no name yet": (ASKED, calls(call(args='{"x":'), finish="length"), []),
    "no input": (ASKED, calls(call(name="A", args=""), finish="tool_calls"), ["A"]),
    "an input that is no object": (ASKED, calls(call(name="A", args="x"), finish="tool_calls"), ["A"]),
    "an empty text": (ASKED, chunk(content="", finish="stop"), []),
    "a call without tools": (replace(ASKED, tools=b"[]"), calls(call(name="A", args="{}"), finish="stop"), []),
    "a call in the text": (LEAKS, chunk(content=LEAK, finish="stop"), ["A"]),
}


@pytest.mark.parametrize(("plan", "said", "names"), ENDINGS.values(), ids=ENDINGS)
def test_every_way_to_end_has_results(plan: Any, said: dict[str, Any], names: list[str]) -> None:
    for stream, translator in translators(plan):
        feed([sse(said)], translator)
        tool_uses = released(translator, 1)
        check(translator.take(), tool_uses, stream=stream)
        assert [use.name for use in tool_uses] == names


@pytest.mark.parametrize("text", ["", "words"])
def test_a_response_of_the_gateways_own_has_results(text: str) -> None:
    for stream, translator in translators():
        translator.write_local(text)
        check(translator.take(), (), stream=stream)


def test_a_failure_while_the_end_is_held_ends_the_response_without_one() -> None:
    translator = Translator(ASKED, SSEEmitter())
    feed([sse(calls(call(name="A", args="{}"), finish="tool_calls"))], translator)
    translator.ping()
    translator.fail(ShuttingDown())
    assert (translator.done, translator.held) == (True, None)
    written = translator.take()
    assert written.count(b"event: ping") == 1
    assert check_stream(written)["error"]["type"] == "api_error"


HANDLERS: dict[str, Callable[[bool], Any]] = {
    "native": lambda stream: JudgedForwarder(
        stream=stream, request_id="req_1", input_estimate=9, retained=BufferLimit()
    ),
    "translated": lambda stream: Translator(ASKED, SSEEmitter() if stream else MessageEmitter()),
}


@pytest.mark.parametrize("wire", HANDLERS)
def test_any_bytes_are_carried_to_an_end(wire: str) -> None:
    @tried
    @given(st.lists(bodies, max_size=3), seeds)
    def carry(parts: list[bytes], seed: int) -> None:
        for stream in (False, True):
            handler = HANDLERS[wire](stream)
            for body in parts:
                (handler.feed_event if stream else handler.feed_document)(body)
            handler.end()
            released(handler, seed)
            assert handler.done
            if handler.error is None:
                assert b"safeguard_results" in handler.take()

    carry()
