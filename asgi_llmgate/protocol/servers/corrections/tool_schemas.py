"""Which tool a refusal of a schema is about, and what is tried when the first rewrite does not help.

A refusal names a tool as the request that was refused had it: by its name, or by its place in `tools`.  A correction
outlives that request, so it is kept for the schema itself, by its digest: a tool of the same name with another schema
is another tool, and nobody's broken schema changes somebody else's.

One tool must not make every request of a session fail.  So a tool that is refused again is rewritten further, step by
step: what the words ask for, what every server accepts, no schema at all, and at last the tool is left out.  Where no
tool is named, all tools of the request are taken as far as what every server accepts.

Claude Code has two dozen tools, all with `$schema`.  A server that names one bad tool after another would use up the
attempts: what two tools needed is done to every tool of the request when a third one needs it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256

import msgspec
from msgspec.structs import replace

from asgi_llmgate.protocol.servers.corrections.changes import Correction, Corrections, SchemaRewrite
from asgi_llmgate.protocol.servers.schemas.rewrites import MINIMAL

EVERY_TOOL = ""
"""Where no tool is named."""

NOT_STRICT = "not_strict"
"""Not a rewrite: the schema is sent without `strict`."""

ALIKE = 2
"""Tools that needed the same rewrite, before every tool of a request gets it."""

LEFT_OUT = "left_out"
"""The last step: the tool is not sent."""


class SentTool(msgspec.Struct, frozen=True):
    """A tool as it was sent: its name there, and its schema as the client wrote it.  The schema of `response_format` is
    one, too."""

    name: str
    schema: bytes


def by_name(name: str) -> str:
    """The tool with this name in the refused request."""
    return f"={name}"


def by_index(index: int) -> str:
    """The tool at this place in the refused request."""
    return f"#{index}"


def digest(schema: bytes) -> str:
    """What a schema is kept under."""
    return sha256(schema).hexdigest()[:24]


def next_steps(
    corrections: Iterable[Correction], tools: Sequence[SentTool], known: Corrections
) -> Iterator[Correction]:
    """The corrections of an error, with a further step for each refused schema that was rewritten already.

    `tools` are those of the refused request, `known` the corrections that it was written with.
    """
    for correction in corrections:
        if not correction.changes.schemas:
            yield correction
            continue
        for schemas in _steps(correction.changes.schemas, tools, known):
            if more := schemas - known.schemas:
                yield replace(correction, changes=replace(correction.changes, schemas=more))


def _steps(
    asked: frozenset[SchemaRewrite], tools: Sequence[SentTool], known: Corrections
) -> Iterator[frozenset[SchemaRewrite]]:
    found = {rewrite: _find(rewrite.where, tools) for rewrite in asked}
    everyone = {digest(tool.schema) for tool in tools}
    needed = Counter(rewrite.name for rewrite in known.schemas)
    if common := [rewrite.name for rewrite in asked if needed[rewrite.name] >= ALIKE]:
        yield frozenset(SchemaRewrite(where, name) for where in everyone for name in common)
    # A name that is not among the tools: the server has another one for it.
    yield frozenset(
        SchemaRewrite(where, rewrite.name) for rewrite, places in found.items() for where in places or [EVERY_TOOL]
    )
    named = {where for places in found.values() for where in places}
    refused = named if named and needed["plain"] < ALIKE else everyone
    yield frozenset(SchemaRewrite(where, "plain") for where in refused)
    for step in (MINIMAL, LEFT_OUT) if named else ():
        yield frozenset(SchemaRewrite(where, step) for where in named)


def _find(where: str, tools: Sequence[SentTool]) -> list[str]:
    if where.startswith("#"):
        return [digest(tool.schema) for tool in tools[int(where[1:]) :][:1]]
    return [digest(tool.schema) for tool in tools if where == by_name(tool.name)]
