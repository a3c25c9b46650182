"""The names in a body whose own bytes are handed on.

What the rules decide on must be what the server reads, whatever reads there.  JSON decoders agree on bodies in which no
name can be taken for another one; where names can, they go different ways (RFC 8259 section 4): of a name that comes
twice some take the first value and some the last, Go's encoding/json takes `Model` for `model`
(https://pkg.go.dev/encoding/json#Unmarshal), and readers in C may end a name at U+0000.  So these are refused:

- in every object: a name that comes twice, escapes undone, and one with U+0000 in it;
- where names are the protocol's: two that differ in case alone, and a name of the protocol in another case;
- in `metadata`, whose names are labels: two that differ in case alone.

Maps whose names are the caller's own (a tool's input, a JSON schema) are left to say `Name` and `name`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sized
from types import MappingProxyType
from typing import Any, Literal

import msgspec
from msgspec import Raw

from asgi_llmgate.errors import InvalidRequest, StructureTooLarge
from asgi_llmgate.protocol.rawjson import objects as rawjson
from asgi_llmgate.protocol.rawjson.body import TOO_DEEP, OpenedBody, check_name_lengths, locate_values
from asgi_llmgate.protocol.rawjson.objects import BRACE, BRACKET, Fields
from asgi_llmgate.protocol.rawjson.structure import Structure

Kind = Literal["protocol", "labels", "own"]
"""Whose names an object has."""

_OWN = frozenset(
    {"arguments", "input", "input_schema", "parameters", "schema", "properties", "patternProperties", "$defs", "env"}
    | {"definitions", "dependentSchemas", "headers", "variables", "logit_bias", "chat_template_kwargs", "guided_json"}
    | {"mm_processor_kwargs", "vllm_xargs"}
)
"""Members whose value is a map, or a tree of maps, with the caller's own names."""

_PROTOCOL_AT_TOP = frozenset({"input", "parameters"})
"""Beside the model: a conversation (OpenAI's Responses), and limits (Hugging Face)."""

PROTOCOL = frozenset(
    # the request
    {"model", "models", "stream", "messages", "system", "prompt", "input", "inputs", "suffix", "tools", "tool_choice"}
    | {"functions", "function_call", "stream_options", "metadata", "temperature", "top_p", "top_k", "n", "best_of"}
    | {
        "max_tokens",
        "max_completion_tokens",
        "max_output_tokens",
        "max_new_tokens",
        "max_tokens_to_sample",
        "max_length",
    }
    | {"n_predict", "num_predict", "min_tokens", "options", "parameters", "stop", "stop_sequences", "user", "thinking"}
    | {"response_format", "output_config", "output_format", "format", "reasoning", "reasoning_effort", "service_tier"}
    | {"fallbacks", "context_window_fallbacks", "content_policy_fallbacks", "generation_config", "extra_body"}
    | {"parallel_tool_calls", "context_management", "container", "mcp_servers", "thread", "safeguards", "speed"}
    # messages and their content
    | {"role", "content", "type", "text", "id", "name", "tool_calls", "tool_call_id", "tool_use_id", "is_error"}
    | {
        "images",
        "image",
        "input_image",
        "source",
        "data",
        "media_type",
        "url",
        "file_id",
        "image_url",
        "input_audio",
        "file",
        "file_data",
        "detail",
    }
    | {"cache_control", "citations", "title", "context", "signature", "refusal", "thinking", "clear_at", "call_id"}
    # tools
    | {"function", "description", "input_schema", "strict", "defer_loading", "arguments", "tool", "tool_name"}
    | {"definition", "tool_changes", "tool_references", "disable_parallel_tool_use", "allowed_tools", "mode"}
    # what hangs on the rest
    | {"include_usage", "budget_tokens", "display", "effort", "json_schema", "schema", "ttl", "user_id"}
)
"""Names that a server, or the decision before it, may read."""

_OTHER_MODELS = ("models", "fallbacks", "context_window_fallbacks", "content_policy_fallbacks")

_TOP = 1
_SMALL, _FEW = 64 * 1024, 100
_PASSES, _SLACK = 6, 8 * 2**20
"""How many times its length a body may be read, since each level is read once more than the one around it; honest ones
that are long have their length in texts and images, four levels deep."""
_COMPARED = 500_000
"""Letters that are compared in another case, in all names of a body in which there are some beyond ASCII."""
_STEPS = 20_000
"""Members that are walked over, one by one, where lengths do not tell that no name comes twice."""
_LONG = 1000
"""Bytes of a member, on the average, from which on that is faster than to take the white space out."""

