"""The fields beside the conversation and the tools: limits, sampling, stop sequences, format, user, streaming.

https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from typing import Any

from msgspec import Raw

from asgi_llmgate.protocol.rawjson import objects
from asgi_llmgate.protocol.rawjson.objects import Fields, to_json
from asgi_llmgate.protocol.servers import context_window
from asgi_llmgate.protocol.servers.corrections.changes import SchemaRewrite
from asgi_llmgate.protocol.servers.corrections.tool_schemas import NOT_STRICT, SentTool, digest
from asgi_llmgate.protocol.servers.schemas.strict import allows_strict
from asgi_llmgate.protocol.translation.request.content import text_part
from asgi_llmgate.protocol.translation.request.draft import Draft

_SAMPLING = ("temperature", "top_p", "top_k")
_OUTPUT_CONFIG_FIELDS = frozenset({"effort", "format"})
_METADATA_FIELDS = frozenset({"user_id"})


def write_max_tokens(draft: Draft) -> int | None:
    """Ask for as many output tokens as the client does, within the limits of the model, the operator and the window.

    Returns the client's own limit where more had to be asked for, because the server accepts no less; then the response
    is cut to it.
    """
    request, format = draft.request, draft.format
    asked = sent = request.max_tokens
    limit = format.max_output_tokens if request.stream else format.max_unstreamed_output
    if limit is not None and limit < sent:
        sent = limit
    if format.context_window:
        fits = context_window.output_that_fits(format.context_window, draft.input_estimate, draft.prompt_count)
        sent = min(sent, fits)
    sent = max(sent, draft.dialect.min_output_tokens)
    draft.body[format.max_tokens_field] = sent
    return asked if sent > asked else None


def write_stops(draft: Draft) -> tuple[str, ...]:
    """Write the stop sequences that the server accepts.  Returns all that are not blank."""
    if "stop_sequences" not in draft.request.fields:
        return ()
    value = objects.get_raw(draft.request.fields, "stop_sequences")
    asked = objects.read_value(value)
    if not isinstance(asked, list) or not all(isinstance(stop, str) for stop in asked):
        if value is not None:
            draft.dropped.add("stop_sequences")
        return ()
    stops = tuple(stop for stop in asked if stop.strip())  # Anthropic refuses blank ones
    sent = stops[: draft.format.max_stops]
    if len(sent) < len(stops):
        draft.dropped.add("stop_sequences")
    if sent:
        draft.body["stop"] = sent
    return stops


def write_sampling(draft: Draft) -> None:
    """Write `temperature`, `top_p` and `top_k`, as far as the server accepts them."""
    fields = draft.request.fields
    for name in _SAMPLING:
        if name not in fields or (value := objects.get_raw(fields, name)) is None:
            continue
        number = objects.read_value(value)
        if name in draft.dialect.sampling and type(number) in (int, float):
            draft.body[name] = value
            if name == "temperature" and draft.format.corrections.temperatures:
                low, high = draft.format.corrections.temperatures
                if not low <= number <= high:
                    draft.body[name] = min(max(number, low), high)
                    draft.dropped.add(name)
        else:
            draft.dropped.add(name)


def write_format(draft: Draft) -> Raw | None:
    """Ask for output that follows a JSON schema.

    Returns a text for the system message where the server does not accept schemas.
    """
    schema = _read_schema(draft)
    if schema is None:
        return None
    if draft.dialect.response_format == "json_schema":
        draft.schema = SentTool("answer", bytes(schema))
        refused = SchemaRewrite(digest(draft.schema.schema), NOT_STRICT) in draft.format.corrections.schemas
        sent: dict[str, Any] = {"name": draft.schema.name, "schema": schema}
        if not refused and allows_strict(objects.read_value(schema)):
            sent["strict"] = True
        draft.body["response_format"] = {"type": "json_schema", "json_schema": sent}
        return None
    if draft.dialect.response_format == "json_object":
        draft.body["response_format"] = {"type": "json_object"}
    draft.dropped.add("output_config.format")
    return text_part(
        "Answer with one JSON object, and nothing else, that matches this JSON schema:\n" + bytes(schema).decode()
    )


def _read_schema(draft: Draft) -> Raw | None:
    """The schema in `output_config.format`, or in `output_format`, its name in the beta."""
    if "output_config" not in draft.request.fields and "output_format" not in draft.request.fields:
        return None
    config = objects.read_object(objects.get_raw(draft.request.fields, "output_config")) or {}
    draft.dropped.add_unknown("output_config.", config, _OUTPUT_CONFIG_FIELDS)
    asked = objects.get_raw(config, "format") or objects.get_raw(draft.request.fields, "output_format")
    if asked is None:
        return None
    fields = objects.read_object(asked) or {}
    schema = objects.get_raw(fields, "schema")
    if objects.read_str(fields.get("type")) == "json_schema" and objects.read_object(schema) is not None:
        return schema
    draft.dropped.add("output_config.format")
    return None


def write_user(draft: Draft, session_id: str, caller: tuple[str, ...]) -> None:
    """Write `user` and `prompt_cache_key`.

    Both are hashes, equal for equal callers and sessions, which is what abuse detection and prompt caches need.
    `caller` is empty where the caller is not known: the client's `metadata.user_id` differs from session to session.
    """
    if "metadata" in draft.request.fields:
        metadata: Fields = objects.read_object(draft.request.fields["metadata"]) or {}
        draft.dropped.add_unknown("metadata.", metadata, _METADATA_FIELDS)
    if caller and draft.dialect.user and draft.format.options.user_id == "hashed":
        draft.body["user"] = _user(caller)
    if session_id and draft.dialect.prompt_cache_key:
        draft.body["prompt_cache_key"] = _prompt_cache_key(session_id)


@lru_cache(maxsize=1024)
def _user(caller: tuple[str, ...]) -> str:
    # To be keyed with a subkey of `secret` once there is one.
    return sha256("\0".join(("asgi-llmgate user", *caller)).encode()).hexdigest()


@lru_cache(maxsize=1024)
def _prompt_cache_key(session_id: str) -> str:
    return sha256(session_id.encode()).hexdigest()[:32]


def write_stream(draft: Draft) -> None:
    """Ask for a stream if the client does, and for usage at its end."""
    if draft.request.stream:
        draft.body["stream"] = True
        if draft.dialect.include_usage:
            draft.body["stream_options"] = {"include_usage": True}
    elif not draft.dialect.unstreamed_thinking:
        draft.body["enable_thinking"] = False


def serialize(draft: Draft) -> bytes:
    """The whole request, without the fields that this server has refused and with those that the operator adds."""
    for name in draft.format.corrections.refused_fields:
        if draft.body.pop(name, None) is not None:
            draft.dropped.add(name)
    draft.body.update(draft.format.options.extra_body)
    return to_json(draft.body)  # what is JSON already, the texts above all, is copied once, here
