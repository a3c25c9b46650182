"""Tool search: what Claude Code defers, loads and takes out again."""

from __future__ import annotations

from typing import Any

import pytest

from asgi_llmgate.errors import InvalidRequest
from tests.protocol.deferred_tools import HI, TOOLS, change, definition, found, reference


@pytest.mark.parametrize(
    ("messages", "offered"),
    [
        ([], []),
        (found("1", "Beta"), ["Beta"]),
        ([*found("1", "Beta"), *found("2", "Alpha")], ["Beta", "Alpha"]),
        ([*found("1", "Beta", "Alpha"), *found("2", "Beta")], ["Beta", "Alpha"]),
        ([change("tool_addition", reference("Alpha"))], ["Alpha"]),
        ([change("tool_addition", definition("Gamma")), *found("1", "Beta")], ["Gamma", "Beta"]),
        ([*found("1", "Alpha", "Beta"), change("tool_removal", reference("Alpha"))], ["Beta"]),
        (
            [
                *found("1", "Alpha", "Beta"),
                change("tool_removal", reference("Alpha")),
                change("tool_addition", reference("Alpha")),
            ],
            ["Beta", "Alpha"],
        ),
        ([change("tool_addition", reference("Bash"))], []),
        ([change("tool_addition", definition("Gamma", defer_loading=True))], ["Gamma"]),
    ],
    ids=[
        "nothing is loaded",
        "one by search",
        "in the order of loading",
        "loaded twice",
        "by a system message",
        "by value",
        "taken out again",
        "taken out and loaded again",
        "one that is there already",
        "by value, though deferred",
    ],
)
def test_deferred_tools_are_offered_once_loaded_after_the_others(translate: Any, messages: Any, offered: Any) -> None:
    told = translate(tools=TOOLS, messages=[HI, *messages])
    assert [function["name"] for function in told.functions] == ["Bash", "ToolSearch", *offered]
    assert "messages[].content[].tool_reference" not in told.dropped


def test_a_tool_that_was_there_from_the_start_can_be_taken_out(translate: Any) -> None:
    told = translate(tools=TOOLS, messages=[HI, change("tool_removal", reference("Bash"))])
    assert [function["name"] for function in told.functions] == ["ToolSearch"]


def test_a_new_definition_of_a_tool_takes_the_place_of_the_old_one(translate: Any) -> None:
    told = translate(tools=TOOLS, messages=[HI, change("tool_addition", definition("Bash", description="new"))])
    assert (told.functions[0]["name"], told.functions[0]["description"]) == ("Bash", "new")


def test_with_a_search_tool_of_the_server_everything_is_offered_at_once(translate: Any) -> None:
    search = {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"}
    told = translate(tools=[search, *TOOLS], messages=[HI])
    assert [function["name"] for function in told.functions] == [
        "Bash",
        "Alpha",
        "Beta",
        "ToolSearch",
        "DeferredToolPlaceholder",
    ]
    assert told.dropped == {"tools[].tool_search_tool_regex_20251119"}


ALPHA = {"tool_changes": [{"type": "tool_addition", "tool": reference("Alpha")}]}


@pytest.mark.parametrize(
    "block",
    [
        {"type": "tool_search_tool_result", "content": {"tool_references": [{"tool_name": "Alpha"}]}},
        {"type": "compaction", "content": "summary", **ALPHA},
        {"type": "tool_addition", "tool": reference("Alpha")},
    ],
    ids=lambda block: block["type"],
)
def test_each_block_that_loads_a_tool_is_heeded_where_it_is_the_only_one(translate: Any, block: Any) -> None:
    told = translate(tools=TOOLS, messages=[HI, {"role": "user", "content": [block]}])
    assert "Alpha" in [function["name"] for function in told.functions]


def test_what_a_server_once_found_and_a_compaction_kept_is_loaded(translate: Any) -> None:
    history = [
        {
            "role": "assistant",
            "content": [
                {
                    "type": "tool_search_tool_result",
                    "tool_use_id": "s",
                    "content": {"tool_references": [{"type": "tool_reference", "tool_name": "Beta"}]},
                }
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "compaction",
                    "content": "summary",
                    "tool_changes": [{"type": "tool_addition", "tool": reference("Alpha")}, {"type": "mystery"}],
                }
            ],
        },
    ]
    told = translate(tools=TOOLS, messages=[HI, *history])
    assert [function["name"] for function in told.functions] == ["Bash", "ToolSearch", "Beta", "Alpha"]


@pytest.mark.parametrize(
    "messages",
    [
        found("1", "Missing"),
        [change("tool_addition", reference("Missing"))],
        [change("tool_removal", reference("Missing"))],
        [change("tool_addition", {"type": "mcp_tool_reference", "server_name": "s", "tool_name": "x"})],
        [change("tool_addition", "not an object")],
        [{"role": "system", "content": [{"type": "tool_removal"}]}],
    ],
    ids=["found", "added", "removed", "of an MCP server", "not an object", "missing"],
)
def test_a_name_that_nobody_declared_is_reported(translate: Any, messages: Any) -> None:
    told = translate(tools=TOOLS, messages=[HI, *messages])
    assert [function["name"] for function in told.functions] == ["Bash", "ToolSearch"]
    assert "messages[].content[].tool_reference" in told.dropped


def test_a_definition_that_only_anthropic_can_run_is_left_out_and_reported(translate: Any) -> None:
    by_value = {"type": "tool_definition", "definition": {"type": "web_fetch_20250910", "name": "web_fetch"}}
    told = translate(tools=TOOLS, messages=[HI, change("tool_addition", by_value)])
    assert "tools[].web_fetch" in told.dropped
    assert "web_fetch" not in {function["name"] for function in told.functions}


def test_a_definition_without_a_name_is_refused_with_its_place(decode: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"^messages\.1\.content\.0\.tool\.definition\.name: Field required$"):
        decode(messages=[HI, change("tool_addition", {"definition": {"input_schema": {}}})])
