"""The parameters beside the conversation and the tools: limits, sampling, stops, the answer's format, who asks."""

from __future__ import annotations

from hashlib import sha256

from msgspec import Raw

from asgi_llmgate.protocol.rawjson import objects
from asgi_llmgate.protocol.rawjson.objects import Fields, to_json
from asgi_llmgate.protocol.servers import context_window
from asgi_llmgate.protocol.translation.draft import Draft
from asgi_llmgate.protocol.translation.tools import allows_strict

_SAMPLING = ("temperature", "top_p", "top_k")
_OUTPUT_CONFIG = frozenset({"effort", "format"})
_METADATA = frozenset({"user_id"})


def write_max_tokens(draft: Draft) -> int | None:
    """Ask for as many tokens as the client does, and as the model has.

    Returns the client's own limit where more had to be asked for.
    """
    limits = [
        draft.target.max_output_tokens,
        draft.options.max_output_tokens,
        draft.corrections.max_output_tokens,
        _room(draft),
    ]
    asked = draft.request.max_tokens
    sent = max(min([asked, *(limit for limit in limits if limit)]), draft.dialect.min_output_tokens)
    draft.body[draft.corrections.max_tokens_field or draft.dialect.max_tokens_field] = b"%d" % sent
    return asked if sent > asked else None


def _room(draft: Draft) -> int | None:
    window = draft.corrections.context_window or draft.target.context_window
    return context_window.output_that_fits(window, draft.input_estimate, draft.prompt_count) if window else None


def write_stops(draft: Draft) -> tuple[str, ...]:
    """Returns the stop sequences that mean something; all of them, also those the upstream does not take."""
    value = objects.get_raw(draft.request.fields, "stop_sequences")
    asked = objects.read_value(value)
    if not isinstance(asked, list) or not all(isinstance(stop, str) for stop in asked):
        if value is not None:
            draft.report.add("stop_sequences")
        return ()
    stops = tuple(stop for stop in asked if stop.strip())
    sent = stops[: draft.dialect.stop_max]
    if len(sent) < len(stops):
        draft.report.add("stop_sequences")
    if sent:
        draft.body["stop"] = to_json(sent)
    return stops


def write_sampling(draft: Draft) -> None:
    for name in _SAMPLING:
        value = objects.get_raw(draft.request.fields, name)
        if value is None:
            continue
        if name in draft.dialect.sampling and type(objects.read_value(value)) in (int, float):
            draft.body[name] = bytes(value)
        else:
            draft.report.add(name)


def write_format(draft: Draft) -> bytes | None:
    """Ask for an answer in a JSON schema.  Returns a text for the system message where the dialect cannot say it."""
    schema = _schema(draft)
    if schema is None:
        return None
    if draft.dialect.response_format == "json_schema":
        strict = b',"strict":true' if allows_strict(objects.read_value(schema)) else b""
        draft.body["response_format"] = b'{"type":"json_schema","json_schema":{"name":"answer","schema":%s%s}}' % (
            schema,
            strict,
        )
        return None
    if draft.dialect.response_format == "json_object":
        draft.body["response_format"] = b'{"type":"json_object"}'
    draft.report.add("output_config.format")
    return to_json(
        "Answer with one JSON object, and nothing else, that matches this JSON schema:\n" + bytes(schema).decode()
    )


def _schema(draft: Draft) -> Raw | None:
    """The schema in `output_config.format`, or in `output_format`, where the beta had it."""
    config = objects.read_object(objects.get_raw(draft.request.fields, "output_config")) or {}
    draft.report.unknown("output_config.", config, _OUTPUT_CONFIG)
    asked = objects.get_raw(config, "format") or objects.get_raw(draft.request.fields, "output_format")
    if asked is None:
        return None
    fields = objects.read_object(asked) or {}
    schema = objects.get_raw(fields, "schema")
    if objects.read_str(fields.get("type")) == "json_schema" and objects.read_object(schema) is not None:
        return schema
    draft.report.add("output_config.format")
    return None


def write_user(draft: Draft, session_id: str) -> None:
    """Who asks, and in which conversation, both as hashes: the client's `user_id` names a device and a session."""
    metadata: Fields = objects.read_object(objects.get_raw(draft.request.fields, "metadata")) or {}
    draft.report.unknown("metadata.", metadata, _METADATA)
    user = objects.read_str(metadata.get("user_id"))
    if user and draft.dialect.user and draft.options.user_id == "hashed":
        draft.body["user"] = to_json(sha256(user.encode()).hexdigest())
    if session_id and draft.dialect.prompt_cache_key:
        draft.body["prompt_cache_key"] = to_json(sha256(session_id.encode()).hexdigest()[:32])


def write_stream(draft: Draft) -> None:
    if draft.request.stream:
        draft.body["stream"] = b"true"
        if draft.dialect.include_usage:
            draft.body["stream_options"] = b'{"include_usage":true}'


def finish(draft: Draft) -> bytes:
    """The whole request: without what this upstream has refused before, with what the operator adds."""
    for name in draft.corrections.refused_fields:
        if draft.body.pop(name, None) is not None:
            draft.report.add(name)
    for name, value in draft.options.extra_body.items():
        draft.body[name] = to_json(value)
    pieces = [piece for name, value in draft.body.items() for piece in (b",", to_json(name), b":", value)]
    return b"".join((b"{", *pieces[1:], b"}"))
