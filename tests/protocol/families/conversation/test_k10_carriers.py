"""What a server wants back as it was goes through the client, in the signature of a thinking block."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import Any

import pytest
from msgspec.structs import replace

from asgi_llmgate.protocol.servers.dialects import derive
from asgi_llmgate.protocol.translation.carriers import MAX_SIGNATURE
from tests.protocol.responses import PLAN, Told, calls, chunk, completion, sse, streamed, whole


@dataclass(frozen=True)
class Envelope:
    """A Seal that anybody could open: what is sealed can be looked at."""

    name: str = "backend model"

    def seal(self, content: bytes) -> str:
        return urlsafe_b64encode(self.name.encode() + b"\0" + content).decode()

    def open(self, sealed: str) -> bytes | None:
        try:
            name, _, content = urlsafe_b64decode(sealed).partition(b"\0")
        except ValueError:
            return None
        return content if name.decode() == self.name else None


SEAL = Envelope()
SIGNED = {"google": {"thought_signature": "c2lnbmF0dXJl"}}
ANTHROPICS = {"type": "reasoning.text", "text": "Let me see.", "signature": "Et8B", "format": "anthropic-claude-v1"}
ENCRYPTED = {"type": "reasoning.encrypted", "data": "ZW5j", "id": "t1", "format": "google-gemini-v1", "index": 0}


def entry(number: int = 0, **more: Any) -> dict[str, Any]:
    function = {"name": "Bash", "arguments": '{"x":1}'}
    return {"index": number, "id": f"call_{number}", "type": "function", "function": function, **more}


WHOLE: dict[str, dict[str, Any]] = {
    "Gemini: a call": {"tool_calls": [entry(extra_content=SIGNED)]},
    "Gemini: the first of two calls": {"content": "I look.", "tool_calls": [entry(extra_content=SIGNED), entry(1)]},
    "Gemini: a text": {"content": "Done.", "extra_content": SIGNED},
    "Gemini: a text and a call": {"content": "Done.", "extra_content": SIGNED, "tool_calls": [entry()]},
    "OpenRouter: Gemini": {
        "reasoning": "hm",
        "reasoning_details": [{"type": "reasoning.text", "text": "hm", "index": 0}, ENCRYPTED],
        "tool_calls": [entry()],
    },
    "OpenRouter: Anthropic": {
        "reasoning": "Let me see.",
        "reasoning_details": [ANTHROPICS],
        "content": "So.",
        "tool_calls": [entry()],
    },
    "OpenRouter: OpenAI": {
        "reasoning_details": [
            {"type": "reasoning.summary", "summary": "**Looking**", "format": "openai-responses-v1", "index": 0},
            {"type": "reasoning.encrypted", "data": "gAAA", "format": "openai-responses-v1", "id": "rs_1", "index": 0},
        ],
        "tool_calls": [entry()],
    },
    "LiteLLM: Anthropic": {
        "reasoning_content": "hm",
        "thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "Et8B"}],
        "tool_calls": [entry()],
    },
    "LiteLLM: Gemini": {"tool_calls": [entry(provider_specific_fields={"thought_signature": "c2ln"})]},
    "Copilot": {"reasoning_text": "hm", "reasoning_opaque": "b3BhcXVl", "content": "So.", "tool_calls": [entry()]},
}
FIELDS = ("extra_content", "reasoning_details", "thinking_blocks", "reasoning_opaque")
CALL_FIELDS = ("extra_content", "provider_specific_fields")


def respond(message: dict[str, Any], *, stream: bool, seal: Any = SEAL) -> Told:
    plan = replace(PLAN, seal=seal)
    if not stream:
        return whole(completion("tool_calls", **message), plan)
    before = {key: value for key, value in message.items() if key not in ("tool_calls", "content")}
    deltas = [chunk(**before)] if before else []
    deltas += [chunk(content=message["content"])] if "content" in message else []
    deltas += [calls(call) for call in message.get("tool_calls", [])]
    data = sse(*deltas, chunk(finish="tool_calls"))
    return streamed([data[place : place + 1] for place in range(len(data))], plan)


def history(content: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The conversation as Claude Code sends it: an assistant's text stands before its calls."""
    ordered = sorted(content, key=lambda block: block["type"] == "tool_use")
    results = [
        {"type": "tool_result", "tool_use_id": block["id"], "content": "x"}
        for block in content
        if block["type"] == "tool_use"
    ]
    after = [{"role": "user", "content": results or "next"}]
    return [{"role": "user", "content": "go"}, {"role": "assistant", "content": ordered}, *after]


