"""What requests for one target look like, as far as it does not depend on the request.

That is what follows from the target, its dialect, the operator's options, and what the server has asked for in errors.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal

import msgspec

from asgi_llmgate.exchange_values import Target
from asgi_llmgate.protocol.servers.capabilities import without_capabilities
from asgi_llmgate.protocol.servers.columns import Dialect
from asgi_llmgate.protocol.servers.corrections.changes import Corrections
from asgi_llmgate.protocol.servers.corrections.tool_schemas import EVERY_TOOL
from asgi_llmgate.protocol.servers.schemas.rewrites import Rewrites


class TranslationOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The operator's choices where a translation can be made in more than one way, for all model servers alike.

    unsupported_tools   a call whose only tools are ones that only Anthropic can run: the gateway responds with a text
                        (answer), or it is sent without the tools (drop), or refused (reject)
    repair_tool_pairs   calls and results that do not match are repaired instead of refused
    tool_references     what the model reads about a tool that a search has loaded: its name, or its schema as well
    response_model      the model's name in the response: the upstream's, or the one that was requested
    strict              refuse a request from which something that matters would be left out
    user_id             whether a hash of the caller's subject is sent as `user`
    """

    unsupported_tools: Literal["answer", "drop", "reject"] = "answer"
    repair_tool_pairs: bool = False
    tool_references: Literal["names", "schemas"] = "names"
    response_model: Literal["upstream", "requested"] = "upstream"
    strict: bool = False
    user_id: Literal["hashed", "off"] = "hashed"


class Options(TranslationOptions, frozen=True, kw_only=True, eq=False):
    """The choices for one model server.  Two of them are equal if they are the same object, as with dialects.

    extra_body          fields that are merged into the request last
    max_output_tokens   limit for every response; 0: none
    """

    extra_body: Mapping[str, Any] = {}
    max_output_tokens: int = 0


class TargetFormat:
    """What follows from a target, its dialect, the operator's options and the corrections.

    channels                the content of a response may begin with a channel of gpt-oss
    dialect                 the row for the model, without the capabilities that it turned out not to have
    max_output_tokens       the smallest limit for a response; None for none
    max_unstreamed_output   the same for one that is not streamed
    context_window          in tokens; None where it is not known
    max_stops, max_tools, max_tool_description   the smallest limits; None for none
    letter_first            names of tools begin with a letter
    schema_rewrites         rewrites of the schemas of all tools
    rewrites_by_schema      further ones for single schemas, by their digest
    """

    __slots__ = (
        *("channels", "context_window", "corrections", "dialect", "letter_first", "max_output_tokens", "max_stops"),
        *("max_tool_description", "max_tools", "max_tokens_field", "max_unstreamed_output", "model", "options"),
        *("rewrites_by_schema", "schema_rewrites"),
    )

    def __init__(
        self,
        model: str,
        output_limit: int | None,
        context_window: int | None,
        dialect: Dialect,
        options: Options,
        corrections: Corrections,
    ) -> None:
        row = without_capabilities(dialect.for_model(model), corrections.missing)
        self.model = model
        self.dialect = row
        self.options = options
        self.corrections = corrections
        self.channels = "harmony" in row.leaked_calls or "all" in row.leaked_calls
        self.context_window = corrections.context_window or context_window
        limits = (output_limit, options.max_output_tokens, corrections.max_output_tokens, corrections.affordable_tokens)
        # A limit of 0 is none: the operator's default.
        self.max_output_tokens = _least(*(limit or None for limit in limits))
        self.max_unstreamed_output = _least(self.max_output_tokens, corrections.max_unstreamed_output or None)
        self.max_tokens_field = corrections.max_tokens_field or row.max_tokens_field
        self.max_stops = _least(row.stop_max, corrections.max_stops)
        self.max_tools = _least(row.max_tools, corrections.max_tools)
        self.max_tool_description = _least(row.max_tool_description, corrections.max_tool_description)
        self.letter_first = row.tool_names == "letter_first" or "letter_first" in corrections.tool_requirements
        by_schema = defaultdict[str, set[str]](set)
        for where, name in corrections.schemas:
            by_schema[where].add(name)
        self.schema_rewrites: Rewrites = row.tool_schemas.union(by_schema.pop(EVERY_TOOL, ()))
        self.rewrites_by_schema = {where: frozenset(names) for where, names in by_schema.items()}


def _least(*limits: int | None) -> int | None:
    return min((limit for limit in limits if limit is not None), default=None)


def target_format(target: Target, dialect: Dialect, options: Options, corrections: Corrections) -> TargetFormat:
    """The format of the requests for a target.  It is kept: almost every request has one that another had before."""
    return _kept(target.model, target.max_output_tokens, target.context_window, dialect, options, corrections)


_kept = lru_cache(maxsize=256)(TargetFormat)
