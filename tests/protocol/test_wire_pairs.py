from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, get_args

import pytest

from asgi_llmgate.errors import Broken
from asgi_llmgate.exchange_values import ResponseMetadata, Target, Usage, Wire
from asgi_llmgate.protocol.buffer_limit import BufferLimit
from asgi_llmgate.protocol.chat.forwarding import ChatForwarder
from asgi_llmgate.protocol.forwarded_request import decode_forwarded
from asgi_llmgate.protocol.messages.forwarding import MessagesForwarder
from asgi_llmgate.protocol.messages.judged_forwarding import JudgedForwarder
from asgi_llmgate.protocol.messages.request import decode_messages
from asgi_llmgate.protocol.servers.corrections.changes import NO_CORRECTIONS, Corrections
from asgi_llmgate.protocol.servers.dialects import DIALECTS, Dialect
from asgi_llmgate.protocol.translation.request.chat_request import Options
from asgi_llmgate.protocol.translation.response.translator import Translator
from asgi_llmgate.protocol.wire_pairs import PAIRS, SERVER_WIRES, UpstreamRequest, WriteContext, can_serve
from asgi_llmgate.testing.grammar import check_stream
from tests.protocol.responses import chunk, completion, counted

EVENTS = [json.dumps(event).encode() for event in (chunk(content="Hi"), chunk(finish="stop", usage=counted()))]
WIRES: tuple[Wire, ...] = get_args(Wire)
SERVERS = {wire: next(row for row in DIALECTS.values() if row.wire == wire) for wire in WIRES}
DECODERS: dict[Wire, Callable[[bytes], Any]] = {
    "messages": decode_messages,
    "chat": lambda body: decode_forwarded(body, needs_model=True),
}


def write(client: Wire, dialect: Dialect, **fields: Any) -> UpstreamRequest:
    return write_body(client, dialect, fields)


def write_body(
    client: Wire,
    dialect: Dialect,
    fields: dict[str, Any],
    *,
    corrections: Corrections = NO_CORRECTIONS,
    safeguards: bool = False,
) -> UpstreamRequest:
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], **fields}
    context = WriteContext(
        request=DECODERS[client](json.dumps(body).encode()),
        target=Target("b", "p", "target-model"),
        dialect=dialect,
        options=Options(),
        request_id="req_1",
        input_estimate=7,
        retained=BufferLimit(),
        corrections=corrections,
        safeguards=safeguards,
        client_headers={"anthropic-beta": "dangerous-tool-use-2026-09-03,b", "authorization": "Bearer k"},
        query="beta=true",
    )
    return PAIRS[client, dialect.wire](context)


@pytest.mark.parametrize("client", WIRES)
@pytest.mark.parametrize("server", WIRES)
def test_every_pair_of_wires_is_in_the_table_but_for_chat_clients_of_messages_servers(
    client: Wire, server: Wire
) -> None:
    assert can_serve(client, server) == ((client, server) != ("chat", "messages"))


def test_every_wire_of_a_server_has_a_row() -> None:
    assert set(SERVER_WIRES) == set(WIRES)
    assert [wire for wire in WIRES if SERVER_WIRES[wire].counts_tokens] == ["messages"]
    text = "Unsupported parameter: 'top_p'"
    assert SERVER_WIRES["chat"].read_corrections(400, text)
    assert not SERVER_WIRES["messages"].read_corrections(400, text)
    refusal = b'{"error":{"message":"Unsupported parameter: \'top_p\'"}}'
    assert SERVER_WIRES["chat"].find_refusal(refusal) is not None
    assert SERVER_WIRES["messages"].find_refusal(refusal) is None