def sent_back(translate: Any, content: list[dict[str, Any]], *, seal: Any = SEAL, dialect: Any = "generic") -> Any:
    return translate(messages=history(content), dialect=dialect, more={"seal": seal})


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("server", WHOLE)
def test_it_comes_back_as_it_was(translate: Any, server: str, stream: bool) -> None:
    message = WHOLE[server]
    content = respond(message, stream=stream).message["content"]
    told = sent_back(translate, content)
    assistant = told.messages[1]
    assert {name: assistant.get(name) for name in FIELDS} == {name: message.get(name) for name in FIELDS}
    for sent, came in zip(assistant.get("tool_calls", []), message.get("tool_calls", []), strict=True):
        assert {name: sent.get(name) for name in CALL_FIELDS} == {name: came.get(name) for name in CALL_FIELDS}
        assert sent["id"] == came["id"]
    assert "messages[].content[].thinking.signature" not in told.dropped


def test_what_two_messages_of_one_turn_hold_comes_back_together(translate: Any) -> None:
    parts = [
        respond(WHOLE[server], stream=False).message["content"]
        for server in ("Gemini: a text", "OpenRouter: Anthropic")
    ]
    assistant = sent_back(translate, [*parts[0], *parts[1]]).messages[1]
    assert assistant["extra_content"] == SIGNED
    assert assistant["reasoning_details"] == [ANTHROPICS]


@pytest.mark.parametrize("server", WHOLE)
def test_the_client_gets_the_same_text_and_calls_and_no_block_of_thinking_last(server: str) -> None:
    with_seal, without = (respond(WHOLE[server], stream=True, seal=seal) for seal in (SEAL, None))
    seen = [block for block in with_seal.content if block != {"type": "thinking", "thinking": ""}]
    assert seen == without.content
    assert with_seal.content[-1]["type"] != "thinking"


def test_pieces_of_an_entry_are_joined_and_others_are_not() -> None:
    pieces = [
        {"type": "reasoning.text", "text": "Let", "format": "anthropic-claude-v1", "index": 0},
        {"type": "reasoning.text", "text": " me see.", "format": "anthropic-claude-v1", "index": 0, "signature": None},
        {"type": "reasoning.text", "signature": "Et8B", "format": "anthropic-claude-v1", "index": 0},
        {"type": "reasoning.text", "text": "More", "format": "anthropic-claude-v1", "index": 1},
        {"type": "reasoning.text", "text": "Other", "format": "anthropic-claude-v1", "index": 1, "id": "a"},
        {"type": "reasoning.text", "text": "Another", "format": "anthropic-claude-v1", "index": 1, "id": "b"},
        {"type": "reasoning.encrypted", "data": "x", "index": 1},
        {"type": "reasoning.encrypted", "data": "y", "index": 1},
    ]
    told = streamed(
        sse(*[chunk(reasoning_details=[piece]) for piece in pieces], calls(entry()), chunk(finish="tool_calls")),
        replace(PLAN, seal=SEAL),
    )
    signature = told.message["content"][0]["signature"]
    opened = json.loads(SEAL.open(signature.removeprefix("llmgate.")) or b"{}")["lists"]["reasoning_details"]
    assert [(each.get("text"), each.get("signature"), each.get("data")) for each in opened] == [
        ("Let me see.", "Et8B", None),
        ("MoreOther", None, None),
        ("Another", None, None),
        (None, None, "x"),
        (None, None, "y"),
    ]


@pytest.mark.parametrize("length", [65, 6000])
def test_an_id_that_does_not_fit_comes_back_too(translate: Any, length: int) -> None:
    upstream_id = "call_1__thought__" + "A" * length
    content = respond({"tool_calls": [entry() | {"id": upstream_id}]}, stream=False).message["content"]
    told = sent_back(translate, content)
    assert told.messages[1]["tool_calls"][0]["id"] == told.messages[2]["tool_call_id"] == upstream_id


def test_a_long_text_is_not_sealed_twice(translate: Any) -> None:
    text = "All work and no play. " * 3000
    details = [{**ANTHROPICS, "text": text, "index": 0}, {"type": "reasoning.summary", "summary": "é", "index": 1}]
    message = {"reasoning": text + "é", "reasoning_details": details, "tool_calls": [entry()]}
    content = respond(message, stream=True).message["content"]
    assert len(content[0]["signature"]) < 1000
    assert sent_back(translate, content).messages[1]["reasoning_details"] == details
    told = sent_back(translate, [{**content[0], "thinking": "Something else."}, *content[1:]])
    assert "reasoning_details" not in told.messages[1]
    assert "messages[].content[].thinking.signature" in told.dropped


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
def test_what_is_too_large_is_left_out_and_named(stream: bool) -> None:
    signed = {"google": {"thought_signature": "A" * MAX_SIGNATURE}}
    told = respond({"tool_calls": [entry(extra_content=signed)]}, stream=stream)
    assert [block["type"] for block in told.content] == ["tool_use"]
    assert told.translator.changed == ["signature"]


