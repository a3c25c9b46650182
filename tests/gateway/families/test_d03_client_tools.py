"""D3: Anthropic's own tools that the client runs, with a model behind that does not know them.

The client is Anthropic's SDK with its own memory tool: what the model is told must lead to calls that it can run.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import pytest
from anthropic.tools import BetaAsyncLocalFilesystemMemoryTool
from anthropic.types import beta as types
from jsonschema import Draft202012Validator

from tests.gateway.families.conftest import MakeGate
from tests.helpers.wire_server import WireRequest, Writer, chunk, completion, sse, whole

TOOLS: dict[str, dict[str, Any]] = {
    "bash_20241022": {"name": "bash"},
    "bash_20250124": {"name": "bash"},
    "text_editor_20241022": {"name": "str_replace_editor"},
    "text_editor_20250124": {"name": "str_replace_editor"},
    "text_editor_20250429": {"name": "str_replace_based_edit_tool"},
    "text_editor_20250728": {"name": "str_replace_based_edit_tool", "max_characters": 5000},
    "memory_20250818": {"name": "memory"},
    "computer_20241022": {"name": "computer", "display_width_px": 1024, "display_height_px": 768},
    "computer_20250124": {"name": "computer", "display_width_px": 1024, "display_height_px": 768, "display_number": 1},
    "computer_20251124": {"name": "computer", "display_width_px": 1024, "display_height_px": 768, "enable_zoom": True},
}

MEMORY_COMMANDS = [
    {"command": "create", "path": "/memories/a.txt", "file_text": "one\ntwo\n"},
    {"command": "insert", "path": "/memories/a.txt", "insert_line": 1, "insert_text": "and a half\n"},
    {"command": "str_replace", "path": "/memories/a.txt", "old_str": "two", "new_str": "three"},
    {"command": "rename", "old_path": "/memories/a.txt", "new_path": "/memories/b.txt"},
    {"command": "view", "path": "/memories/b.txt", "view_range": [1, 2]},
    {"command": "delete", "path": "/memories/c.txt"},
]


def calling(name: str, arguments: dict[str, Any], number: int = 0) -> dict[str, Any]:
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"tool_calls": [{"index": 0, "id": f"call_{number}", "type": "function", "function": function}]}


def respond_with(deltas: list[dict[str, Any]]) -> Any:
    """A server that sends one of these for each request, streamed if asked to."""

    async def respond(request: WireRequest, writer: Writer) -> None:
        delta = deltas.pop(0)
        finish = "tool_calls" if "tool_calls" in delta else "stop"
        if request.json().get("stream"):
            body = sse(chunk(delta), chunk(finish=finish), "[DONE]")
            writer.write(whole(body, content_type=b"text/event-stream"))
        else:
            message = {"role": "assistant", "content": None, **delta}
            choice = {"index": 0, "message": message, "finish_reason": finish}
            writer.write(whole(json.dumps(completion(choices=[choice])).encode()))

    return respond


def client_of(gate: Any) -> anthropic.AsyncAnthropic:
    http = httpx2.AsyncClient(transport=httpx2.ASGITransport(gate), base_url="http://gate")
    return anthropic.AsyncAnthropic(api_key="k", base_url="http://gate", http_client=http, max_retries=0)


@pytest.mark.parametrize("stream", [False, True])
async def test_the_sdks_memory_tool_runs_what_the_model_calls(gate: MakeGate, tmp_path: Path, stream: bool) -> None:
    deltas = [calling("memory", command, number) for number, command in enumerate(MEMORY_COMMANDS)]
    made = await gate(respond_with([*deltas, {"content": "Noted."}]))
    memory = BetaAsyncLocalFilesystemMemoryTool(base_path=str(tmp_path))
    async with client_of(made) as client:
        runner = client.beta.messages.tool_runner(
            model="m",
            max_tokens=200,
            messages=[{"role": "user", "content": "Remember."}],
            tools=[memory],
            stream=stream,
        )
        last = await runner.until_done()
    assert last.content[0].text == "Noted."
    files = {path.name: path.read_text() for path in tmp_path.rglob("*.txt")}
    assert files == {"b.txt": "one\nand a half\nthree\n"}
    results = [m["content"] for m in made.server.requests[-1].json()["messages"] if m["role"] == "tool"]
    assert "and a half" in results[4]
    assert results[5].startswith("Error: "), "there is no such file, and the model is told so"


@pytest.mark.parametrize("kind", TOOLS)
@pytest.mark.parametrize("stream", [False, True])
async def test_each_is_a_function_whose_call_keeps_its_name(gate: MakeGate, kind: str, stream: bool) -> None:
    name = TOOLS[kind]["name"]
    made = await gate(respond_with([calling(name, {"command": "x"})]))
    async with client_of(made) as client:
        asked = {"model": "m", "max_tokens": 200, "messages": [{"role": "user", "content": "Go."}]}
        tool = {"type": kind, **TOOLS[kind]}
        if stream:
            async with client.beta.messages.stream(**asked, tools=[tool]) as events:
                message = await events.get_final_message()
        else:
            message = await client.beta.messages.create(**asked, tools=[tool])
    assert (message.content[0].type, message.content[0].name, message.content[0].input) == (
        "tool_use",
        name,
        {"command": "x"},
    )
    [sent] = made.server.requests[0].json()["tools"]
    assert sent["function"]["name"] == name
    Draft202012Validator.check_schema(sent["function"]["parameters"])
    words = sent["function"]["description"]
    for field in ("max_characters", "display_width_px", "display_height_px", "display_number"):
        assert (str(TOOLS[kind].get(field)) in words) is (field in TOOLS[kind])
    assert made.exchange.dropped == ()


@pytest.mark.parametrize("command", MEMORY_COMMANDS, ids=lambda command: command["command"])
async def test_the_schema_allows_what_the_sdk_runs(gate: MakeGate, command: dict[str, Any]) -> None:
    """Each command as the SDK's type for it has it, with every field of that type."""
    made = await gate(respond_with([{"content": "x"}]))
    await made.ask(tools=[{"type": "memory_20250818", "name": "memory"}])
    [sent] = made.server.requests[0].json()["tools"]
    schema = {**sent["function"]["parameters"], "additionalProperties": False}
    Draft202012Validator(schema).validate(command)
    model = getattr(types, f"BetaMemoryTool20250818{command['command'].title().replace('_', '')}Command")
    assert model.model_fields.keys() <= schema["properties"].keys()


