from __future__ import annotations

import json

import pytest

from asgi_llmgate.errors import Broken, ResponseTooLarge
from asgi_llmgate.exchange_values import Usage
from asgi_llmgate.protocol.buffer_limit import BufferLimit
from asgi_llmgate.protocol.chat.tool_calls import ToolCallAssembler
from asgi_llmgate.protocol.messages.events import Emitter, MessageEmitter, SSEEmitter
from asgi_llmgate.protocol.translation.call_ids import make_call_id
from asgi_llmgate.protocol.translation.response.carriers import CarrierCollector
from asgi_llmgate.protocol.translation.response.tool_use_blocks import ToolUseWriter
from asgi_llmgate.testing.grammar import check_stream

X = rb"{\"x\":1}"


def writer(emitter: Emitter, tools: bytes = b"") -> tuple[ToolCallAssembler, ToolUseWriter]:
    retained = BufferLimit()
    carriers = CarrierCollector(None, "msg_1", retained)
    names = {"A": "a.long"}
    return ToolCallAssembler(retained), ToolUseWriter(
        emitter, names=names, message_id="msg_1", carriers=carriers, tools=tools
    )


def test_nothing_is_written_before_there_is_a_name_and_an_argument() -> None:
    emitter = SSEEmitter()
    assembler, tools = writer(emitter)
    call, _ = assembler.add(0, "a", "", X[:3])
    tools.write(call)
    assert emitter.take() == b""
    assembler.add(0, "", "A", X[3:])
    tools.write(call)
    assert emitter.take().count(b"event:") == 2
    tools.write(call)
    assert emitter.take() == b""
    assert tools.tool_names == ["a.long"]


def test_a_name_that_comes_after_the_block_has_begun_changes_nothing() -> None:
    assembler, tools = writer(MessageEmitter())
    call, _ = assembler.add(0, "a", "A", X)
    tools.write(call)
    assembler.add(0, "a", "B", b"")
    assert call.name == "A"


@pytest.mark.parametrize("call_id", ["", "a"])
def test_a_missing_or_repeated_id_is_replaced(call_id: str) -> None:
    emitter = MessageEmitter()
    emitter.start("msg_1", "m", 0)
    assembler, tools = writer(emitter)
    for index, name in enumerate("BC"):
        call, _ = assembler.add(index, call_id, name, X)
        tools.end(call, cut=False)
    emitter.finish("tool_use", None, Usage())
    ids = [block["id"] for block in json.loads(emitter.take())["content"]]
    assert ids == [make_call_id("msg_1", 1, call_id), make_call_id("msg_1", 2)]


def test_a_name_is_made_the_declared_one_and_then_the_clients() -> None:
    tools = b'[{"type":"function","function":{"name":"A"}},{"type":"function","function":{"name":"B"}}]'
    assembler, written = writer(SSEEmitter(), tools)
    for index, name in enumerate(["functions.A", "B<|channel|>commentary", "C", "B"]):
        written.end(assembler.add(index, "", name, X)[0], cut=False)
    assert written.tool_names == ["a.long", "B", "C", "B"]
    assert written.changed == ["tool_calls.name"] * 2


@pytest.mark.parametrize("arguments", [X, b"", b"x"])
def test_a_call_in_a_response_to_a_request_without_tools_is_a_text(arguments: bytes) -> None:
    emitter = MessageEmitter()
    emitter.start("msg_1", "m", 0)
    assembler, written = writer(emitter, b"[]")
    call, _ = assembler.add(0, "a", "A", arguments)
    written.write(call)
    written.end(call, cut=False)
    emitter.finish("end_turn", None, Usage())
    words = {X: '{"x":1}', b"": "{}", b"x": "x"}[arguments]
    assert json.loads(emitter.take())["content"] == [{"type": "text", "text": f"[tool call A: {words}]"}]
    assert (written.tool_names, written.changed) == ([], ["tool_calls"])


@pytest.mark.parametrize(("cut", "kept"), [(False, {"INVALID_JSON": '{"x'}), (True, {})], ids=["whole", "cut"])
def test_arguments_that_are_no_object_are_passed_on(cut: bool, kept: dict[str, str]) -> None:
    for emitter in (SSEEmitter(), MessageEmitter()):
        emitter.start("msg_1", "m", 0)
        assembler, tools = writer(emitter)
        call, _ = assembler.add(0, "a", "A", X[:4])
        tools.end(call, cut=cut)
        emitter.finish("max_tokens" if cut else "tool_use", None, Usage())
        data = emitter.take()
        told = check_stream(data, any_input=True) if isinstance(emitter, SSEEmitter) else json.loads(data)
        assert told["content"][0]["input"] == kept
        assert (tools.tool_names, tools.changed) == (["a.long"], [] if cut else ["tool_calls.arguments"])


def test_a_call_of_nothing_is_left_out_and_one_without_a_name_is_an_error() -> None:
    assembler, tools = writer(SSEEmitter())
    call, _ = assembler.add(0, "", "", b"")
    tools.end(call, cut=False)
    assert tools.changed == ["tool_calls.name"]
    call, _ = assembler.add(1, "", "", X)
    with pytest.raises(Broken, match="without a name"):
        tools.end(call, cut=False)


def test_calls_are_kept_as_the_client_was_sent_them() -> None:
    emitter, retained = SSEEmitter(), BufferLimit(6000)
    carriers = CarrierCollector(None, "msg_1", retained)
    tools = ToolUseWriter(emitter, names={"A": "a.long"}, message_id="msg_1", carriers=carriers, kept=retained)
    assembler = ToolCallAssembler(retained)
    emitter.start("msg_1", "m", 0)
    for index, arguments in enumerate([X, rb"{\"x\":"]):
        call, _ = assembler.add(index, "", "A", arguments)
        tools.write(call)
        tools.end(call, cut=True)
        tools.keep(call)
    nameless, _ = assembler.add(2, "", "", b"")
    tools.end(nameless, cut=True)
    tools.keep(nameless)
    emitter.finish("max_tokens", None, Usage())
    blocks = check_stream(emitter.take(), any_input=True)["content"]
    kept = [(use.id, use.name, use.input) for use in tools.tool_uses]
    assert kept == [(blocks[0]["id"], "a.long", b'{"x":1}'), (blocks[1]["id"], "a.long", b'{"x":')]
    long, _ = ToolCallAssembler(BufferLimit()).add(3, "", "A", rb"{\"x\":\"%b\"}" % (b"x" * 6000))
    tools.write(long)
    with pytest.raises(ResponseTooLarge):
        tools.keep(long)
