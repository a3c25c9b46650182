"""Whatever a server answers: what there is to read of it, or an error of the tree with the server's status.

A crash here would be a 500 of ours in place of the refusal that tells a client what to do.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from asgi_llmgate.errors import Broken, GateError, UpstreamError, row_for
from asgi_llmgate.exchange_values import Usage
from asgi_llmgate.protocol.chat.forwarding import ChatForwarder
from asgi_llmgate.protocol.error_bodies import anthropic_error, openai_error
from asgi_llmgate.protocol.messages.events import MessageEmitter, SSEEmitter
from asgi_llmgate.protocol.messages.forwarding import MessagesForwarder, forwarded_error
from asgi_llmgate.protocol.servers.errors.upstream_errors import reported_error, upstream_error
from asgi_llmgate.protocol.servers.tokenizers import read_count, read_prompt
from asgi_llmgate.protocol.token_usage import read_usage
from asgi_llmgate.protocol.translation.response.translator import Translator
from asgi_llmgate.protocol.usage_meter import UsageMeter
from tests.protocol.responses import PLAN

DEEP = [b"[" * depth + b"]" * depth for depth in (100, 980, 20_000)]
HALF = b'"\\ud800"'
QUOTED = json.dumps('{"message":"\\ud800","detail":[7]}').encode()
NAMES = (
    *("error", "message", "code", "type", "status", "metadata", "raw", "detail", "loc", "msg", "n_ctx"),
    *("n_prompt_tokens", "usage", "count", "tokens", "prompt", "input_tokens", "output_tokens", "prompt_tokens"),
    *("input_tokens_details", "cached_tokens", "response", "id", "model", "content", "content_block", "name", "delta"),
    *("stop_reason", "choices", "index", "finish_reason", "tool_calls", "function", "arguments", "reasoning_details"),
)
WORDS = (
    *('"error"', '"message"', '"tool_use"', '"text"', '"content_block_start"', '"message_start"', '"message_delta"'),
    *('"model x not found"', '"retry after 20 seconds"', '"maximum context length is 100 tokens"', '"{}"', '"[DONE]"'),
)

NUMBERS = (b"0", b"-1", b"1.5", b"1e999", b"NaN", b"9" * 30, b"9" * 5000)
OTHERS = (b"null", b"true", b'""', b'"\xff"', b"{}", b"[]", HALF, QUOTED)

_leaves = st.sampled_from([*NUMBERS, *OTHERS, *DEEP, *(word.encode() for word in WORDS)])


def _object(members: list[tuple[str, bytes]]) -> bytes:
    return b"{%b}" % b",".join(b'"%b":%b' % (name.encode(), value) for name, value in members)


_values = st.recursive(
    _leaves,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda values: b"[%b]" % b",".join(values))
        | st.lists(st.tuples(st.sampled_from(NAMES), inner), max_size=5).map(_object)
    ),
    max_leaves=10,
)
_objects = st.lists(st.tuples(st.sampled_from(NAMES), _values), max_size=5).map(_object)
bodies = (
    st.binary(max_size=40)
    | _values
    | _objects
    | st.tuples(_objects, st.integers(0, 200)).map(lambda cut: cut[0][: cut[1]])
    | _objects.map(lambda body: body.decode("latin-1").encode("utf-16-le"))
)
thoroughly = settings(max_examples=50, deadline=None)

ODD = [
    b'{"detail":[{"loc":7,"msg":"x"}]}',
    b'{"detail":[{"loc":{"a":1},"msg":["x"]},[],{"loc":[[1],null,2]}]}',
    b'{"error":%b}' % QUOTED,
    b'{"id":7,"message":"%b"}' % (b"\\ud800" * 20_001),
    b'{"id":7,"message":"\\ud800","m":"%b"}' % (b"\\ud800" * 20_001),
    b'{"type":"\xff","prompt":"\xff","model":"\xff","error":{"type":"\xff"}}',
    *(b'{"x":%b,"detail":[{"loc":[%b],"msg":%b}]}' % (deep, deep, deep) for deep in DEEP),
    b'{"count":%b,"message":"%b"}' % (b"9" * 5000, b"9" * 5000),
    '{"message":"\ud800"}'.encode("utf-16-le", "surrogatepass"),
]


def _examples(test: Callable[..., None]) -> Callable[..., None]:
    for body in ODD:
        test = example(body)(test)
    return test


def _tell(error: GateError) -> None:
    assert row_for(error).status >= 400
    assert json.loads(anthropic_error(error, "req_1"))["error"]["message"] == error.client_message
    assert json.loads(openai_error(error, "req_1"))["error"]["message"]
    (error.message + error.detail).encode()


@thoroughly
@given(bodies)
@_examples
def test_a_refusal_keeps_its_status_whatever_its_body(body: bytes) -> None:
    for status in (302, 400, 404, 422, 429, 503):
        for read in (upstream_error, forwarded_error):
            error = read(status, body, {"retry-after": "7"})
            assert isinstance(error, UpstreamError)
            assert error.status == status
            _tell(error)


@thoroughly
@given(bodies)
@_examples
def test_an_error_in_an_answer_is_an_error_whatever_it_holds(body: bytes) -> None:
    _tell(reported_error(body))
    _tell(upstream_error(200, body, {}))


@thoroughly
@given(bodies)
@_examples
def test_a_count_or_a_prompt_is_read_or_the_answer_is_broken(body: bytes) -> None:
    for read in (read_count, read_prompt):
        try:
            read(body)
        except Broken as error:
            _tell(error)


@thoroughly
@given(bodies)
@_examples
def test_counts_are_metered_or_not(body: bytes) -> None:
    found: list[Any] = [read_usage(body)]
    for kind, data in (("application/json", body), ("text/event-stream", b'data: "usage" %b\n\n' % body)):
        meter = UsageMeter(kind)
        meter.feed(data)
        meter.feed(b"data: %b\n\n" % body.replace(b"\n", b""))
        meter.end()
        found.append(meter.usage)
    assert all(usage is None or isinstance(usage, Usage) for usage in found)


HANDLERS: dict[str, Callable[[bool], Any]] = {
    "native": lambda stream: MessagesForwarder(stream=stream, request_id="req_1", input_estimate=9),
    "completions": lambda stream: ChatForwarder(stream=stream, request_id="req_1", input_estimate=9),
    "translated": lambda stream: Translator(PLAN, SSEEmitter("req_1") if stream else MessageEmitter()),
}


@pytest.mark.parametrize("wire", HANDLERS)
def test_an_answer_is_carried_to_its_end_or_to_an_error(wire: str) -> None:
    @thoroughly
    @given(bodies)
    @_examples
    def check(body: bytes) -> None:
        for stream in (False, True):
            handler = HANDLERS[wire](stream)
            (handler.feed_event if stream else handler.feed_document)(body)
            handler.end()
            if handler.error is not None:
                _tell(handler.error)
            elif stream:
                handler.take()
            assert handler.done
            assert isinstance(handler.usage, Usage)
            assert handler.metadata.model is not None

    check()
