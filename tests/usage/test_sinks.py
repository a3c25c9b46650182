"""A failing sink harms nobody."""

from __future__ import annotations

from asgi_llmgate.usage.record import UsageRecord
from asgi_llmgate.usage.sinks import Sinks


class Failing:
    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)

    def emit(self, record: UsageRecord) -> None:
        raise self.errors.pop(0)


def test_the_sinks_after_a_failing_one_get_the_record(full_exchange, sink):
    record = UsageRecord.of(full_exchange())
    Sinks([Failing(OSError()), sink]).emit(record)
    assert sink.records == [record]


def test_a_failure_is_told_once_per_sink_and_kind(full_exchange, caplog):
    record = UsageRecord.of(full_exchange())
    first = Failing(OSError(28, "No space left on device"), OSError(), ValueError(), OSError())
    second = Failing(OSError(), OSError(), OSError(), OSError())
    sinks = Sinks([first, second])
    for _ in range(4):
        sinks.emit(record)
    assert [entry.name for entry in caplog.records] == ["llmgate"] * 3
    assert "Failing" in caplog.records[0].getMessage()
    assert "No space left" in caplog.text
