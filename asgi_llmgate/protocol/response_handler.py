"""The interface of response handlers, for every pair of wires of a client and a model server.

A handler gets the upstream response, event by event or as one document, and returns the bytes for the client.  The
table in `wire_pairs` has the handler for each pair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from asgi_llmgate.errors import GateError
from asgi_llmgate.exchange_values import ResponseMetadata, ToolUse, Usage, Verdict


@dataclass(frozen=True, slots=True, repr=False)
class Held:
    """What the end of a response waits for: a verdict on each of its tool calls.

    `by_server` has the verdicts that the model server has given itself, by the id of the tool use.
    """

    tool_uses: Sequence[ToolUse]
    by_server: Mapping[str, Verdict] = field(default_factory=dict)


class ResponseHandler(Protocol):
    """Handles one response.  No method raises, except `take`.

    `started`: a content block has begun, so no other attempt can replace this one.  `stopped`: the server has said why
    the model stopped, or that the response is complete; only its usage may be missing, for which nobody waits long.
    `done`: the response has ended, and has stopped; every further call does nothing.  `error`: the error that ended it,
    None for a complete response.  `usage` and `metadata`: what is known so far.  `changed`: names of the changes that
    were made to the response, for the record.  `held`: the model server's response is complete, and its end is not
    written yet, because it waits for verdicts: `release` writes it, and events that still come do nothing.
    """

    @property
    def started(self) -> bool: ...
    @property
    def stopped(self) -> bool: ...
    @property
    def done(self) -> bool: ...
    @property
    def error(self) -> GateError | None: ...
    @property
    def usage(self) -> Usage: ...
    @property
    def metadata(self) -> ResponseMetadata: ...
    @property
    def changed(self) -> Sequence[str]: ...
    @property
    def held(self) -> Held | None: ...

    def feed_event(self, event: bytes) -> None:
        """Handle the data of one server-sent event."""

    def feed_document(self, document: bytes) -> None:
        """Handle a response that came as one JSON document, and end it."""

    def end(self) -> None:
        """The server's events have ended."""

    def fail(self, error: GateError) -> None:
        """End the response with an error, also one that is held; after the end of a response this does nothing."""

    def release(self, verdicts: Sequence[Verdict]) -> None:
        """Write the end of a response that is held: one verdict for each of the tool uses."""

    def ping(self) -> None:
        """Write a keep-alive, because the server is silent."""

    def take(self) -> bytes:
        """The bytes that are ready for the client, once.

        Raises the GateError that the response ended in where the client waits for one document and the handler
        writes no error document.
        """
