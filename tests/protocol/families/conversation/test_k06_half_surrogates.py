"""K6: half of a surrogate pair, as clients send that cut a text in the middle of an emoji, goes to no server."""

from __future__ import annotations

import json
import re

import pytest

from asgi_llmgate.exchange_values import Target
from asgi_llmgate.protocol.messages.request import decode_messages
from asgi_llmgate.protocol.servers.dialects import DIALECTS
from asgi_llmgate.protocol.translation.request.chat_request import Options, to_chat

PLACES = (
    "system",
    "user",
    "assistant",
    "tool input",
    "name in the tool input",
    "tool result",
    "tool description",
    "stop sequence",
)


def request(place: str, cut: str) -> bytes:
    said = {name: "MARK" if name == place else "plain" for name in PLACES}
    body = {
        "model": "m",
        "max_tokens": 9,
        "system": said["system"],
        "stop_sequences": [said["stop sequence"]],
        "tools": [{"name": "A", "description": said["tool description"], "input_schema": {"type": "object"}}],
        "messages": [
            {"role": "user", "content": said["user"]},
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": said["assistant"]},
                    {
                        "type": "tool_use",
                        "id": "t",
                        "name": "A",
                        "input": {said["name in the tool input"]: [{"x": said["tool input"]}]},
                    },
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "t",
                        "content": [{"type": "text", "text": said["tool result"]}],
                    }
                ],
            },
        ],
    }
    return json.dumps(body).replace("MARK", cut).encode()


@pytest.mark.parametrize(
    "cut", ["a\\ud83d", "\\ude00b", "\\ud83d b", "\\ud83d\\ud83d", "\\uDE00\\uD83D x", "\\\\\\ud83d"]
)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("dialect", ["openai", "vllm"])
def test_no_half_of_a_pair_is_sent(place: str, cut: str, dialect: str) -> None:
    sent = to_chat(
        decode_messages(request(place, cut)),
        target=Target("b", "p", "m"),
        dialect=DIALECTS[dialect],
        options=Options(),
        request_id="r",
    ).body
    text = json.dumps(json.loads(sent))  # pairs as two escapes, halves as one
    for _ in range(2):
        whole = re.sub(r"\\ud83d\\ude00", "", text)
        assert not re.search(r"\\u[dD][89a-fA-F]", whole)
        text = text.replace("\\\\", "\\")  # the arguments of a call are JSON in JSON
    assert "\\ufffd" in text


@pytest.mark.parametrize("place", PLACES)
def test_a_pair_stays(place: str) -> None:
    sent = to_chat(
        decode_messages(request(place, "a\\ud83d\\ude00b")),
        target=Target("b", "p", "m"),
        dialect=DIALECTS["openai"],
        options=Options(),
        request_id="r",
    ).body
    assert "a\U0001f600b" in sent.decode() or b"a\\ud83d\\ude00b" in sent or b"a\\\\ud83d\\\\ude00b" in sent
