"""Ids of tool calls that a server uses again, or that no client takes.

The client gets ids that are unique in its conversation; the server gets its own back.
"""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any

import pytest
from msgspec.structs import replace

from tests.protocol.responses import PLAN, calls, chunk, completion, sse, streamed, whole

SERVERS = {
    "Kimi K2": "functions.Bash:0",
    "Kimi K3": "Bash:0",
    "TGI": "0",
    "a number": "1",
    "Mistral": "D681PevKs",
    "OpenAI": "call_h0Zz9fJQ1kF3JmJ0aXv1q2w3",
    "vLLM": "chatcmpl-tool-0123456789abcdef0123456789abcdef",
    "a uuid": "123e4567-e89b-12d3-a456-426614174000",
    "a path": "turn/1/call#2",
    "not ASCII": "número-1",
}
TURNS = 3
GO = {"role": "user", "content": "go"}


def respond(upstream_id: str, turn: int, *, stream: bool) -> list[dict[str, Any]]:
    """The content that the client gets in one turn."""
    plan = replace(PLAN, message_id=f"msg_req_{turn}")
    entry = {"id": upstream_id, "type": "function", "function": {"name": "Bash", "arguments": '{"x":1}'}}
    if stream:
        told = streamed(sse(calls({"index": 0, **entry}), chunk(finish="tool_calls")), plan)
    else:
        told = whole(completion("tool_calls", tool_calls=[entry]), plan)
    content: list[dict[str, Any]] = told.message["content"]
    return content


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("server", SERVERS)
def test_a_session_goes_on_with_unique_ids_and_the_server_gets_its_own(
    translate: Any, server: str, stream: bool
) -> None:
    messages: list[Any] = [{"role": "user", "content": "go"}]
    ids, sent = [], []
    for turn in range(TURNS):
        content = respond(SERVERS[server], turn, stream=stream)
        ids.append(content[-1]["id"])
        result = {"type": "tool_result", "tool_use_id": ids[-1], "content": f"result {turn}"}
        messages += [{"role": "assistant", "content": content}, {"role": "user", "content": [result]}]
        sent.append(translate(messages=messages, dialect="generic").chat.body)
    assert len(set(ids)) == TURNS
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", each) for each in ids)
    last = json.loads(sent[-1])["messages"]
    assert [message["tool_calls"][0]["id"] for message in last[1::2]] == [SERVERS[server]] * TURNS
    assert [message["tool_call_id"] for message in last[2::2]] == [SERVERS[server]] * TURNS
    assert [message["content"] for message in last[2::2]] == [f"result {turn}" for turn in range(TURNS)]
    for one, next_one in pairwise(sent):
        assert next_one.startswith(one[: one.index(b"]}")])  # the prefix that prompt caches need


@pytest.mark.parametrize("length", [65, 4000, 60_000])
def test_an_id_that_no_file_can_be_named_after_is_the_gateways(translate: Any, length: int) -> None:
    content = respond("call_" + "A" * length, 1, stream=False)
    made = content[0]["id"]
    assert len(made) <= 64
    result = {"type": "tool_result", "tool_use_id": made, "content": "x"}
    messages = [GO, {"role": "assistant", "content": content}, {"role": "user", "content": [result]}]
    told = translate(messages=messages, dialect="generic")
    assert told.messages[1]["tool_calls"][0]["id"] == told.messages[2]["tool_call_id"] == made


def test_a_tools_long_name_in_an_id_does_not_count(translate: Any) -> None:
    name = "mcp__playwright__browser_take_screenshot"
    entry = {"id": f"functions.{name}:12", "type": "function", "function": {"name": name, "arguments": "{}"}}
    content = whole(completion("tool_calls", tool_calls=[entry])).message["content"]
    result = {"type": "tool_result", "tool_use_id": content[0]["id"], "content": "x"}
    messages = [GO, {"role": "assistant", "content": content}, {"role": "user", "content": [result]}]
    told = translate(messages=messages, dialect="generic")
    assert told.messages[1]["tool_calls"][0]["id"] == told.messages[2]["tool_call_id"] == f"functions.{name}:12"


@pytest.mark.parametrize("call_id", ["functions.Bash:0", "Bash:0", "call_1", "toolu_01A09q90qw90lq917835lq9"])
def test_a_history_that_repeats_ids_from_elsewhere_is_sent_as_it_is(translate: Any, call_id: str) -> None:
    turn = [
        {"role": "assistant", "content": [{"type": "tool_use", "id": call_id, "name": "Bash", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call_id, "content": "x"}]},
    ]
    told = translate(messages=[{"role": "user", "content": "go"}, *turn, *turn], dialect="generic")
    assert [message["role"] for message in told.messages] == ["user", "assistant", "tool", "assistant", "tool"]
    assert {message["tool_calls"][0]["id"] for message in told.messages[1::2]} == {call_id}
