"""The values of the metrics for one usage record, with their labels.

The number of values of a label is bounded, whatever callers send, because each combination of labels is a time series
in the monitoring system: models are those of the model table, any other label has at most MAX_LABEL_VALUES values, and
every further value is written as OTHER.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from asgi_llmgate.errors import SettingsError
from asgi_llmgate.usage.metrics import (
    COST,
    DENIALS,
    DURATION,
    FIRST_TOKEN,
    INFERENCE,
    INPUT,
    OUTPUT,
    PER_TOKEN,
    REQUESTS,
    SERVED,
    SPENT,
    TOKENS,
    VERDICTS,
    Metric,
    Semconv,
    metrics_of,
)
from asgi_llmgate.usage.record import NAMES, UsageRecord

OTHER = "_OTHER"
"""The label for all values beyond the bound, spelled as the conventions spell it for unknown HTTP methods."""

MAX_LABEL_VALUES = 100
"""Different values of a label whose values are not known in advance."""

Labels = dict[str, str | int]

Measurement = tuple[Metric, float, Labels]


class LabelValues:
    """The values of one label: those in `known`, or the first MAX_LABEL_VALUES that occur if `known` is None."""

    def __init__(self, known: Collection[str] | None = None) -> None:
        self._values = set(known or ())
        self._open = known is None

    def bound(self, value: str) -> str:
        """The value itself, or OTHER."""
        if value in self._values:
            return value
        if not self._open or len(self._values) >= MAX_LABEL_VALUES:
            return OTHER
        self._values.add(value)
        return value


class Measurements:
    """Calculates the values of all metrics for a usage record.

    `models` are the models that may be a label, None for the first MAX_LABEL_VALUES that occur.  `labels` are names of
    `usage.fields` that every metric gets as labels; `fields` are all those names, None if they are not known.

    Raises SettingsError for a label that is not in `fields` or is a label of a metric already.
    """

    def __init__(
        self,
        semconv: Semconv = "1.41",
        *,
        models: Collection[str] | None = None,
        labels: Sequence[str] = (),
        fields: Collection[str] | None = None,
    ) -> None:
        for index, label in enumerate(labels):
            if label in NAMES or (fields is not None and label not in fields):
                raise SettingsError(
                    f"no field is named {label!r}",
                    path=f"labels[{index}]",
                    hint="a label is a name in usage.fields, such as team: jwt.team",
                )
            if any(label in metric.labels for metric in metrics_of("both")):
                raise SettingsError("the metrics have this label already", path=f"labels[{index}]")
        self.metrics = tuple(metric._replace(labels=metric.labels + tuple(labels)) for metric in metrics_of(semconv))
        self._write_old, self._write_new = semconv != "latest", semconv != "1.41"
        self._models = LabelValues(models)
        self._response_models = LabelValues()
        self._labels = {label: LabelValues() for label in labels}

    def of(self, record: UsageRecord) -> Iterator[Measurement]:
        """The values of a record.  Labels that do not apply are absent."""
        own: Labels = {
            label: values.bound(_as_text(record.fields[label]))
            for label, values in self._labels.items()
            if label in record.fields
        }
        labels: Labels = {"llmgate.outcome": record.outcome, "http.response.status_code": record.status, **own}
        if record.reason:
            labels["llmgate.reason"] = record.reason
        model = self._models.bound(record.request_model) if record.request_model else ""
        if record.vendor:
            labels["gen_ai.provider.name"] = record.vendor
        if model:
            labels["gen_ai.request.model"] = model
        if not record.parent_request_id:
            yield REQUESTS, 1, labels
        if record.outcome == "refused":
            yield DENIALS, 1, {"llmgate.reason": record.reason, **own}
        for verdict in record.safeguards:
            of_verdict: Labels = {
                "llmgate.safeguards.outcome": verdict.outcome,
                "llmgate.safeguards.decided_by": verdict.decided_by,
                **own,
            }
            if verdict.rule:
                of_verdict["llmgate.safeguards.rule"] = verdict.rule
            yield VERDICTS, 1, of_verdict
        # Without an upstream request there was no call whose duration or tokens could be counted.
        if record.upstream_ms is not None:
            yield from self._of_call(record, record.upstream_ms, self._call_labels(record, model) | own)

    def _call_labels(self, record: UsageRecord, model: str) -> Labels:
        labels: Labels = {"gen_ai.provider.name": record.vendor, "llmgate.backend": record.backend}
        if record.operation:
            labels["gen_ai.operation.name"] = record.operation
        if model:
            labels["gen_ai.request.model"] = model
        if record.response_model:
            # A response repeats the name that was sent, so that it is as unbounded as the request's model.
            labels["gen_ai.response.model"] = (
                OTHER if model == OTHER else self._response_models.bound(record.response_model)
            )
        return labels

    def _of_call(self, record: UsageRecord, upstream_ms: float, labels: Labels) -> Iterator[Measurement]:
        with_error = {**labels, "error.type": record.error_type} if record.error_type else labels
        if self._write_old:
            yield DURATION, upstream_ms / 1000, with_error
        if self._write_new:
            yield INFERENCE, upstream_ms / 1000, with_error
        yield SERVED, record.duration_ms / 1000, with_error
        # The conventions define both token times for successful responses only.
        if record.ttft_ms is not None and record.outcome == "ok":
            yield FIRST_TOKEN, record.ttft_ms / 1000, labels
            if (record.output_tokens or 0) > 1:
                rest = (record.duration_ms - record.ttft_ms) / 1000
                yield PER_TOKEN, rest / ((record.output_tokens or 0) - 1), labels
        if record.cost_usd is not None:
            yield COST, record.cost_usd, labels
        if record.input_tokens is not None and record.output_tokens is not None:
            yield from self._of_tokens(record, record.input_tokens, record.output_tokens, labels)

    def _of_tokens(
        self, record: UsageRecord, input_tokens: int, output_tokens: int, labels: Labels
    ) -> Iterator[Measurement]:
        if self._write_old:
            yield TOKENS, input_tokens, {**labels, "gen_ai.token.type": "input"}
            yield TOKENS, output_tokens, {**labels, "gen_ai.token.type": "output"}
        if self._write_new:
            yield INPUT, input_tokens, labels
            yield OUTPUT, output_tokens, labels
            # Usage does not say which tokens were text, image or audio.
            by_modality = {**labels, "gen_ai.token.modality": "unknown"}
            for attribute, metric in SPENT.items():
                yield metric, getattr(record, attribute), by_modality


def _as_text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
