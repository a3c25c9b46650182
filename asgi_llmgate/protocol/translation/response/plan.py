"""What the translation of a response needs to know about the request, and nothing else of it.

`to_chat` makes the plan while it writes the upstream request; the translator reads it as long as the response lasts.
The request's body can then be dropped: a plan holds names and numbers, and of the conversation's text at most a
prefill.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from asgi_llmgate.protocol.translation.carriers import Seal

NO_TOOLS = b"[]"
"""`ResponsePlan.tools` of a request without tools."""

MAX_TOOLS = 2**20
"""Bytes of `ResponsePlan.tools`, which are kept as long as the response lasts."""


class ResponsePlan(msgspec.Struct, eq=False):
    """How one response is translated.

    `message_id`: the id of the response, and what the ids of its calls are made from.  It is no other response's.
    `model`: the model's name for a response that names none; with `echo_model` the name in every response, because it
    is the one that the client asked for.
    `input_estimate`: tokens, for `message_start`, which comes before the server's own count.
    `thinking`: reasoning becomes thinking blocks; otherwise it is dropped.
    `seal`: seals what the server wants back (`carriers`); None where the client takes no thinking blocks.
    `think_tags`: the content may begin with `<think>...</think>`.
    `channels`: the content may begin with a channel of gpt-oss.
    `names`: tool names as the model server knows them -> the client's, where they differ.
    `stop_sequences`: the client's own, to recognise the one that matched.
    `prefill`: what the client wrote of the response, where the server repeats it.
    `leaked_calls`: the syntaxes of tool calls that are looked for in the text; `tools`: what was declared to the model
    server, as JSON: `[]` for nothing; empty where it is not known.  Schemas are in it where calls are looked for.
    `safeguards`: the client asks for verdicts on the tool calls, so the end of the response waits for them.
    `output_limit`: tokens that the client allows, where `max_tokens` had to be raised for the server.
    """

    message_id: str
    model: str
    echo_model: bool = False
    input_estimate: int = 0
    thinking: bool = False
    seal: Seal | None = None
    think_tags: bool = False
    channels: bool = False
    names: Mapping[str, str] = {}
    stop_sequences: tuple[str, ...] = ()
    prefill: str = ""
    leaked_calls: frozenset[str] = frozenset()
    tools: bytes = b""
    safeguards: bool = False
    output_limit: int | None = None
