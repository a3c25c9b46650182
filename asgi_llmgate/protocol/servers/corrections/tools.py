"""Rows about tools: their schemas, how many there may be, their names and descriptions, and the choice among them."""

from __future__ import annotations

import re
from functools import partial

from asgi_llmgate.protocol.servers.corrections.changes import Corrections, SchemaRewrite, ToolRequirement
from asgi_llmgate.protocol.servers.corrections.parameters import refuse
from asgi_llmgate.protocol.servers.corrections.rows import Row
from asgi_llmgate.protocol.servers.corrections.tool_schemas import EVERY_TOOL, NOT_STRICT, by_index, by_name
from asgi_llmgate.protocol.servers.wordings import tools as wordings

_STATUSES = frozenset({400, 422, 500, 502, 503})
"""500 is llama.cpp's, for a schema that it cannot make a grammar of; proxies make a 502 or 503 of another one's 400."""


def _rewrites(where: str, *rewrites: str) -> frozenset[SchemaRewrite]:
    return frozenset(SchemaRewrite(where, rewrite) for rewrite in rewrites)


def _schema(rewrites: tuple[str, ...], match: re.Match[str]) -> Corrections:
    groups = match.groupdict()
    name, index = groups.get("tool"), groups.get("index")
    where = by_name(name) if name else by_index(int(index)) if index else EVERY_TOOL
    return Corrections(schemas=_rewrites(where, *rewrites))


def _gemini(match: re.Match[str]) -> Corrections:
    places = {int(index) for index in wordings.GEMINI_PLACE.findall(match[0])}
    return Corrections(schemas=frozenset(SchemaRewrite(by_index(place), "gemini") for place in places))


def _keywords(match: re.Match[str]) -> Corrections:
    found = wordings.KEYWORD.findall(match["keywords"])
    return Corrections(schemas=_rewrites(EVERY_TOOL, *(f"-{keyword}" for keyword in found)))


def _number(match: re.Match[str]) -> int:
    return int(next(filter(None, match.groups())))


def _require(requirement: ToolRequirement) -> Corrections:
    return Corrections(tool_requirements=frozenset({requirement}))


ROWS: tuple[Row, ...] = (
    Row(
        topic="strict",
        patterns=wordings.STRICT_SCHEMAS,
        change=partial(_schema, (NOT_STRICT,)),
        keeps="the schema, which is only a hint then",
        final=True,
    ),
    Row(
        topic="Gemini's schemas",
        patterns=(wordings.GEMINI_SCHEMAS,),
        change=_gemini,
        keeps="the schemas of tools that are not named",
        final=True,
    ),
    Row(
        topic="keywords of schemas",
        patterns=(wordings.REFUSED_KEYWORDS,),
        change=_keywords,
        keeps="other keywords",
    ),
    Row(
        topic="one keyword of schemas",
        patterns=(wordings.REFUSED_KEYWORD,),
        change=lambda match: Corrections(schemas=_rewrites(EVERY_TOOL, f"-{match['keyword']}")),
        keeps="other keywords",
    ),
    *(
        Row(
            topic="a schema",
            patterns=(pattern,),
            change=partial(_schema, rewrites),
            keeps="the schemas of tools that are not named, where one is",
            statuses=_STATUSES,
            final=True,
        )
        for pattern, rewrites in wordings.REFUSED_SCHEMAS
    ),
    Row(
        topic="number of tools",
        patterns=(wordings.MAX_TOOLS,),
        change=lambda match: Corrections(max_tools=_number(match)),
        keeps="tools that a search has loaded, and the one that is demanded",
    ),
    Row(
        topic="descriptions of tools",
        patterns=(wordings.MAX_DESCRIPTION,),
        change=lambda match: Corrections(max_tool_description=_number(match)),
        keeps="shorter descriptions",
    ),
    Row(
        topic="names of tools",
        patterns=(wordings.LETTER_FIRST,),
        change=_require("letter_first"),
        keeps="names that begin with a letter",
    ),
    Row(
        topic="a tool is demanded while the model thinks",
        patterns=(wordings.NO_CHOICE_WHILE_THINKING,),
        change=_require("no_choice_while_thinking"),
        keeps="thinking where nothing is demanded",
    ),
    Row(
        topic="a model that thinks always",
        patterns=(wordings.NO_CHOICE_WHILE_THINKING,),
        change=_require("no_forced_choice"),
        keeps="the tools",
        final=True,
    ),
    Row(
        topic="a named tool is demanded",
        patterns=(wordings.NO_NAMED_CHOICE,),
        change=_require("no_named_choice"),
        keeps="the demand: only that tool is offered",
        final=True,
    ),
    Row(
        topic="a tool is demanded",
        patterns=(wordings.NO_FORCED_CHOICE,),
        change=_require("no_forced_choice"),
        keeps="the tools",
        final=True,
    ),
    Row(
        topic="tool_choice",
        patterns=(wordings.NO_CHOICE,),
        change=refuse("tool_choice"),
        keeps="the tools",
    ),
    Row(
        topic="calls without tools",
        patterns=(wordings.HISTORY_NEEDS_TOOLS,),
        change=_require("tools_for_history"),
        keeps="requests that have tools, or no calls",
    ),
)
