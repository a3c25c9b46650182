"""The variable `tool` of a safeguard rule: one tool call, as the client will run it.

    name      the tool's name
    input     its arguments, a map; where the model wrote no JSON object, the text that it wrote
    server    the MCP server of a tool `mcp__SERVER__TOOL`; absent for other tools
    commands  the simple commands of a Bash call, each a list of its words; absent where they are not certain

The client decodes the input with JavaScript's JSON.parse, so what decoders read differently is read as there: the last
of two equal names, and U+FFFD for half of a surrogate pair once it is written anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from asgi_llmgate.cel import Fields
from asgi_llmgate.errors import GateError, SettingsError
from asgi_llmgate.exchange_values import ToolUse
from asgi_llmgate.protocol.rawjson.strings import repair
from asgi_llmgate.protocol.rawjson.structure import STRUCTURE
from asgi_llmgate.rule_variables import Computed, fields_of

SHELL_TOOL = "Bash"
"""The tool whose `command` is a line of shell."""

_decode = msgspec.json.Decoder().decode


def safeguard_fields(env: Iterable[str] = (), *, further: Iterable[str] = ()) -> Fields:
    """The variables of a safeguard rule with their fields: those of every rule, and `tool`.

    `further` are the names of the host's own variables.  Raises SettingsError for one that cannot be used.
    """
    fields = fields_of(env, further=further)
    if "tool" in fields:
        raise SettingsError("this is a variable of the gateway's own", path="variables.tool")
    return {**fields, "tool": dict.fromkeys(_FIELDS)}


class ToolVariable(Computed):
    """`tool` for one call; each member is worked out when a rule first reads it."""

    __slots__ = ("_use",)

    def __init__(self, use: ToolUse) -> None:
        self._use = use

    def _compute(self, name: str) -> Any:
        return _FIELDS[name](self, self._use)

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str) or name not in _FIELDS:
            return False
        try:
            self[name]
        except KeyError:
            return False
        return True


def _input(tool: ToolVariable, use: ToolUse) -> Any:
    try:
        STRUCTURE.check_depth(use.input)  # how deep a decoder goes differs between versions of Python
        found = _decode(repair(use.input)) if use.input.strip() else {}
    except (msgspec.DecodeError, GateError):
        found = None
    return found if type(found) is dict else use.input.decode("utf-8", "replace")


def _server(tool: ToolVariable, use: ToolUse) -> str:
    # As the client takes such a name apart: a server's name ends at the next two underscores.
    prefix, server, rest = [*use.name.split("__", 2), "", ""][:3]
    if prefix != "mcp" or not server or not rest:
        raise KeyError("server")
    return server


def _commands(tool: ToolVariable, use: ToolUse) -> list[list[str]]:
    from asgi_llmgate.safeguards.shell import commands_of  # loads the grammar, which only rules that read this need

    arguments = tool["input"]
    line = arguments.get("command") if use.name == SHELL_TOOL and type(arguments) is dict else None
    found = commands_of(line) if type(line) is str else None
    if found is None:
        raise KeyError("commands")
    return found


_FIELDS: Mapping[str, Callable[[ToolVariable, ToolUse], Any]] = MappingProxyType(
    {"name": lambda tool, use: use.name, "input": _input, "server": _server, "commands": _commands}
)
