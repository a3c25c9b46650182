"""What one turn sends is byte for byte the beginning of what the next turn sends: prompt caches live on it."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_llmgate.exchange_values import Target
from asgi_llmgate.protocol.messages.request import decode_messages
from asgi_llmgate.protocol.servers.dialects import DIALECTS, derive
from asgi_llmgate.protocol.translation.request.chat_request import Options, to_chat

Message = dict[str, Any]

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NAMES = ["Alpha", "Beta", "Gamma", "mcp__" + "x" * 90]
STRICT = derive(
    "generic",
    {
        "system_role": "user",
        "user_after_tool": False,
        "calls_at_once": False,
        "empty_content": "absent",
        "content_parts": False,
    },
)
"""A server that accepts few orders of roles and forms of content."""
ROWS = {**{name: dialect for name, dialect in DIALECTS.items() if dialect.wire == "chat"}, "strict": STRICT}
DIALECT_NAMES = sorted(ROWS)


def text(words: str) -> Message:
    return {"type": "text", "text": words}


@st.composite
def rounds(draw: st.DrawFn) -> list[list[Message]]:
    """Conversations as pieces, after each of which the client may send a request."""
    pieces: list[list[Message]] = [[{"role": "user", "content": [text(draw(TEXTS) + "!")]}]]
    for number in range(draw(st.integers(1, 6))):
        pieces.append(draw(st.sampled_from([_answered, _reminded, _called, _searched]))(draw, number))
    return pieces


def _answered(draw: st.DrawFn, number: int) -> list[Message]:
    said = [text(words) for words in draw(st.lists(TEXTS, max_size=2))]
    asked = [text(words) for words in draw(st.lists(TEXTS, min_size=1, max_size=3))]
    return [{"role": "assistant", "content": said}, {"role": "user", "content": asked}]


def _reminded(draw: st.DrawFn, number: int) -> list[Message]:
    return [{"role": "system", "content": [text(draw(TEXTS))]}]


def _called(draw: st.DrawFn, number: int) -> list[Message]:
    ids = [f"t{number}_{i}" for i in range(draw(st.integers(1, 3)))]
    calls = [
        {"type": "tool_use", "id": i, "name": draw(st.sampled_from(NAMES)), "input": {"x": draw(TEXTS)}} for i in ids
    ]
    results = [
        {
            "type": "tool_result",
            "tool_use_id": i,
            "content": draw(st.lists(st.builds(text, TEXTS) | st.just(IMAGE), max_size=2)),
        }
        for i in draw(st.permutations(ids))
    ]
    cut = draw(st.integers(0, len(results) - 1))
    aside = [text(draw(TEXTS))] if draw(st.booleans()) else []
    answers = [{"role": "user", "content": results[:cut] + aside}] if cut else []
    return [{"role": "assistant", "content": calls}, *answers, {"role": "user", "content": results[cut:]}]


IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}


def _searched(draw: st.DrawFn, number: int) -> list[Message]:
    found = [
        {"type": "tool_reference", "tool_name": name} for name in draw(st.lists(st.sampled_from(NAMES), max_size=2))
    ]
    call = {"type": "tool_use", "id": f"s{number}", "name": "ToolSearch", "input": {}}
    result = {"type": "tool_result", "tool_use_id": f"s{number}", "content": found}
    return [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result, text("Tool loaded.")]}]


def in_some_form(messages: list[Message], random: Random) -> bytes:
    """A request as the client might write it this time: strings or blocks, cache marks, another billing block."""

    def marked(block: Message) -> Message:
        block = {**block, **({"cache_control": {"type": "ephemeral"}} if random.random() < 0.3 else {})}
        if isinstance(block.get("content"), list):
            block["content"] = shortened([marked(inner) for inner in block["content"]])
        return block

    def shortened(content: list[Message]) -> Any:
        plain = len(content) == 1 and content[0].keys() == {"type", "text"}
        return content[0]["text"] if plain and random.random() < 0.5 else content

    billing = text(f"x-anthropic-billing-header: cch={random.random()}")
    loaded = {
        reference["tool_name"]
        for message in messages
        for block in message["content"]
        if block["type"] == "tool_result"
        for reference in block["content"]
        if reference["type"] == "tool_reference"
    }
    tools = [tool("Bash"), tool("ToolSearch"), *(tool(name, defer_loading=True) for name in loaded)]
    body = {
        "model": "claude-opus-5-5",
        "max_tokens": random.choice([1000, 64000]),
        "system": random.choice([[billing, marked(text("Be brief."))], [text("Be brief.")], "Be brief."]),
        "messages": [{**m, "content": shortened([marked(block) for block in m["content"]])} for m in messages],
        "tools": sorted(tools, key=lambda tool: tool["name"]),
    }
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def tool(name: str, **more: Any) -> Message:
    return {"name": name, "description": name, "input_schema": {"type": "object"}, **more}


class Sent(msgspec.Struct):
    messages: list[msgspec.Raw]
    tools: list[msgspec.Raw]


def sent(body: bytes, dialect: str) -> tuple[list[bytes], list[bytes]]:
    target = Target("b", "p", "m")
    chat = to_chat(decode_messages(body), target=target, dialect=ROWS[dialect], options=Options(), request_id="r")
    read = msgspec.json.decode(chat.body, type=Sent)
    return [bytes(message) for message in read.messages], [bytes(tool) for tool in read.tools]


@settings(deadline=None, max_examples=150)
@given(pieces=rounds(), random=st.randoms(use_true_random=False), dialect=st.sampled_from(DIALECT_NAMES))
def test_a_turn_sends_the_beginning_of_what_the_next_turn_sends(
    pieces: list[list[Message]], random: Random, dialect: str
) -> None:
    messages: list[Message] = []
    before: tuple[list[bytes], list[bytes]] = ([], [])
    for piece in pieces:
        messages += piece
        now = sent(in_some_form(messages, random), dialect)
        for earlier, later in zip(before, now, strict=True):
            assert with_what_was_appended(earlier, later) == later[: len(earlier)]
        before = now


def with_what_was_appended(earlier: list[bytes], later: list[bytes]) -> list[bytes]:
    """A later reminder goes into the result that was the last message, where it may not follow it (`roles`): what was
    sent before is then still the beginning of the text that the model reads."""
    if not earlier or len(later) < len(earlier) or not earlier[-1].startswith(b'{"role":"tool"'):
        return earlier
    last = later[len(earlier) - 1]
    appended = earlier[-1].removesuffix(b'"}') + rb"\n\n<system-reminder>"
    return [*earlier[:-1], last if last.startswith(appended) else earlier[-1]]


@pytest.mark.parametrize("dialect", DIALECT_NAMES)
def test_the_same_message_is_the_same_bytes_in_every_form(dialect: str) -> None:
    words = 'a "quoted" \\ line\n\u2028é😀\x7f'
    as_string = [
        {"role": "user", "content": "x"},
        {"role": "system", "content": words},
        {"role": "assistant", "content": words},
        {"role": "user", "content": words},
    ]
    as_blocks = [{**m, "content": [{**text(m["content"]), "cache_control": {"type": "ephemeral"}}]} for m in as_string]
    bodies = [
        json.dumps({"model": "m", "max_tokens": 1, "messages": form, "tools": [tool("A")]}).encode()
        for form in (as_string, as_blocks)
    ]
    assert sent(bodies[0], dialect) == sent(bodies[1], dialect)
