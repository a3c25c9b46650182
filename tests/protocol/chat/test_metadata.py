from __future__ import annotations

import json
from typing import Any

import pytest

from asgi_llmgate.errors import Failed, Throttled
from asgi_llmgate.exchange_values import ResponseMetadata, Usage
from asgi_llmgate.protocol.chat.chunks import read_chunk
from asgi_llmgate.protocol.chat.metadata import MetadataReader
from tests.protocol.responses import counted


def read(reader: MetadataReader, body: dict[str, Any]) -> None:
    event = json.dumps(body).encode()
    chunk = read_chunk(event)
    reader.read_chunk(chunk, event)
    for choice in chunk.choices or ():
        reader.read_choice(choice)


def test_names_are_the_first_and_counts_and_reasons_the_last() -> None:
    reader = MetadataReader(50)
    read(reader, {"id": "", "model": None, "usage": counted(9, 1)})
    read(reader, {"id": "a", "model": "m", "choices": [{"finish_reason": "stop"}]})
    read(reader, {"id": "b", "model": "n", "choices": [{"finish_reason": "length", "usage": counted(9, 3)}]})
    read(reader, {"choices": [{"finish_reason": ""}], "usage": counted(0, 0)})
    assert reader.metadata(["f", "g", "f"]) == ResponseMetadata("m", "a", ("length",), ("f", "g"))
    assert reader.usage(100) == Usage(9, 3)


def test_counts_without_the_word_for_a_chunk_are_no_error() -> None:
    reader = MetadataReader(50)
    read(reader, {"choices": [], "usage": counted(9, 2), "status": 500, "message": "not read"})
    assert reader.usage(0) == Usage(9, 2)


def test_what_was_not_counted_is_estimated() -> None:
    assert MetadataReader(50).usage(9) == Usage(input=50, output=3, estimated=True)


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
        read(MetadataReader(50), body)


def test_a_chunk_after_the_names_can_bring_usage() -> None:
    reader = MetadataReader(50)
    read(reader, {"id": "a", "choices": []})
    assert not reader.has_names
    read(reader, {"model": "m", "choices": []})
    assert reader.has_names
    read(reader, {"id": "b", "model": "n", "usage": counted(9, 3)})
    assert reader.metadata(()) == ResponseMetadata("m", "a")
    assert reader.usage(0) == Usage(9, 3)
