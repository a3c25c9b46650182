"""Anthropic's agent SDK for Python: Claude Code, steered by a program that brings tools of its own."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from asgi_llmgate.testing.model_script import call, say
from tests.e2e.claude_code.client import tool_results
from tests.e2e.claude_code.test_media import png
from tests.helpers.installation import python_environment

if TYPE_CHECKING:
    from tests.e2e.conftest import Lab

pytestmark = pytest.mark.suites

PROGRAM = Path(__file__).parents[1] / "programs" / "agent_sdk.py"
AGENT_SDK = ("--no-binary=claude-agent-sdk", "claude-agent-sdk==0.2.189")
"""Its wheel carries a whole Claude Code; the tests have one."""
IMAGE = base64.b64encode(png(8, 6)).decode()
FOUND = "select:mcp__places__weather,mcp__places__photo,mcp__places__fail"

SCRIPT = [
    say("A title").when(lambda request: not request.tool_names).always(),
    call("ToolSearch", query=FOUND, max_results=3),
    say("I will look.") + call("mcp__places__weather", place="Oslo") + call("mcp__places__photo", place="Rome"),
    call("mcp__places__fail"),
    say("Snow, and a photo."),
    call("Bash", command="echo no > made.txt", description="Make a file"),
    say("I may not."),
    call("Write", file_path="made.txt", content="yes"),
    say("I may."),
]


def test_an_agent_with_tools_of_the_program(lab: Callable[..., Lab], claude_binary: Path, tmp_path: Path) -> None:
    python = python_environment("agent-sdk", *AGENT_SDK)
    gate = lab(SCRIPT)
    done = subprocess.run(
        [python, PROGRAM],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "CLAUDE": str(claude_binary),
            "GATE": gate.url,
            "TOKEN": gate.token(),
            "IMAGE": IMAGE,
            "DISABLE_AUTOUPDATER": "1",
            "IS_SANDBOX": "1",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ANSWERS
    assert gate.model.unused == []
    assert (tmp_path / "made.txt").read_text() == "yes"
    chat = next(chat for chat in gate.model.chats if len(tool_results(chat)) == 4)
    assert f"data:image/png;base64,{IMAGE}" in chat.raw.decode()
    _, weather, _, fail = tool_results(chat)
    assert weather == "snow in Oslo"
    assert "out of order" in fail
    assert {record["status"] for record in gate.records()} == {200}


def said(*blocks: Any, result: str) -> dict[str, Any]:
    return {"blocks": [*blocks, result], "result": result, "is_error": False, "counted": True}


ANSWERS: dict[str, Any] = {
    "query": said(
        ["ToolSearch", {"query": FOUND, "max_results": 3}],
        "I will look.",
        ["mcp__places__weather", {"place": "Oslo"}],
        ["mcp__places__photo", {"place": "Rome"}],
        ["mcp__places__fail", {}],
        result="Snow, and a photo.",
    ),
    "conversation": [
        said(["Bash", {"command": "echo no > made.txt", "description": "Make a file"}], result="I may not."),
        said(["Write", {"file_path": "made.txt", "content": "yes"}], result="I may."),
    ],
    "ran": [["weather", {"place": "Oslo"}], ["photo", {"place": "Rome"}]],
}