LOST = {
    "Gemini: a call": ["tool_calls.extra_content"],
    "Gemini: a text": ["extra_content"],
    "OpenRouter: Gemini": ["reasoning_details"],
    "LiteLLM: Anthropic": ["thinking_blocks"],
    "Copilot": ["reasoning_opaque"],
}


@pytest.mark.parametrize("server", LOST)
def test_without_thinking_it_is_lost_and_named(server: str) -> None:
    told = respond(WHOLE[server], stream=False, seal=None)
    assert told.translator.changed == LOST[server]


@pytest.mark.parametrize("value", [None, [], {}, "", "x", 7, [1], [{"type": "reasoning.text", "text": "hm"}]], ids=repr)
@pytest.mark.parametrize("name", ["reasoning_details", "thinking_blocks"])
def test_what_is_not_opaque_leaves_the_signature_as_it_is(name: str, value: Any) -> None:
    told = respond({name: value, "reasoning": "hm", "content": "So."}, stream=False)
    assert [block.get("signature") for block in told.message["content"]] == ["llmgate", None]
    assert told.translator.changed == []


def test_what_comes_after_the_text_is_lost_and_named() -> None:
    late = chunk(extra_content=SIGNED)
    told = streamed(sse(chunk(content="Done."), late, chunk(finish="stop")), replace(PLAN, seal=SEAL))
    assert told.content == [{"type": "text", "text": "Done."}]
    assert told.translator.changed == ["signature"]


FOREIGN = {
    "another server's": lambda signature: Envelope("another").seal(b'{"fields":{"x":1}}'),
    "invented": lambda signature: "AAAA",
    "empty": lambda signature: "",
    "not our format": lambda signature: SEAL.seal(b"[]"),
    "too long": lambda signature: signature + "A" * MAX_SIGNATURE,
}


@pytest.mark.parametrize("case", FOREIGN)
@pytest.mark.parametrize("seal", [SEAL, None], ids=["sealed", "no seal"])
def test_a_wrong_seal_is_left_out_and_named(translate: Any, case: str, seal: Any) -> None:
    content = respond(WHOLE["Gemini: a call"], stream=False).message["content"]
    held = content[0]["signature"].removeprefix("llmgate.")
    content[0]["signature"] = "llmgate." + FOREIGN[case](held)
    told = sent_back(translate, content, seal=seal)
    assert "extra_content" not in told.messages[1]["tool_calls"][0]
    assert "messages[].content[].thinking.signature" in told.dropped
    google = sent_back(translate, content, seal=seal, dialect=derive("generic", {"call_signatures": "google"}))
    placeholder = {"google": {"thought_signature": "skip_thought_signature_validator"}}
    assert google.messages[1]["tool_calls"][0]["extra_content"] == placeholder


def test_a_known_signature_counts_more_than_the_placeholder(translate: Any) -> None:
    content = respond(WHOLE["Gemini: the first of two calls"], stream=False).message["content"]
    told = sent_back(translate, content, dialect=derive("generic", {"call_signatures": "google"}))
    assert [call.get("extra_content") for call in told.messages[1]["tool_calls"]] == [SIGNED, None]


def test_the_next_requests_begin_with_the_same_bytes(translate: Any) -> None:
    first = history(respond(WHOLE["OpenRouter: Gemini"], stream=True).message["content"])
    more = [{"role": "assistant", "content": "done"}, {"role": "user", "content": "next"}]
    short, longer = (translate(messages=each, dialect="generic", more={"seal": SEAL}) for each in (first, first + more))
    assert longer.messages[: len(short.messages)] == short.messages


def test_what_is_lost_is_named_once_and_a_plain_text_is_not() -> None:
    plain = {"type": "reasoning.text", "text": "hm"}
    told = respond({"reasoning_details": [plain], "content": "So."}, stream=False, seal=None)
    assert told.translator.changed == []
    message = {"content": "So.", "tool_calls": [entry(extra_content=SIGNED), entry(1, extra_content=SIGNED)]}
    assert respond(message, stream=False, seal=None).translator.changed == ["tool_calls.extra_content"]
