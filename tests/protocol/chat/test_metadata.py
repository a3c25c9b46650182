from __future__ import annotations

import json
from typing import Any

import pytest

from asgi_llmgate.errors import Failed, Throttled
from asgi_llmgate.exchange import Answer, Usage
from asgi_llmgate.protocol.chat.chunks import read_chunk
from asgi_llmgate.protocol.chat.metadata import Facts
from tests.protocol.responses import PLAN, counted


def note(facts: Facts, body: dict[str, Any]) -> None:
    event = json.dumps(body).encode()
    chunk = read_chunk(event)
    facts.note_chunk(chunk, event)
    for choice in chunk.choices or ():
        facts.note_choice(choice)


def test_names_are_the_first_and_counts_and_reasons_the_last() -> None:
    facts = Facts(PLAN)
    note(facts, {"id": "", "model": None, "usage": counted(9, 1)})
    note(facts, {"id": "a", "model": "m", "choices": [{"finish_reason": "stop"}]})
    note(facts, {"id": "b", "model": "n", "choices": [{"finish_reason": "length", "usage": counted(9, 3)}]})
    note(facts, {"choices": [{"finish_reason": ""}], "usage": counted(0, 0)})
    assert facts.answer(["f", "g", "f"]) == Answer("m", "a", ("length",), ("f", "g"))
    assert facts.usage(100) == Usage(9, 3)


def test_nobody_counted() -> None:
    assert Facts(PLAN).usage(9) == Usage(input=50, output=3, estimated=True)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"error": {"code": 429, "message": "slow"}}, Throttled),
        ({"object": "error", "code": 429, "message": "slow"}, Throttled),
        ({"choices": [{"error": {"code": 429, "message": "slow"}}]}, Throttled),
        ({"choices": [{"finish_reason": "error"}]}, Failed),
    ],
)
def test_what_a_server_reports_is_raised(body: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        note(Facts(PLAN), body)
