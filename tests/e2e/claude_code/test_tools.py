"""Claude Code's tools, called by a model that is not Claude."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from asgi_llmgate._types import Receive, Scope, Send
from asgi_llmgate.testing.model_script import ToolCall, Turn, call, say
from tests.e2e.claude_code.client import tool_results
from tests.helpers.certificates import self_signed

if TYPE_CHECKING:
    from tests.e2e.claude_code.client import ClaudeCode
    from tests.e2e.conftest import Lab


def test_a_tool_that_fails_is_told_as_a_failure(lab: Callable[..., Lab], claude: ClaudeCode) -> None:
    gate = lab(
        [
            call("Bash", command="echo so far; exit 3", description="Fail") + call("Read", file_path="nowhere.txt"),
            say("Neither worked."),
        ]
    )
    run = claude("Try.", "--allowedTools", "Bash,Read", gate=gate)
    assert (run.result, run.is_error) == ("Neither worked.", False)
    ran, read = tool_results(gate.model.chats[-1])
    assert ran.startswith("Error: Exit code 3")
    assert "so far" in ran
    assert read.startswith("Error: File does not exist")


def test_parallel_calls_whose_arguments_arrive_interleaved(lab: Callable[..., Lab], claude: ClaudeCode) -> None:
    texts = {
        f"{name}.txt": f"a longer text for {name}, with 'quotes', \\ and ünïcödé\n" for name in ("one", "two", "three")
    }
    one, two, three = (call("Write", file_path=name, content=text) for name, text in texts.items())
    gate = lab([(say("All three.") + one + two + three).interleaved(), say("Written.")])
    run = claude("Write three files.", "--allowedTools", "Write", gate=gate)
    assert (run.result, run.is_error) == ("Written.", False)
    assert {path.name: path.read_text("utf-8") for path in run.folder.glob("*.txt")} == texts
    assistant = gate.model.chats[-1].messages[-4]
    assert assistant["content"] == "All three."
    assert [each["function"]["name"] for each in assistant["tool_calls"]] == ["Write"] * 3


@pytest.mark.parametrize(
    "arguments",
    ["{file_path: a.txt}", '"a.txt"', '{"file_path": "a.txt", "content": "b', "<file_path>a.txt</file_path>"],
)
def test_a_slip_in_the_arguments_is_told_to_the_model(
    lab: Callable[..., Lab], claude: ClaudeCode, arguments: str
) -> None:
    """The client says what is wrong with them, and the session goes on."""
    gate = lab(
        [
            say("I will.") + Turn(calls=(ToolCall("Write", arguments),)),
            call("Write", file_path="a.txt", content="b"),
            say("Written."),
        ]
    )
    run = claude("Write a.txt.", "--allowedTools", "Write", gate=gate)
    assert (run.result, run.is_error) == ("Written.", False)
    assert (run.folder / "a.txt").read_text() == "b"
    slip, good = tool_results(gate.model.chats[-1])
    assert "InputValidationError" in slip or "JSON" in slip
    assert "a.txt" in good
    assert [record["outcome"] for record in gate.records()] == ["ok"] * 3


def test_tools_that_tool_search_loads_stay_loaded(lab: Callable[..., Lab], claude: ClaudeCode) -> None:
    gate = lab(
        [
            call("ToolSearch", query="select:CronList", max_results=1),
            call("CronList"),
            call("ToolSearch", query="select:no-such-tool", max_results=1),
            call("ToolSearch", query="select:NotebookEdit,CronList,CronCreate", max_results=3),
            say("Nothing is scheduled."),
            call("ToolSearch", query="select:CronDelete", max_results=1),
            call("CronList"),
            say("Still nothing."),
        ]
    )
    assert claude("What is scheduled?", gate=gate).result == "Nothing is scheduled."
    assert claude("And now?", "--continue", gate=gate).result == "Still nothing."
    first, *later = (request.tool_names for request in gate.model.chats)
    assert "ToolSearch" in first
    assert not {"CronList", "CronCreate", "CronDelete", "NotebookEdit"}.intersection(first)
    early = ["CronList"]
    late = [*early, "NotebookEdit", "CronCreate"]
    assert later == [
        [*first, *loaded] for loaded in (early, early, early, late, late, [*late, "CronDelete"], [*late, "CronDelete"])
    ]
    said = tool_results(gate.model.chats[-1])
    assert "CronList" in said[0]
    assert "No scheduled jobs" in said[1]
    assert "No matching deferred tools" in said[2]
    assert "No scheduled jobs" in said[-1]


def test_a_web_search_is_answered_though_nobody_here_can_search(lab: Callable[..., Lab], claude: ClaudeCode) -> None:
    """The search is a call of its own, whose only tool a chat completions server cannot run."""
    gate = lab(
        [
            call("ToolSearch", query="select:WebSearch", max_results=1),
            call("WebSearch", query="the weather in Oslo"),
            say("I cannot search."),
        ]
    )
    run = claude("How is the weather in Oslo?", "--allowedTools", "WebSearch", gate=gate)
    assert (run.result, run.is_error) == ("I cannot search.", False)
    [search] = (
        request for request in gate.calls if [tool["name"] for tool in request.body.get("tools", ())] == ["web_search"]
    )
    assert search.body["tools"][0]["type"].startswith("web_search_")
    assert "not available through this gateway: web_search" in tool_results(gate.model.chats[-1])[-1]
    records = gate.records()
    assert [record["status"] for record in records] == [200] * 4
    assert len(gate.model.requests) == 3
    assert "tools[].web_search" in records[2]["llmgate.dropped"]


def test_a_web_page_is_fetched_and_read_by_the_model(
    lab: Callable[..., Lab], claude: ClaudeCode, serve: Callable[..., str], tmp_path: Path
) -> None:
    """The client asks a model about the page, in a call of its own.  It fetches by https only, and with
    `skipWebFetchPreflight` without asking Anthropic whether the site is a bad one."""
    certificate = self_signed(tmp_path / "page.pem")
    page = serve(_page, ssl_certfile=str(certificate)).replace("http:", "https:")
    gate = lab(
        [
            say("It says 42.").when(lambda request: "The answer is 42." in request.prompt),
            call("ToolSearch", query="select:WebFetch", max_results=1),
            call("WebFetch", url=f"{page}/answer", prompt="What is the answer?"),
            say("The page says 42."),
        ]
    )
    options = ["--allowedTools", "WebFetch", "--settings", '{"skipWebFetchPreflight": true}']
    run = claude("What does the page say?", *options, gate=gate, NODE_TLS_REJECT_UNAUTHORIZED="0")
    assert (run.result, run.is_error) == ("The page says 42.", False)
    assert tool_results(gate.model.chats[-1])[-1] == "It says 42."
    assert gate.model.unused == []


async def _page(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
        await send({"type": "http.response.body", "body": b"<h1>About</h1><p>The answer is 42.</p>"})
