"""The field `safeguards` of a request."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from asgi_llmgate.protocol.messages.safeguards import classifier_context

ASKED = {"type": "dangerous_tool_use", "classifier_context": {"v": 1}}


@pytest.mark.parametrize(
    ("value", "context"),
    [
        ([ASKED], b'{"v":1}'),
        ([{"type": "other"}, 1, ASKED], b'{"v":1}'),
        ([{"type": "dangerous_tool_use"}], b"{}"),
        ([{"type": "dangerous_tool_use", "classifier_context": "x"}], b"{}"),
        ([], None),
        (None, None),
        ({}, None),
        (ASKED, None),
        ("dangerous_tool_use", None),
        ([{"type": "other"}], None),
        ([{"type": None}, {}, []], None),
        (["dangerous_tool_use"], None),
    ],
)
def test_a_request_asks_for_decisions_if_its_field_has_the_type(value: Any, context: bytes | None) -> None:
    assert classifier_context({"safeguards": Raw(msgspec.json.encode(value))}) == (context and Raw(context))


def test_a_request_without_the_field_asks_for_none() -> None:
    assert classifier_context({}) is None
