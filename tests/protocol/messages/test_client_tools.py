from __future__ import annotations

from typing import Any

import pytest

from asgi_llmgate.errors import InvalidRequest

COMPUTER = {"type": "computer_20251124", "name": "computer", "display_width_px": 1024, "display_height_px": 768}


def test_a_tool_of_a_known_type_is_a_function_with_its_schema(translate: Any) -> None:
    told = translate(tools=[{"type": "bash_20250124", "name": "bash", "cache_control": {"type": "ephemeral"}}])
    [function] = told.functions
    assert function["name"] == "bash"
    assert function["parameters"]["properties"].keys() == {"command", "restart"}
    assert told.dropped == {"tools[].cache_control"}


@pytest.mark.parametrize(
    ("kind", "name", "inserted", "undo"),
    [
        ("text_editor_20241022", "str_replace_editor", "new_str", True),
        ("text_editor_20250124", "str_replace_editor", "new_str", True),
        ("text_editor_20250429", "str_replace_based_edit_tool", "insert_text", False),
        ("text_editor_20250728", "str_replace_based_edit_tool", "insert_text", False),
    ],
)
def test_the_editor_has_the_commands_of_its_version(
    translate: Any, kind: str, name: str, inserted: str, undo: bool
) -> None:
    [function] = translate(tools=[{"type": kind, "max_characters": 99}]).functions
    properties = function["parameters"]["properties"]
    assert function["name"] == name
    assert "at most 99 characters" in function["description"]
    assert "to insert" in properties[inserted]["description"]
    assert ("undo_edit" in properties["command"]["enum"]) is undo
    assert function["parameters"]["required"] == ["command", "path"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, "1024 pixels wide. The screen is 768 pixels high."),
        ({"display_number": 2}, "It is display number 2."),
        ({"display_number": "two"}, "pixels high."),
        ({"display_number": True}, "pixels high."),
    ],
)
def test_the_size_of_the_screen_is_in_the_description(translate: Any, more: Any, said: str) -> None:
    told = translate(tools=[{**COMPUTER, **more}])
    assert told.functions[0]["description"].endswith(said)
    assert told.dropped == set()


@pytest.mark.parametrize(
    ("kind", "zoom", "has"),
    [
        ("computer_20241022", False, {"screenshot", "cursor_position"}),
        ("computer_20250124", False, {"scroll", "wait", "hold_key", "triple_click"}),
        ("computer_20251124", False, {"scroll", "wait"}),
        ("computer_20251124", True, {"scroll", "zoom"}),
    ],
)
def test_the_computer_has_the_actions_of_its_version(translate: Any, kind: str, zoom: bool, has: set[str]) -> None:
    [function] = translate(tools=[{**COMPUTER, "type": kind, "enable_zoom": zoom}]).functions
    properties = function["parameters"]["properties"]
    assert has <= set(properties["action"]["enum"])
    assert ("region" in properties) is zoom
    assert ("duration" in properties) is (kind != "computer_20241022")


def test_the_memory_is_a_function(translate: Any) -> None:
    told = translate(tools=[{"type": "memory_20250818", "name": "memory", "defer_loading": False}])
    assert "rename" in told.functions[0]["parameters"]["properties"]["command"]["enum"]


def test_such_a_tool_is_found_by_a_search_like_any_other(translate: Any) -> None:
    found = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "tool_reference", "tool_name": "bash"}]}
    messages = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "Search", "input": {}}]},
        {"role": "user", "content": [found]},
    ]
    bash = {"type": "bash_20250124", "name": "bash", "defer_loading": True}
    assert translate(tools=[bash], messages=messages[:1]).functions == []
    assert [function["name"] for function in translate(tools=[bash], messages=messages).functions] == ["bash"]


def test_its_name_is_checked_like_any_other(translate: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"^tools\.0\.name: Input should be a valid string$"):
        translate(tools=[{"type": "bash_20250124", "name": 7}])


def test_a_schema_that_the_client_sends_itself_counts_more(translate: Any) -> None:
    schema = {"type": "object", "properties": {"cmd": {"type": "string"}}}
    told = translate(tools=[{"type": "bash_20250124", "name": "bash", "input_schema": schema}])
    assert told.functions == [{"name": "bash", "parameters": schema}]
