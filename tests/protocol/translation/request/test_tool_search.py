"""What the model reads of a tool search."""

from __future__ import annotations

from typing import Any

from tests.protocol.deferred_tools import HI, TOOLS, found


def test_the_model_is_told_the_names_of_what_was_loaded(translate: Any) -> None:
    told = translate(tools=TOOLS, messages=[HI, *found("1", "Beta", "Missing")])
    assert told.messages[2]["content"] == "Tool now available: Beta\nTool now available: Missing"


def test_the_model_is_told_the_schemas_too_where_the_settings_say_so(translate: Any) -> None:
    bare = {"name": "Bare", "defer_loading": True}
    told = translate(
        tools=[*TOOLS, bare],
        messages=[HI, *found("1", "Beta", "Bare", "Missing")],
        options={"tool_references": "schemas"},
    )
    assert told.messages[2]["content"].split("\n") == [
        "Tool now available: Beta",
        '"does Beta"',
        '{"type":"object"}',
        "Tool now available: Bare",
        "Tool now available: Missing",
    ]