@pytest.mark.parametrize(
    ("kind", "actions"),
    [
        ("computer_20241022", set()),
        ("computer_20250124", {"scroll", "wait"}),
        ("computer_20251124", {"scroll", "zoom"}),
    ],
)
async def test_a_later_computer_can_do_more(gate: MakeGate, kind: str, actions: set[str]) -> None:
    made = await gate(respond_with([{"content": "x"}]))
    await made.ask(tools=[{"type": kind, **TOOLS[kind]}])
    [sent] = made.server.requests[0].json()["tools"]
    properties = sent["function"]["parameters"]["properties"]
    known = set(properties["action"]["enum"])
    assert {"screenshot", "key", "type"} | actions <= known
    assert ("scroll" in known) is ("scroll_direction" in properties) is ("scroll" in actions)
    assert ("zoom" in known) is ("region" in properties) is ("zoom" in actions)


async def test_server_tools_beside_them_are_still_left_out(gate: MakeGate) -> None:
    made = await gate(respond_with([{"content": "x"}]))
    search = {"type": "web_search_20250305", "name": "web_search"}
    reply = await made.ask(tools=[{"type": "bash_20250124", "name": "bash"}, search])
    assert reply.status == 200
    assert [tool["function"]["name"] for tool in made.server.requests[0].json()["tools"]] == ["bash"]
    assert made.exchange.dropped == ("tools[].web_search",)
