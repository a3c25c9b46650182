from __future__ import annotations

from typing import Any

import pytest

from asgi_llmgate.errors import SettingsError
from asgi_llmgate.exchange_values import ToolUse
from asgi_llmgate.safeguards.tool_variable import ToolVariable, safeguard_fields
from tests.safeguards.judged import bash, use

INPUTS: list[tuple[str, bytes, Any]] = [
    ("an object", b'{"command":"ls","n":1}', {"command": "ls", "n": 1}),
    ("no arguments", b"", {}),
    ("the last of two equal names, as in JavaScript", b'{"command":"ls","command":"rm"}', {"command": "rm"}),
    ("the same with an escape", b'{"command":"ls","c\\u006fmmand":"rm"}', {"command": "rm"}),
    ("a number beyond 64 bits", b'{"n":123456789012345678901234567890}', {"n": 123456789012345678901234567890}),
    ("half of a surrogate pair", b'{"a":"x\\ud800y","b":"z"}', {"a": "x\ufffdy", "b": "z"}),
    ("no UTF-8", b'{"a":"\xff"}', {"a": "\ufffd"}),
    ("no JSON: the text", b'{"command":"rm', '{"command":"rm'),
    ("no object: the text", b'["rm"]', '["rm"]'),
    ("a number that no decoder has: the text", b'{"n":1e999}', '{"n":1e999}'),
    ("nested too deep: the text", b"[" * 100_000, "[" * 100_000),
    ("an object, nested too deep: the text", b'{"a":' * 65 + b"1" + b"}" * 65, '{"a":' * 65 + "1" + "}" * 65),
    ("brackets in a text are no levels", b'{"command":"' + b"{" * 99 + b'"}', {"command": "{" * 99}),
]


@pytest.mark.parametrize(("written", "value"), [row[1:] for row in INPUTS], ids=[row[0] for row in INPUTS])
def test_the_input_is_what_the_client_decodes(written: bytes, value: Any) -> None:
    assert ToolVariable(use(text=written))["input"] == value


SERVERS = [
    ("mcp__github__create_issue", "github"),
    ("mcp__a__b__c", "a"),
    ("mcp__github", None),
    ("mcp____x", None),
    ("mcp__x__", None),
    ("MCP__x__y", None),
    ("Bash", None),
]


@pytest.mark.parametrize(("name", "server"), SERVERS)
def test_the_server_is_that_of_an_mcp_name(name: str, server: str | None) -> None:
    tool = ToolVariable(use(name))
    assert ("server" in tool) == (server is not None)
    assert server is None or tool["server"] == server
    assert tool["name"] == name


def test_the_variable_has_no_other_members() -> None:
    tool = ToolVariable(use())
    assert ("nothing" in tool, 5 in tool) == (False, False)
    assert repr(tool) == "ToolVariable(...)"  # an input may hold secrets


def test_a_variable_of_the_host_cannot_be_called_tool() -> None:
    assert safeguard_fields(further=["cluster"])["cluster"] is None
    with pytest.raises(SettingsError, match="own"):
        safeguard_fields(further=["tool"])


COMMANDS: list[tuple[ToolUse, Any]] = [
    (bash("cd x && ls"), [["cd", "x"], ["ls"]]),
    (bash("$X"), None),
    (use("Bash", {"command": ["ls"]}), None),
    (use("Bash", {"cmd": "ls"}), None),
    (use(text=b"ls"), None),
    (use("Edit", {"command": "ls"}), None),
]


@pytest.mark.parametrize(("tool_use", "commands"), COMMANDS)
def test_the_commands_are_those_of_a_bash_call(tool_use: ToolUse, commands: Any) -> None:
    tool = ToolVariable(tool_use)
    assert ("commands" in tool) == (commands is not None)
    assert commands is None or tool["commands"] == commands
