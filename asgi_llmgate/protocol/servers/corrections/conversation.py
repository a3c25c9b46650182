"""Rows about the conversation: the order of roles, and the form of `content`."""

from __future__ import annotations

from functools import partial

from asgi_llmgate.protocol.servers.corrections.capabilities import missing
from asgi_llmgate.protocol.servers.corrections.rows import Row
from asgi_llmgate.protocol.servers.wordings import conversation as wordings

_row = partial(Row, statuses=frozenset({400, 404, 422, 500}), searched=1000)
"""500 is llama.cpp's, for what its chat template refuses.  Its error begins with a piece of the template."""

ROWS: tuple[Row, ...] = (
    _row(
        topic="roles",
        patterns=wordings.ALTERNATE,
        change=missing("mid_system", "same_role_twice", "user_after_tool"),
        keeps="the first system message, and the order of all texts",
    ),
    _row(
        topic="system messages",
        patterns=wordings.MID_SYSTEM,
        change=missing("mid_system"),
        keeps="the first system message",
    ),
    _row(
        topic="developer",
        patterns=wordings.NO_DEVELOPER,
        change=missing("developer"),
        keeps="the text, which the system says",
    ),
    _row(
        topic="system message",
        patterns=wordings.NO_SYSTEM,
        change=missing("system"),
        keeps="the text of the system message, which goes into the first user message",
    ),
    _row(
        topic="user after tool",
        patterns=wordings.USER_AFTER_TOOL,
        change=missing("user_after_tool"),
        keeps="user messages elsewhere",
    ),
    _row(
        topic="several calls",
        patterns=wordings.CALLS_AT_ONCE,
        change=missing("calls_at_once"),
        keeps="the calls and results, in their order",
    ),
    # A list and null may be refused in the same words.  A request that has no list is not changed by the first row.
    _row(
        topic="content parts",
        patterns=wordings.CONTENT_PARTS,
        change=missing("content_parts"),
        keeps="the texts",
    ),
    _row(
        topic="content: null",
        patterns=wordings.NULL_CONTENT,
        change=missing("null_content"),
        keeps="messages with a text",
    ),
    _row(
        topic="empty content",
        patterns=wordings.EMPTY_CONTENT,
        change=missing("empty_content"),
        keeps="messages with a text",
    ),
    _row(
        topic="prefix",
        patterns=wordings.PREFIX,
        change=missing("plain_prefill"),
        keeps="a conversation that ends with another role",
        final=True,
    ),
    _row(
        topic="prefill",
        patterns=wordings.PREFILL,
        change=missing("prefill"),
        keeps="the text of the last message, and a conversation that ends with another role",
    ),
)
