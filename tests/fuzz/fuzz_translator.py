"""Whatever bytes a server sends: nothing raises, and what the client gets keeps the grammar."""

from __future__ import annotations

import json

from asgi_llmgate.errors import Broken
from asgi_llmgate.protocol.messages.events import MessageEmitter, SSEEmitter
from asgi_llmgate.protocol.sse import SSEReader
from asgi_llmgate.protocol.translation.response.plan import ResponsePlan
from asgi_llmgate.protocol.translation.response.translator import Translator
from asgi_llmgate.testing.grammar import check_stream

PLANS = [
    ResponsePlan("msg_1", "m", thinking=True, input_estimate=5),
    ResponsePlan("msg_1", "m", think_tags=True, thinking=True, stop_sequences=("END",)),
    ResponsePlan("msg_1", "m", output_limit=1, echo_model=True, names={"A": "B"}),
    ResponsePlan("msg_1", "m", tools=b'[{"type":"function","function":{"name":"A"}}]'),
    ResponsePlan("msg_1", "m", tools=b"[]"),
]

DELTAS = [
    b'"role":"assistant","content":"<think>a</think>b"',
    b'"content":"<th","reasoning":"hm","refusal":"no"',
    b'"tool_calls":[{"index":0,"id":"a","function":{"name":"A","arguments":"{\\"x\\":"}}]',
    b'"tool_calls":[{"index":0,"function":{"arguments":"1}"}},{"id":"b"}]',
    b'"tool_calls":[{"function":{"name":"B","arguments":{"y":[2]}}}]',
    b'"function_call":{"name":"A","arguments":""}',
    b'"content":[{"type":"text","text":"\\ud83d\xff"}]',
    b'"content":["\\ude00a\\ud83d"],"reasoning":{"summary":[{"text":"hm"}]}',
    b'"tool_calls":[{"index":1,"id":"a","function":{"name":"A","arguments":"{\\"x\\":1}"}}]',
    b'"tool_calls":[{"index":0,"id":"a","function":{"name":"A","arguments":"{}"}}]',
    b'"tool_calls":[{"index":0,"function":{"arguments":"{\\"x\\":1}{\\"x\\":1}\\ud83d"}}]',
    b'"tool_calls":[{"index":0,"id":"b","function":{"name":"functions.A<|x","arguments":"{\'x\': True,}"}}]',
]
SEEDS = [
    *(b'data: {"id":"c","choices":[{"index":0,"delta":{%b}}]}\n\n' % delta for delta in DELTAS),
    b'data: {"choices":[{"delta":{},"finish_reason":"stop","stop_reason":"END"}]}\r\n\r\n',
    b'data: {"choices":[{"finish_reason":"length"}],"usage":{"prompt_tokens":3}}\n\n',
    b'data: {"choices":[{"index":1,"delta":{"content":"b"}},{"index":2,"delta":{"content":"</think>c"}}]}\n\n',
    b'data: {"choices":[{"finish_reason":"filter: MALFORMED_CALL"}]}\n\n',
    b'data: {"error":{"message":"prompt is too long: 9 tokens > 8 maximum","code":400}}\n\n',
    b'{"choices":[{"message":{"content":"a","tool_calls":[{"function":{"name":"A","arguments":"[]"}}]}}]}',
    b'error: {"code":503}\n\n',
    b": ping\n\ndata: ping\n\n",
    b"data: [DONE]\n\n",
]
AT_ONCE = 8
"""Seeds that make sense one after the other."""
TOKENS = [b'"', b"{", b"}", b"[", b"]", b"\\", b"\n", b"\r", b"data:", b"null", b"\\ud800", b"\xf0\x9f", b"0", b"index"]


def target(data: bytes) -> None:
    """The first byte chooses the plan, the second how long the pieces are."""
    if len(data) < 2:
        return
    plan, size, stream = PLANS[data[0] % len(PLANS)], data[1] % 32 or len(data), data[2:]
    pieces = [stream[place : place + size] for place in range(0, len(stream), size)]
    told = check_stream(translate(Translator(plan, SSEEmitter("req_1")), pieces).take(), any_input=True)

    translator = translate(Translator(plan, MessageEmitter()), [stream])
    if translator.error is None:
        message = json.loads(translator.take())
        assert message["stop_reason"]
        if told["error"] is None:
            assert message["content"] == json.loads(json.dumps(told["content"]))

    translator = Translator(plan, SSEEmitter("req_1"))
    translator.feed_document(stream)
    check_stream(translator.take(), any_input=True)


def translate(translator: Translator, pieces: list[bytes]) -> Translator:
    reader = SSEReader(max_event=4096)
    try:
        for piece in pieces:
            for event in reader.feed(piece):
                translator.feed_event(event)
        for event in reader.end():
            translator.feed_event(event)
    except Broken as error:
        translator.fail(error)
    translator.end()
    assert translator.done
    return translator
