"""Servers that take ids of one shape only: the same id for the call and its result, and the same in each request."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from asgi_llmgate.protocol.servers.corrections.capabilities import missing
from asgi_llmgate.protocol.servers.corrections.table import find_corrections
from asgi_llmgate.protocol.servers.dialects import derive

SHAPES = {"nine": r"[A-Za-z0-9]{9}", "up_to_40": r".{1,40}", "up_to_64": r"[A-Za-z0-9_-]{1,64}"}
FOREIGN = [
    "toolu_01A09q90qw90lq917835lq9",
    "toolu_bdrk_01A09q90qw90lq917835lq9",
    "call_0f0e50a1476a6c35006912c58dc9f8819192c25864eb16f07f",
    "functions.Bash:0",
    "call_abc|fc_0f0e50a1476a6c35006912c58dc9f881",
    "x" * 300,
    "D681PevKs",
]


def turn(*ids: str) -> list[dict[str, Any]]:
    return [
        {"role": "assistant", "content": [{"type": "tool_use", "id": i, "name": "Bash", "input": {}} for i in ids]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": i, "content": i} for i in reversed(ids)]},
    ]


@pytest.mark.parametrize("shape", SHAPES)
def test_ids_from_elsewhere_get_the_servers_shape(translate: Any, shape: str) -> None:
    dialect = derive("generic", {"call_ids": shape})
    start = [{"role": "user", "content": "go"}, *turn(*FOREIGN)]
    told = translate(messages=start, dialect=dialect)
    sent = [call["id"] for call in told.messages[1]["tool_calls"]]
    assert all(re.fullmatch(SHAPES[shape], each) for each in sent)
    assert len(set(sent)) == len(FOREIGN)
    assert [(message["tool_call_id"], message["content"]) for message in told.messages[2:]] == [
        *zip(sent, FOREIGN, strict=True)
    ]
    assert [one == other for one, other in zip(sent, FOREIGN, strict=True)] == [
        re.fullmatch(SHAPES[shape], each) is not None for each in FOREIGN
    ]
    longer = translate(messages=[*start, *turn("another")], dialect=dialect)
    assert longer.messages[: len(told.messages)] == told.messages


@pytest.mark.parametrize("dialect", ["openai", "azure"])
def test_openai_gets_at_most_40_characters(translate: Any, dialect: str) -> None:
    told = translate(messages=[{"role": "user", "content": "go"}, *turn(*FOREIGN)], dialect=dialect)
    assert max(len(call["id"]) for call in told.messages[1]["tool_calls"]) <= 40


LONG = (
    "Invalid 'messages[1].tool_calls[0].id': string too long. Expected a string with maximum length %d, but got more."
)
REFUSALS: dict[str, tuple[Any, str]] = {
    "Mistral": (
        {"object": "error", "message": "Tool call id was x but must be a-z, A-Z, 0-9, with a length of 9."},
        SHAPES["nine"],
    ),
    "vLLM with Mistral's tokenizer": (
        "Tool call id was toolu_1 but must be a-z, A-Z, 0-9, with a length of 9.",
        SHAPES["nine"],
    ),
    "OpenAI": (LONG % 40, SHAPES["up_to_40"]),
    "Azure, of a result": (
        "Invalid 'messages[2].tool_call_id': string too long. Expected a string with maximum length 40, but got a "
        "string with length 55 instead.",
        SHAPES["up_to_40"],
    ),
    "64": (LONG % 64, SHAPES["up_to_64"]),
    "less than 40": (LONG % 32, r".{1,32}"),
    "Bedrock, characters": (
        "1 validation error detected: Value 'Bash:0' at 'messages.2.member.content.1.member.toolUse.toolUseId'"
        " failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_-]+",
        SHAPES["up_to_64"],
    ),
    "Bedrock, length": (
        "Value 'x' at 'messages.2.member.content.1.member.toolUse.toolUseId' failed to satisfy constraint: Member must "
        "have length less than or equal to 64",
        SHAPES["up_to_64"],
    ),
    "Anthropic behind a gateway": (
        "messages.1.content.0.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'",
        SHAPES["up_to_64"],
    ),
}


@pytest.fixture(scope="session")
def corrected(translate: Any) -> Any:
    def corrected(error: Any, **request: Any) -> Any:
        body = {"error": {"message": error}} if isinstance(error, str) else error
        found = find_corrections(400, json.dumps(body))
        assert found
        return translate(more={"corrections": found[0].changes}, **request)

    return corrected


@pytest.mark.parametrize("server", REFUSALS)
def test_a_refusal_says_which_ids_are_accepted(corrected: Any, server: str) -> None:
    error, shape = REFUSALS[server]
    told = corrected(error, messages=[{"role": "user", "content": "go"}, *turn(*FOREIGN)], dialect="generic")
    sent = [call["id"] for call in told.messages[1]["tool_calls"]]
    assert all(re.fullmatch(shape, each) for each in sent)
    assert [message["tool_call_id"] for message in told.messages[2:]] == sent


@pytest.mark.parametrize(
    "error",
    [
        "messages.3.content.0: `tool_use` ids must be unique",
        "Duplicate value for 'tool_call_id' of 'Bash:0' in message[3]",
        "Invalid request: tool_call_id Bash:0 is duplicated",
    ],
)
def test_a_server_that_wants_each_id_once(corrected: Any, error: str) -> None:
    messages = [{"role": "user", "content": "go"}, *turn("Bash:0"), *turn("Bash:0"), *turn("b")]
    told = corrected(error, messages=messages, dialect="generic")
    sent = [message["tool_calls"][0]["id"] for message in told.messages[1::2]]
    assert len(set(sent)) == 3
    assert sent[2] == "b"
    assert [message["tool_call_id"] for message in told.messages[2::2]] == sent
    assert corrected(error, messages=messages[:3], dialect="generic").messages == told.messages[:3]


@pytest.mark.parametrize("shape", ["nine", "up_to_40"])
@pytest.mark.parametrize("dialect", ["generic", "mistral", "openai"])
def test_a_server_that_wants_a_shape_and_each_id_once_gets_both(translate: Any, shape: str, dialect: str) -> None:
    # The second refusal must not undo the correction for the first one, in either order.
    shaped = missing("free_ids" if shape == "nine" else "ids_over_40")
    history = [{"role": "user", "content": "go"}, *turn("Bash:0", "b" * 60), *turn("Bash:0", "b" * 60), *turn("Bash:0")]
    for corrections in (shaped.merge(missing("repeated_ids")), missing("repeated_ids").merge(shaped)):
        told = translate(messages=history, dialect=dialect, more={"corrections": corrections})
        sent = [call["id"] for message in told.messages for call in message.get("tool_calls") or ()]
        assert all(re.fullmatch(SHAPES[shape], each) for each in sent)
        assert len(set(sent)) == 5
        assert [message["tool_call_id"] for message in told.messages if message["role"] == "tool"] == sent
        shorter = translate(messages=history[:5], dialect=dialect, more={"corrections": corrections})
        assert told.messages[: len(shorter.messages)] == shorter.messages
