"""Servers that take ids of one shape only: the same id for the call and its result, and the same in each request."""

from __future__ import annotations

import re
from typing import Any

import pytest

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
