"""Tools that Anthropic has defined and the client runs: `bash`, `text_editor`, `memory`, `computer`.

A request names only their type, such as `bash_20250124`: Claude knows their input.  The schemas are public and fixed,
so for another model such a tool is a function like any other, with the schema and a description.
(https://platform.claude.com/docs/en/agents-and-tools/tool-use/bash-tool, .../text-editor-tool, .../memory-tool,
.../computer-use-tool)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

from msgspec import Raw

from asgi_llmgate.protocol.rawjson import objects
from asgi_llmgate.protocol.rawjson.objects import Fields, to_json


class ClientTool(NamedTuple):
    """A defined tool: its `name`, its description and its schema.

    `options` are further fields of its entry in `tools`; each has words for the description, in which its value stands.
    """

    name: str
    description: str
    schema: dict[str, Any]
    options: Mapping[str, str] = MappingProxyType({})


def as_function(kind: str, fields: Fields) -> Fields | None:
    """The entry of a function for the entry of a defined tool; None where `type` is no such tool."""
    make = _TOOLS.get(kind)
    if make is None:
        return None
    tool = make(fields)
    numbers = {option: objects.read_value(fields.get(option)) for option in tool.options}
    said = [words.format(numbers[option]) for option, words in tool.options.items() if type(numbers[option]) is int]
    kept = {name: value for name, value in fields.items() if name not in tool.options and name != "enable_zoom"}
    return {
        **kept,
        "name": fields.get("name") or Raw(to_json(tool.name)),
        "description": Raw(to_json(" ".join([tool.description, *said]))),
        "input_schema": Raw(to_json(tool.schema)),
    }


def _text(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description}


def _number_of(description: str) -> dict[str, Any]:
    return {"type": "integer", "description": description}


def _pair(description: str, length: int = 2) -> dict[str, Any]:
    return {
        "type": "array",
        "items": {"type": "integer"},
        "minItems": length,
        "maxItems": length,
        "description": description,
    }


def _bash(fields: Fields) -> ClientTool:
    properties = {
        "command": _text("The command to run. Required unless `restart` is true."),
        "restart": {"type": "boolean", "description": "Whether to start a new shell instead of running a command."},
    }
    return ClientTool(
        "bash",
        "Run commands in a bash shell that stays open: variables and the working directory last from call to call. "
        "Commands cannot be interactive.",
        {"type": "object", "properties": properties},
    )


def _text_editor(name: str, commands: tuple[str, ...], inserted: str, fields: Fields) -> ClientTool:
    properties = {
        "command": {"type": "string", "enum": list(commands), "description": "What to do."},
        "path": _text("Absolute path of a file, or of a directory for `view`."),
        "file_text": _text("Required for `create`: the content of the new file."),
        "view_range": _pair("For `view` of a file: first and last line, from 1; -1 is the last line of the file."),
        "old_str": _text("Required for `str_replace`: the text to replace. It must stand in the file exactly once."),
        "new_str": _text("For `str_replace`: the new text; nothing if it is left out."),
        "insert_line": _number_of("Required for `insert`: the line behind which to insert; 0 is the beginning."),
    }
    if inserted == "new_str":
        properties["new_str"]["description"] += " Required for `insert`: the text to insert."
    else:
        properties[inserted] = _text("Required for `insert`: the text to insert.")
    return ClientTool(
        name,
        "View, create and edit text files.",
        {"type": "object", "properties": properties, "required": ["command", "path"]},
        {"max_characters": "A view shows at most {} characters."},
    )


def _memory(fields: Fields) -> ClientTool:
    commands = ["view", "create", "str_replace", "insert", "delete", "rename"]
    properties = {
        "command": {"type": "string", "enum": commands, "description": "What to do."},
        "path": _text("Required but for `rename`: a path under /memories."),
        "view_range": _pair("For `view` of a file: first and last line, from 1; -1 is the last line of the file."),
        "file_text": _text("Required for `create`: the content of the file."),
        "old_str": _text("Required for `str_replace`: the text to replace. It must stand in the file exactly once."),
        "new_str": _text("Required for `str_replace`: the new text."),
        "insert_line": _number_of("Required for `insert`: the line behind which to insert; 0 is the beginning."),
        "insert_text": _text("Required for `insert`: the text to insert."),
        "old_path": _text("Required for `rename`: the path now."),
        "new_path": _text("Required for `rename`: the new path."),
    }
    return ClientTool(
        "memory",
        "Files that stay from conversation to conversation, in the directory /memories. View it before anything else, "
        "and note there what later conversations need.",
        {"type": "object", "properties": properties, "required": ["command"]},
    )


_ACTIONS = ("key", "type", "mouse_move", "left_click", "left_click_drag", "right_click", "middle_click", "double_click")
_ACTIONS_2024 = (*_ACTIONS, "screenshot", "cursor_position")
_ACTIONS_2025 = (*_ACTIONS_2024, "left_mouse_down", "left_mouse_up", "triple_click", "hold_key", "scroll", "wait")


def _computer(actions: tuple[str, ...], fields: Fields) -> ClientTool:
    if objects.is_true(fields.get("enable_zoom")):
        actions = (*actions, "zoom")
    properties = {
        "action": {"type": "string", "enum": list(actions), "description": "What to do."},
        "coordinate": _pair("(x, y) in pixels from the left and upper edge: where to click, scroll or move to."),
        "text": _text("For `type`: the text. For `key` and `hold_key`: keys as xdotool names them, such as ctrl+s."),
    }
    if "scroll" in actions:
        properties["text"]["description"] += " For clicks and `scroll`: keys to hold down meanwhile."
        properties["start_coordinate"] = _pair("(x, y) where `left_click_drag` begins.")
        directions = ["up", "down", "left", "right"]
        properties["scroll_direction"] = {"type": "string", "enum": directions, "description": "For `scroll`."}
        properties["scroll_amount"] = _number_of("For `scroll`: clicks of the wheel.")
        properties["duration"] = {"type": "number", "description": "For `hold_key` and `wait`: seconds."}
    if "zoom" in actions:
        properties["region"] = _pair("(x0, y0, x1, y1), the part of the screen that `zoom` shows larger.", 4)
    return ClientTool(
        "computer",
        "See the screen of a computer and use its mouse and keyboard. Take a screenshot to see what an action did.",
        {"type": "object", "properties": properties, "required": ["action"]},
        {
            "display_width_px": "The screen is {} pixels wide.",
            "display_height_px": "The screen is {} pixels high.",
            "display_number": "It is display number {}.",
        },
    )


_EDITS = ("view", "create", "str_replace", "insert")
_EDITOR, _NEW_EDITOR = "str_replace_editor", "str_replace_based_edit_tool"

_TOOLS: Mapping[str, Callable[[Fields], ClientTool]] = MappingProxyType(
    {
        "bash_20241022": _bash,
        "bash_20250124": _bash,
        "text_editor_20241022": partial(_text_editor, _EDITOR, (*_EDITS, "undo_edit"), "new_str"),
        "text_editor_20250124": partial(_text_editor, _EDITOR, (*_EDITS, "undo_edit"), "new_str"),
        "text_editor_20250429": partial(_text_editor, _NEW_EDITOR, _EDITS, "insert_text"),
        "text_editor_20250728": partial(_text_editor, _NEW_EDITOR, _EDITS, "insert_text"),
        "memory_20250818": _memory,
        "computer_20241022": partial(_computer, _ACTIONS_2024),
        "computer_20250124": partial(_computer, _ACTIONS_2025),
        "computer_20251124": partial(_computer, _ACTIONS_2025),
    }
)
