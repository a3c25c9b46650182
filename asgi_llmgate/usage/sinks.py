"""The interface of a sink, and several sinks as one."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Protocol

from asgi_llmgate.usage.record import UsageRecord

log = logging.getLogger("llmgate")


class Sink(Protocol):
    """Takes usage records: any object with a method `emit`.

    Two more methods are optional, and the gateway finds them:

        def health(self) -> Health         for `/readyz`: what is broken (503), and what works only in part
        async def aclose(self) -> None     called when the gateway shuts down
    """

    def emit(self, record: UsageRecord) -> None:
        """Take one record.  Must be synchronous and quick, and must not raise.

        It runs inside the request, in its context (the current span is the request's), just before the last bytes of
        the response are sent.  What takes time belongs in a queue that something else empties.
        """
        ...


class MetricSink(Sink, Protocol):
    """A sink that takes records for their metrics, and counts what no record says."""

    def count(self, counter: str, labels: Mapping[str, str | int]) -> None:
        """Count one more in the counter of this name."""
        ...


class Sinks:
    """Several sinks as one.  A sink that raises harms neither the request nor the sinks after it."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = tuple(sinks)
        self._logged: set[tuple[int, type[Exception]]] = set()

    def emit(self, record: UsageRecord) -> None:
        for sink in self._sinks:
            try:
                sink.emit(record)
            except Exception as error:
                self._log(sink, error)

    def _log(self, sink: Sink, error: Exception) -> None:
        # Once per sink and class of error: with a full disk every request fails alike.
        kind = (id(sink), type(error))
        if kind not in self._logged:
            self._logged.add(kind)
            log.error("usage sink %s fails; more of this kind is not logged", type(sink).__qualname__, exc_info=error)