_objects = msgspec.json.Decoder(list[dict[str, Raw]]).decode
_fields = msgspec.json.Decoder(dict[str, Raw]).decode


def check_members(opened: OpenedBody, structure: Structure, lists: Mapping[str, str] = MappingProxyType({})) -> None:
    """`lists`: members of the request that are lists, and which limit their elements have.

    Raises `InvalidRequest`, which tells the place, and `StructureTooLarge`.
    """
    try:
        _Walk(len(opened.body), structure, lists).top(opened.fields)
    except RecursionError:  # of a decoder, which has less of the stack here than when the body was opened
        raise InvalidRequest(TOO_DEEP) from None


def check_no_other_models(fields: Fields) -> None:
    """Refuse what names models beside the one that was decided on, or may.  Raises `InvalidRequest`.

    OpenRouter: https://openrouter.ai/docs/guides/routing/model-fallbacks; Anthropic:
    https://platform.claude.com/docs/en/build-with-claude/refusals-and-fallback; LiteLLM's `fallbacks` and their like.
    """
    for name in _OTHER_MODELS:
        if rawjson.read_value(fields.get(name)):
            raise InvalidRequest(f"{name}: other models than `model` cannot be asked for")
    if rawjson.read_value(
        fields.get("extra_body")
    ):  # LiteLLM hands it to OpenAI's SDK, which writes it over the request
        raise InvalidRequest("extra_body: an argument of SDKs; its members belong beside `model`")


def fold_case(name: str) -> str:
    """Names that a reader without regard to case may take for one another are equal: Unicode's folding, and, for those
    who compare upper case, that of the letters' capitals."""
    return name.lower() if name.isascii() else name.upper().casefold()


class _Doubtful(Exception):
    pass


def _check_pairs(pairs: list[tuple[str, Any]]) -> None:
    names = dict(pairs)
    if len(names) < len(pairs) or len(names) > _FEW or "\0" in "".join(names):
        raise _Doubtful


_plain = json.JSONDecoder(object_pairs_hook=_check_pairs, parse_int=len, parse_float=len).decode


