"""Two libraries that share no code with this package read the same stream: OpenAI's SDK what the server sent, and
Anthropic's what the client is sent."""

from __future__ import annotations

import json
import os
from typing import Any

import anthropic
import httpx2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from tests.protocol.responses import call, chunk, sse, streamed

_letters = st.sampled_from([*'ab {}[]":,\\/<>\n', "é", "\u2028", "😀"])
_inputs = st.dictionaries(
    st.text(_letters, max_size=4),
    st.none()
    | st.integers(-9, 9)
    | st.text(_letters, max_size=8)
    | st.lists(st.text(_letters, max_size=3), max_size=2),
    max_size=3,
)


@st.composite
def standard_streams(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Chunks as OpenAI's documentation has them: a text, then calls whose pieces are interleaved."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": piece} for piece in draw(st.lists(st.text(_letters, min_size=1, max_size=6), max_size=3))]
    queues = []
    for number in range(draw(st.integers(0, 3))):
        arguments = json.dumps(draw(_inputs), ensure_ascii=draw(st.booleans()))
        size = draw(st.integers(1, 9))
        pieces = [arguments[at : at + size] for at in range(0, len(arguments), size)]
        first = {**call(number, id=f"call_{number}", name=draw(st.sampled_from(["Read", "Write"])), args=""),
                 "type": "function"}  # fmt: skip
        queues.append([first, *(call(number, args=piece) for piece in pieces)])
        deltas.append({"tool_calls": [queues[-1].pop(0)]})
    while any(queues):
        number = draw(st.sampled_from([number for number, queue in enumerate(queues) if queue]))
        deltas.append({"tool_calls": [queues[number].pop(0)]})
    events = [chunk(**delta) for delta in deltas]
    return [*events, chunk(finish="tool_calls" if queues else "stop")]


def as_openai_reads(events: list[dict[str, Any]]) -> tuple[str, list[tuple[str, Any]]]:
    state = ChatCompletionStreamState()
    for event in events:
        state.handle_chunk(ChatCompletionChunk.model_validate({"created": 1, **event}))
    message = state.get_final_completion().choices[0].message
    calls = [(made.function.name, json.loads(made.function.arguments)) for made in message.tool_calls or []]
    return message.content or "", calls


def as_anthropic_reads(data: bytes) -> tuple[str, list[tuple[str, Any]]]:
    response = httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=data)
    transport = httpx2.MockTransport(lambda request: response)
    with (
        anthropic.Anthropic(api_key="k", http_client=httpx2.Client(transport=transport)) as client,
        client.messages.stream(model="m", max_tokens=9, messages=[{"role": "user", "content": "go"}]) as stream,
    ):
        content = stream.get_final_message().content
    text = "".join([block.text for block in content if block.type == "text"])
    return text, [(block.name, block.input) for block in content if block.type == "tool_use"]


@settings(
    deadline=None, max_examples=int(os.environ.get("EXAMPLES", "40")), suppress_health_check=[HealthCheck.too_slow]
)
@given(standard_streams())
def test_both_libraries_read_the_same(events: list[dict[str, Any]]) -> None:
    assert as_anthropic_reads(streamed(sse(*events)).data) == as_openai_reads(events)
