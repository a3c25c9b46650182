from __future__ import annotations

import pytest

from asgi_llmgate.protocol.chat.finish_reasons import ending
from asgi_llmgate.protocol.translation.response.stop_reason import stop_reason


@pytest.mark.parametrize(
    ("finish_reason", "has_tool_calls", "refused", "stop_matched", "reason"),
    [
        ("stop", False, False, False, "end_turn"),
        ("eos", False, False, False, "end_turn"),
        ("", False, False, False, "end_turn"),
        ("because", False, False, False, "end_turn"),
        ("stop", False, False, True, "stop_sequence"),
        ("stop", True, False, True, "tool_use"),
        ("stop", True, False, False, "tool_use"),
        ("because", True, False, False, "tool_use"),
        ("tool_calls", True, False, False, "tool_use"),
        ("tool_calls", False, False, False, "end_turn"),
        ("length", False, False, False, "max_tokens"),
        ("length", True, False, True, "max_tokens"),
        ("model_length", False, False, False, "max_tokens"),
        ("content_filter", True, False, False, "refusal"),
        ("stop", False, True, False, "refusal"),
        ("length", False, True, False, "refusal"),
    ],
)
def test_the_stop_reason(
    finish_reason: str, has_tool_calls: bool, refused: bool, stop_matched: bool, reason: str
) -> None:
    found = stop_reason(
        ending(finish_reason), has_tool_calls=has_tool_calls, refused=refused, stop_matched=stop_matched
    )
    assert found == reason
