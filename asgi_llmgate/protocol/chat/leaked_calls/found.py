"""The declared tools of a request, and the calls of them that were found in a text.

A call counts only for a declared tool, and with arguments that its schema accepts (`arguments`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

from asgi_llmgate.protocol.chat.leaked_calls.arguments import (
    as_dict,
    check,
    convert,
    decode,
    decode_leniently,
    read_fields,
)
from asgi_llmgate.protocol.rawjson.objects import to_json

CALL_FIELDS = frozenset(
    {"name", "arguments", "parameters", "id", "type", "function", "tool_call_id", "index", "tool_call", "tool_calls"}
)

MAX_CALLS = 128
"""Calls of one text; models make at most a few dozen at once."""

_MAX_ID = 64
"""Characters of an id.  A longer one is left out, since it is only the model's name for its call."""


class LeakedCall(NamedTuple):
    """A call that was found.  `arguments` is a JSON object; `id` may be empty."""

    name: str
    arguments: bytes
    id: str = ""


class _Function(msgspec.Struct):
    name: str
    parameters: Raw = Raw(b"")


class _Tool(msgspec.Struct):
    function: _Function


_tools_decoder = msgspec.json.Decoder(list[_Tool])


class DeclaredTools:
    """`tools` as they were sent to the model server.  They are decoded when the first name is looked up."""

    __slots__ = ("_schemas", "_tools")

    def __init__(self, tools: bytes) -> None:
        self._tools = tools
        self._schemas: dict[str, Raw] | None = None

    def resolve(self, name: str) -> str:
        """The declared name, without the namespace that some models put in front of it (`functions.Bash`).

        Raises ValueError for a tool that is not declared.
        """
        if self._schemas is None:
            found = _tools_decoder.decode(self._tools)
            self._schemas = {tool.function.name: tool.function.parameters for tool in found}
        for known in (name, name.removeprefix("functions.")):
            if known in self._schemas:
                return known
        raise ValueError("a tool that is not declared")

    def schema(self, name: str) -> dict[str, Any]:
        """The schema of a declared tool."""
        assert self._schemas is not None
        schema = decode(bytes(self._schemas[name]) or b"{}")
        return schema if isinstance(schema, dict) else {}


class FoundCalls:
    """The calls of one text, in order.  The methods raise ValueError for what is not a call of a declared tool."""

    __slots__ = ("calls", "formats", "tools")

    def __init__(self, tools: DeclaredTools, formats: frozenset[str]) -> None:
        self.calls: list[LeakedCall] = []
        self.formats = formats
        self.tools = tools

    def require(self, name: str) -> None:
        """Go on only if the dialect has this format."""
        if name not in self.formats:
            raise ValueError("a format that the dialect does not have")

    def add(self, name: str, arguments: str, call_id: str = "") -> None:
        """A call with its arguments as JSON."""
        name, text = self.tools.resolve(name), arguments.strip().encode()
        decoded, exact = decode_leniently(text)
        if isinstance(decoded, str):  # encoded twice, as in the wire's own `arguments`
            text = decoded.strip().encode()
            decoded, exact = decode_leniently(text)
        check(self.tools.schema(name), decoded)
        self._append(name, text if exact else to_json(decoded), call_id)

    def add_object(self, text: str) -> None:
        """A call as an object: `{"name": ..., "arguments": {...}}`, as it is or under `function`.  Llama has
        `parameters`; a call without arguments may have neither; llama.cpp's own format has `tool_call` or `tool_calls`
        around it (ggml-org/llama.cpp#14697)."""
        call = read_fields(text)
        if call.keys() == {"tool_calls"}:
            self.add_list(bytes(call["tool_calls"]).decode())
            return
        if call.keys() == {"tool_call"}:
            call = read_fields(bytes(call["tool_call"]).decode())
        if "function" in call and "name" not in call:
            if bytes(call["function"]).startswith(b'"'):
                call["name"] = call["function"]
            else:
                call = {**call, **read_fields(bytes(call["function"]).decode())}
        name = decode(bytes(call.get("name", b"null")))
        if not isinstance(name, str) or not call.keys() <= CALL_FIELDS:
            raise ValueError("not a call")
        arguments = call.get("arguments") or call.get("parameters") or Raw(b"{}")
        call_id = decode(bytes(call.get("id", b"null")))
        self.add(name, bytes(arguments).decode(), call_id if isinstance(call_id, str) else "")

    def add_list(self, text: str) -> None:
        """Calls as a list of such objects."""
        calls = msgspec.json.decode(text, type=list[Raw])
        if not calls:
            raise ValueError("no call")
        for call in calls:
            self.add_object(bytes(call).decode())

    def add_values(self, name: str, values: Iterable[tuple[str, str, bool | None]]) -> None:
        """A call whose arguments are texts: key, text, and whether it is a string.  None: the schema says it."""
        name = self.tools.resolve(name)
        schema = self.tools.schema(name)
        properties = as_dict(schema.get("properties"))
        arguments: dict[str, Any] = {}
        for key, text, is_string in values:
            # A parameter whose end is missing contains the next one.
            if key in arguments or ("<" in text and any(f"<parameter={other}>" in text for other in properties)):
                raise ValueError("a parameter that has no end")
            arguments[key] = text if is_string else convert(text, as_dict(properties.get(key)), is_string=is_string)
        check(schema, arguments)
        self._append(name, to_json(arguments))

    def _append(self, name: str, arguments: bytes, call_id: str = "") -> None:
        if len(self.calls) == MAX_CALLS:
            raise ValueError("too many calls")
        self.calls.append(LeakedCall(name, arguments, call_id if len(call_id) <= _MAX_ID else ""))
