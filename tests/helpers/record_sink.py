"""A sink that keeps usage records in memory, for tests to look into."""

from __future__ import annotations

import threading

from asgi_llmgate.usage import UsageRecord


class RecordSink:
    """Keeps records; `wait(n)` lets another thread wait for the n-th."""

    def __init__(self) -> None:
        self.records: list[UsageRecord] = []
        self._arrived = threading.Condition()

    def emit(self, record: UsageRecord) -> None:
        with self._arrived:
            self.records.append(record)
            self._arrived.notify_all()

    def wait(self, count: int) -> list[UsageRecord]:
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.records) >= count, timeout=60), self.outcomes()
        return self.records

    def only(self) -> UsageRecord:
        (record,) = self.records
        return record

    def outcomes(self) -> list[str]:
        return [record.outcome for record in self.records]