class _Walk:
    def __init__(self, size: int, structure: Structure, lists: Mapping[str, str]) -> None:
        self._structure = structure
        self._lists = lists
        self._left = _PASSES * size + _SLACK
        self._letters = _COMPARED
        self._steps = _STEPS

    def top(self, fields: Fields) -> None:
        self._check_names(fields, "protocol")
        for name, value in fields.items():
            if name == "metadata":
                kind: Kind = "labels"
            else:
                kind = "own" if name in _OWN and name not in _PROTOCOL_AT_TOP else "protocol"
            self._member(name, value, kind, _TOP)

    def _member(self, name: str | int, value: Raw, kind: Kind, depth: int) -> None:
        first = memoryview(value)[0]
        if first != BRACE and first != BRACKET:
            return
        depth += 1
        self._check_depth(depth)
        if len(value) == 2 or (first == BRACKET and rawjson.is_flat(value)):
            return
        if kind == "own" and len(value) <= _SMALL and self._is_plain(bytes(value), depth - 1):
            return
        self._left -= len(value)
        if self._left < 0:
            raise StructureTooLarge("the request body is nested too deeply for its length")
        try:
            if first == BRACE:
                [fields] = self._named_once(value, [_fields(value)], kind)
                self._object(fields, kind, depth)
            else:
                self._array(name, value, kind, depth)
        except InvalidRequest as wrong:
            raise _at(name, wrong) from None

    def _is_plain(self, value: bytes, outside: int) -> bool:
        """Whether nothing is wrong with a value of the caller's own: looked at in one pass, which holds it several
        times and tells no place, so that only small ones are looked at like this, and bad ones once more."""
        self._structure.check_depth(value, outside)
        try:
            _plain(value.decode())
        except _Doubtful:
            return False
        return True

    def _array(self, name: str | int, value: Raw, kind: Kind, depth: int) -> None:
        try:
            objects = _objects(value)
        except msgspec.ValidationError:
            elements = rawjson.read_elements(value, self._structure)
            self._check_list(name, elements, depth)
            for index, element in enumerate(elements):
                self._member(index, element, kind, depth)
            return
        self._check_list(name, objects, depth)
        objects = self._named_once(value, objects, kind)
        self._check_depth(depth + 1)
        for index, fields in enumerate(objects):
            try:
                self._object(fields, kind, depth + 1)
            except InvalidRequest as wrong:
                raise _at(index, wrong) from None

    def _object(self, fields: Fields, kind: Kind, depth: int) -> None:
        if len(fields) > self._structure.names:
            self._structure.check_size("names", fields, "an object")
        self._check_names(fields, kind)
        inner = _OF_MEMBERS[kind]
        for name, value in fields.items():
            if memoryview(value)[0] in _OPENING:
                self._member(name, value, inner if name not in _OWN else "own", depth)

    def _named_once(self, value: Raw, objects: list[Fields], kind: Kind) -> list[Fields]:
        """The objects that `value` is, or is a list of, once it is sure that no name comes twice in one of them."""
        if _length_of_all(value, objects) == len(value):
            return objects
        if kind != "own":
            for fields in objects:
                check_name_lengths(fields)
        members = sum(map(len, objects))
        if members > self._steps or members * _LONG > len(value):
            # Without white space the lengths tell; a walk would look at each member.
            self._left -= len(value)
            value = Raw(rawjson.compact(value))
            objects = _objects(value) if rawjson.first_byte(value) == BRACKET else [_fields(value)]
            if _length_of_all(value, objects) == len(value):
                return objects
        self._steps -= members
        if self._steps < 0:
            raise StructureTooLarge("the request body has too many names that are escaped or come twice")
        _step_over_all(bytes(value), objects)
        return objects

    def _check_names(self, fields: Fields, kind: Kind) -> None:
        if fields.keys() <= PROTOCOL:
            return
        names = "".join(fields)
        if "\0" in names:
            raise InvalidRequest("a name has U+0000 in it")
        if kind == "own":
            return
        check_name_lengths(fields)
        if not names.isascii():
            self._letters -= len(names)
            if self._letters < 0:
                raise StructureTooLarge("the names of the request have too many letters to be compared")
        _check_cases(fields, kind)

    def _check_list(self, name: str | int, elements: Sized, depth: int) -> None:
        if depth == _TOP + 1 and isinstance(name, str) and name in self._lists:
            self._structure.check_size(self._lists[name], elements, name)

    def _check_depth(self, depth: int) -> None:
        if depth > self._structure.depth:
            raise StructureTooLarge(f"the request body is nested more than {self._structure.depth} levels deep")


_OPENING = (BRACE, BRACKET)
_OF_MEMBERS: dict[Kind, Kind] = {"protocol": "protocol", "labels": "own", "own": "own"}


def _length(fields: Fields) -> int:
    """Bytes of an object without white space and escapes whose names all come once.  Of one that is longer, nothing is
    known."""
    if not fields:
        return 2
    named = "".join(fields)
    names = len(named) if named.isascii() else len(named.encode())
    return names + sum(map(len, fields.values())) + 4 * len(fields) + 1


def _length_of_all(value: Raw, objects: list[Fields]) -> int:
    """The same of the objects that `value` is, or is a list of."""
    around = len(objects) + 1 if rawjson.first_byte(value) == BRACKET else 0
    return sum(map(_length, objects)) + around


def _step_over_all(text: bytes, objects: list[Fields]) -> None:
    is_list = text.startswith(b"[")
    at = 0
    for index, fields in enumerate(objects):
        try:
            at = locate_values(text, text.index(b"{", at), fields, {})
        except InvalidRequest as wrong:
            raise (_at(index, wrong) if is_list else wrong) from None


def _at(place: str | int, wrong: InvalidRequest) -> InvalidRequest:
    """The same about a part of an object, whose names may be the caller's own: only he is told."""
    return InvalidRequest(wrong.message, told=f"{str(place)[:64]}.{wrong.told}")


def _check_cases(fields: Fields, kind: Kind) -> None:
    seen: set[str] = set()
    for name in fields:
        if kind == "protocol" and name in PROTOCOL:
            continue
        key = fold_case(name)
        if kind == "protocol" and key in PROTOCOL:
            raise InvalidRequest("a name in another case", told=f"{name[:64]}: names are in lower case: {key}")
        if key in seen:
            told = f"{name[:64]}: given more than once, in different cases"
            raise InvalidRequest("a name is given more than once, in different cases", told=told)
        seen.add(key)
