"""Whatever a client puts anywhere: the request is translated, or refused as the client's mistake.  Never a crash."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_llmgate.errors import InvalidRequest
from asgi_llmgate.exchange_values import Target
from asgi_llmgate.protocol.messages.request import decode_messages
from asgi_llmgate.protocol.servers.dialects import DIALECTS
from asgi_llmgate.protocol.translation.request.chat_request import Options, to_chat

TEXT = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}
PNG = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
PDF = {"type": "document", "title": "t", "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}}
NOTE = {"type": "document", "source": {"type": "content", "content": [TEXT, PNG]}}
FOUND = {"type": "search_result", "title": "t", "source": "s", "content": [TEXT]}
LOADED = {"type": "tool_reference", "tool_name": "B"}
SCHEMA = {"type": "object", "properties": {"x": {"type": "string"}}, "required": ["x"], "additionalProperties": False}

EVERYTHING: dict[str, Any] = {
    "model": "claude-opus-5-5",
    "max_tokens": 1000,
    "stream": True,
    "system": [TEXT],
    "messages": [
        {"role": "user", "content": [TEXT, PNG, PDF, NOTE, FOUND]},
        {
            "role": "system",
            "content": [
                TEXT,
                {
                    "type": "tool_addition",
                    "tool": {"type": "tool_definition", "definition": {"name": "C", "input_schema": SCHEMA}},
                },
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}},
                {"type": "tool_search_tool_result", "tool_use_id": "s", "content": {"tool_references": [LOADED]}},
                {"type": "tool_use", "id": "t", "name": "A", "input": {"x": "y"}},
            ],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "t", "is_error": True, "content": [TEXT, PNG, LOADED]}],
        },
        {
            "role": "system",
            "clear_at": "never",
            "output_config": {"effort": "low"},
            "content": [{"type": "tool_removal", "tool": {"name": "C"}}],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "compaction",
                    "content": "c",
                    "tool_changes": [{"type": "tool_removal", "tool": {"name": "A"}}],
                }
            ],
        },
    ],
    "tools": [
        {"name": "A", "description": "d", "input_schema": SCHEMA, "strict": True},
        {"name": "B", "input_schema": SCHEMA, "defer_loading": True},
        {"type": "web_search_20250305", "name": "web_search"},
    ],
    "tool_choice": {"type": "tool", "name": "A", "disable_parallel_tool_use": True},
    "thinking": {"type": "enabled", "budget_tokens": 2048, "display": "omitted"},
    "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": SCHEMA}},
    "metadata": {"user_id": "u"},
    "stop_sequences": ["x"],
    "temperature": 0.5,
    "prefill": "The",
    "inference_geo": "global",
}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in inner:
        yield (*path, key)
        yield from places(child, (*path, key))


PLACES = list(places(EVERYTHING))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "name", "text", "content"]), inner, max_size=3)
    ),
    max_leaves=5,
)


@settings(deadline=None, max_examples=300)
@given(
    place=st.sampled_from(PLACES),
    value=JSON,
    dialect=st.sampled_from(sorted(name for name, row in DIALECTS.items() if row.wire == "chat")),
    repair=st.booleans(),
)
def test_a_wrong_value_anywhere_is_left_out_or_refused(
    place: tuple[Any, ...], value: Any, dialect: str, repair: bool
) -> None:
    body = copy.deepcopy(EVERYTHING)
    *path, last = place
    holder: Any = body
    for key in path:
        holder = holder[key]
    holder[last] = value
    with suppress(InvalidRequest):
        request = decode_messages(json.dumps(body).encode())
        assert request.input_tokens_estimate > 0
        assert isinstance(request.has_images, bool)
        chat = to_chat(
            request,
            target=Target("b", "p", "gpt-5"),
            dialect=DIALECTS[dialect],
            options=Options(repair_tool_pairs=repair),
            request_id="r",
        )
        assert chat.local_text is not None or json.loads(chat.body)["messages"]


def test_the_whole_is_translated_as_it_stands() -> None:
    request = decode_messages(json.dumps(EVERYTHING).encode())
    for row in DIALECTS.values():
        assert to_chat(request, target=Target("b", "p", "m"), dialect=row, options=Options(), request_id="r").body


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=40) | st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_a_request_or_a_mistake(body: bytes) -> None:
    for whole in (body, b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"' + body + b'"}]}'):
        with suppress(InvalidRequest):
            decode_messages(whole)
