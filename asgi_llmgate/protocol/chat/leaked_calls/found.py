"""The declared tools of a request, and the calls of them that were found in a text.

A call counts only for a declared tool, and with arguments that its schema accepts: the required ones are there, none is
unknown where the schema is closed, and each has the type, and one of the values, that the schema states for it.  What
is nested deeper is not checked: the client does that for every call.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

from asgi_llmgate.protocol.rawjson.objects import to_json
from asgi_llmgate.protocol.rawjson.strings import DECODE_ERRORS

CALL_FIELDS = frozenset(
    {"name", "arguments", "parameters", "id", "type", "function", "tool_call_id", "index", "tool_call", "tool_calls"}
)

MAX_CALLS = 128
"""Calls of one text; models make at most a few dozen at once."""

_MAX_ID = 64
"""Characters of an id.  A longer one is left out, since it is only the model's name for its call."""

_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}
_WORDS = {"true": True, "false": False, "none": None, "null": None}
"""As Python writes them as well, which models confuse."""


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
        schema = _decode(bytes(self._schemas[name]) or b"{}")
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
        decoded, exact = _decode_leniently(text)
        if isinstance(decoded, str):  # encoded twice, as in the wire's own `arguments`
            text = decoded.strip().encode()
            decoded, exact = _decode_leniently(text)
        _check(self.tools.schema(name), decoded)
        self._append(name, text if exact else to_json(decoded), call_id)

    def add_object(self, text: str) -> None:
        """A call as an object: `{"name": ..., "arguments": {...}}`, as it is or under `function`.  Llama has
        `parameters`; a call without arguments may have neither; llama.cpp's own format has `tool_call` or `tool_calls`
        around it (ggml-org/llama.cpp#14697)."""
        call = _fields(text)
        if call.keys() == {"tool_calls"}:
            self.add_list(bytes(call["tool_calls"]).decode())
            return
        if call.keys() == {"tool_call"}:
            call = _fields(bytes(call["tool_call"]).decode())
        if "function" in call and "name" not in call:
            if bytes(call["function"]).startswith(b'"'):
                call["name"] = call["function"]
            else:
                call = {**call, **_fields(bytes(call["function"]).decode())}
        name = _decode(bytes(call.get("name", b"null")))
        if not isinstance(name, str) or not call.keys() <= CALL_FIELDS:
            raise ValueError("not a call")
        arguments = call.get("arguments") or call.get("parameters") or Raw(b"{}")
        call_id = _decode(bytes(call.get("id", b"null")))
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
        properties = _as_dict(schema.get("properties"))
        arguments: dict[str, Any] = {}
        for key, text, is_string in values:
            # A parameter whose end is missing contains the next one.
            if key in arguments or ("<" in text and any(f"<parameter={other}>" in text for other in properties)):
                raise ValueError("a parameter that has no end")
            arguments[key] = text if is_string else _convert(text, _as_dict(properties.get(key)), is_string=is_string)
        _check(schema, arguments)
        self._append(name, to_json(arguments))

    def _append(self, name: str, arguments: bytes, call_id: str = "") -> None:
        if len(self.calls) == MAX_CALLS:
            raise ValueError("too many calls")
        self.calls.append(LeakedCall(name, arguments, call_id if len(call_id) <= _MAX_ID else ""))


def _fields(text: str) -> dict[str, Raw]:
    try:
        return msgspec.json.decode(text, type=dict[str, Raw])
    except msgspec.DecodeError:
        decoded, _ = _decode_leniently(text.encode())
        return {key: Raw(to_json(value)) for key, value in _as_dict(decoded).items()}


def _decode(text: bytes) -> Any:
    return msgspec.json.decode(text)


def _decode_leniently(text: bytes) -> tuple[Any, bool]:
    """JSON, and whether it is exactly that: small models write line breaks into strings as they are."""
    try:
        return _decode(text), True
    except msgspec.DecodeError:
        return json.loads(text, strict=False, parse_constant=_refuse), False


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _convert(text: str, schema: Mapping[str, Any], *, is_string: bool | None) -> Any:
    """The value of a text, by the schema's types: a string stays as it is, where the schema allows one."""
    types = _types(schema)
    if "null" in types and text.strip().lower() in ("null", "none"):
        return None
    if is_string is None and ("string" in types or ("enum" in schema and not types)):
        return text
    try:
        return _decode(text.strip().encode())
    except DECODE_ERRORS:
        word = text.strip().lower()
        if word in _WORDS:
            return _WORDS[word]
        if types or is_string is False:
            raise
        return text


def _check(schema: Mapping[str, Any], arguments: Any) -> None:
    if not isinstance(arguments, dict):
        raise ValueError("arguments that are not an object")
    properties = _as_dict(schema.get("properties"))
    required = schema.get("required")
    if isinstance(required, list) and any(isinstance(name, str) and name not in arguments for name in required):
        raise ValueError("a required argument is missing")
    if schema.get("additionalProperties") is False and not arguments.keys() <= properties.keys():
        raise ValueError("an unknown argument")
    for name, value in arguments.items():
        if not _fits(_as_dict(properties.get(name)), value):
            raise ValueError("an argument of another type")


def _fits(schema: Mapping[str, Any], value: Any) -> bool:
    types = _types(schema)
    if types and not any(_is_a(value, kind) for kind in types):
        return False
    allowed = schema.get("enum")
    return not isinstance(allowed, list) or value in allowed


def _is_a(value: Any, kind: str) -> bool:
    if kind not in _TYPES:
        return True
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, _TYPES[kind]) or (kind == "integer" and isinstance(value, float) and value.is_integer())


def _types(schema: Mapping[str, Any]) -> set[str]:
    """The types that a schema allows, also in its alternatives; none where it allows any."""
    stated = schema.get("type")
    if isinstance(stated, str):
        return {stated}
    if isinstance(stated, list):
        return {kind for kind in stated if isinstance(kind, str)}
    types: set[str] = set()
    alternatives = schema.get("anyOf") or schema.get("oneOf")
    for alternative in alternatives if isinstance(alternatives, list) else ():
        kinds = _types(_as_dict(alternative))
        if not kinds:
            return set()
        types |= kinds
    return types


def _as_dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
