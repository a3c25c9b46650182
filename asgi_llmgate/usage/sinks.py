"""Where records go.

A sink is called inside the request, at the moment when the last piece of the answer is about to leave.  So it is plain
and quick: it puts the record into memory, a pipe or a file, and whatever needs waiting happens elsewhere, behind it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from asgi_llmgate.usage.record import UsageRecord

log = logging.getLogger("llmgate")


class Sink(Protocol):
    """Takes records.

    `emit` is synchronous, does not block and does not raise; it runs in the context of the request, so that the current
    span is the request's.
    """

    def emit(self, record: UsageRecord) -> None: ...


class Sinks:
    """Several sinks as one.  A sink that raises against the rule harms neither the request nor the sinks after it; the
    log says so once per sink and class of error, because a full disk fails at every request."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = tuple(sinks)
        self._told: set[tuple[int, type[Exception]]] = set()

    def emit(self, record: UsageRecord) -> None:
        for sink in self._sinks:
            try:
                sink.emit(record)
            except Exception as error:
                self._tell(sink, error)

    def _tell(self, sink: Sink, error: Exception) -> None:
        kind = (id(sink), type(error))
        if kind not in self._told:
            self._told.add(kind)
            log.error("usage sink %s fails; more of this kind is not logged", type(sink).__qualname__, exc_info=error)