@pytest.mark.parametrize(
    ("client", "server", "handler"),
    [
        ("messages", "chat", Translator),
        ("messages", "messages", MessagesForwarder),
        ("chat", "chat", ChatForwarder),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_each_pair_names_the_target_s_model_and_makes_its_handler(
    client: Wire, server: Wire, handler: type, stream: bool
) -> None:
    written = write(client, SERVERS[server], stream=stream)
    assert json.loads(written.body)["model"] == "target-model"
    assert not written.is_local
    first, second = written.make_handler(), written.make_handler()
    assert type(first) is handler
    assert first is not second
    assert not first.done


def test_only_a_server_of_the_client_s_wire_gets_its_headers_and_query() -> None:
    forwarded, translated = (write("messages", SERVERS[wire]) for wire in ("messages", "chat"))
    assert dict(forwarded.headers) == {
        b"anthropic-beta": b"dangerous-tool-use-2026-09-03,b",
        b"anthropic-version": b"2023-06-01",
    }
    assert forwarded.query == "beta=true"
    assert (translated.headers, translated.query) == ((), "")


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize("whole", [False, True], ids=["events", "document"])
def test_a_response_has_the_form_that_the_client_asked_for(stream: bool, whole: bool) -> None:
    handler = write("messages", SERVERS["chat"], stream=stream).make_handler()
    if whole:
        handler.feed_document(json.dumps(completion(usage=counted(), content="Hi")).encode())
    else:
        for event in EVENTS:
            handler.feed_event(event)
            assert handler.started
        handler.end()
    data = handler.take()
    message = check_stream(data) if stream else json.loads(data)
    assert message["content"] == [{"type": "text", "text": "Hi"}]
    assert handler.done
    assert handler.error is None
    assert handler.usage == Usage(input=100, output=20)
    assert handler.metadata == ResponseMetadata("gpt-x", "chatcmpl-1", ("stop",))
    assert handler.changed == []


ASKED = [{"type": "dangerous_tool_use"}]
REFUSED = Corrections(refused_fields=frozenset({"safeguards"}))


@pytest.mark.parametrize(("server", "handler"), [("chat", Translator), ("messages", JudgedForwarder)])
def test_a_response_with_verdicts_has_a_handler_that_holds_it(server: Wire, handler: type) -> None:
    written = write_body("messages", SERVERS[server], {"safeguards": ASKED}, safeguards=True)
    assert type(written.make_handler()) is handler
    assert "safeguards" not in written.dropped


def test_a_field_that_a_native_server_refuses_is_left_out_only_where_the_gateway_responds_to_it() -> None:
    def sent(*, safeguards: bool, corrections: Corrections) -> tuple[bool, bytes, tuple[str, ...]]:
        fields = {"safeguards": ASKED}
        written = write_body("messages", SERVERS["messages"], fields, safeguards=safeguards, corrections=corrections)
        return "safeguards" in json.loads(written.body), dict(written.headers)[b"anthropic-beta"], written.dropped

    whole = (True, b"dangerous-tool-use-2026-09-03,b", ())
    assert sent(safeguards=False, corrections=REFUSED) == whole
    assert sent(safeguards=True, corrections=NO_CORRECTIONS) == whole
    assert sent(safeguards=True, corrections=REFUSED) == (False, b"b", ("safeguards",))


def test_silence_begins_a_stream() -> None:
    handler = write("messages", SERVERS["chat"], stream=True).make_handler()
    handler.ping()
    assert handler.take().count(b"event: ") == 2
    assert not handler.started


def test_after_the_end_there_are_no_pings() -> None:
    handler = write("messages", SERVERS["chat"], stream=True).make_handler()
    handler.fail(Broken("gone"))
    handler.take()
    handler.ping()
    assert handler.take() == b""


def test_a_failure_is_written_into_a_stream_and_raised_otherwise() -> None:
    written, raised = (write("messages", SERVERS["chat"], stream=stream).make_handler() for stream in (True, False))
    for handler in (written, raised):
        handler.fail(Broken("gone"))
        assert isinstance(handler.error, Broken)
    assert b"event: error" in written.take()
    with pytest.raises(Broken, match="gone"):
        raised.take()


def test_a_local_response_is_complete_at_once() -> None:
    tools = [{"type": "web_search_20250305", "name": "web_search"}]
    written = write("messages", SERVERS["chat"], tools=tools)
    assert written.is_local
    assert written.body == b""
    handler = written.make_handler()
    assert handler.done
    assert json.loads(handler.take())["content"][0]["type"] == "text"
