"""What is measured of a call: the metrics, by the names that leave the process, and their values for a record.

    metric                                    kind       unit     of
    ----------------------------------------  ---------  -------  ------------------------------------------------------
    llmgate.requests                          counter    1        every record
    llmgate.denials                           counter    1        what was refused here, by reason
    llmgate.cost                              counter    {USD}    calls whose price is known
    gen_ai.client.token.usage                 histogram  {token}  input and output of a call, by gen_ai.token.type
    gen_ai.client.operation.duration          histogram  s        from sending a call until its end
    gen_ai.server.request.duration            histogram  s        from the client's request until its end
    gen_ai.server.time_to_first_token         histogram  s        from the client's request until the first token
    gen_ai.server.time_per_output_token       histogram  s        each token after the first, of a whole answer

Names, units and bucket boundaries are those of OpenTelemetry's conventions for generative AI, version 1.41
(https://github.com/open-telemetry/semantic-conventions/blob/v1.41.1/docs/gen-ai/gen-ai-metrics.md).  What was renamed
after it is not released; LATEST has the names of the conventions' migration guide.

The values of a label are few, whatever callers send: models are those of the model table, what the operator chooses has
room for ROOM values, and everything beyond is OTHER.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from asgi_llmgate.errors import SettingsError
from asgi_llmgate.usage.record import NAMES, UsageRecord

Semconv = Literal["1.41", "latest", "both"]

OTHER = "_OTHER"
"""A value that is not told apart, spelled as the conventions do for HTTP methods."""

ROOM = 100
"""Values that a label may have when nobody has listed them."""

_SECONDS = tuple(0.01 * 2**power for power in range(14))
_TOKENS = tuple(4.0**power for power in range(14))
_FIRST_TOKEN = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_PER_TOKEN = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)

_CALL = (
    "gen_ai.operation.name",
    "gen_ai.provider.name",
    "gen_ai.request.model",
    "gen_ai.response.model",
    "llmgate.backend",
)
_GATE = ("gen_ai.provider.name", "gen_ai.request.model")

Labels = dict[str, str | int]


class Metric(NamedTuple):
    """`labels` are those that a value may have, beside the operator's own; `buckets` only a histogram has."""

    name: str
    unit: str
    description: str
    labels: tuple[str, ...]
    buckets: tuple[float, ...] = ()


REQUESTS = Metric(
    "llmgate.requests",
    "1",
    "Requests, as they ended.",
    ("llmgate.outcome", "llmgate.reason", "http.response.status_code", *_GATE),
)
DENIALS = Metric("llmgate.denials", "1", "Requests that were refused here.", ("llmgate.reason",))
COST = Metric("llmgate.cost", "{USD}", "What calls have cost, where the price is known.", _CALL)
TOKENS = Metric(
    "gen_ai.client.token.usage",
    "{token}",
    "Number of input and output tokens used.",
    (*_CALL, "gen_ai.token.type"),
    _TOKENS,
)
DURATION = Metric(
    "gen_ai.client.operation.duration", "s", "GenAI operation duration.", (*_CALL, "error.type"), _SECONDS
)
SERVED = Metric(
    "gen_ai.server.request.duration",
    "s",
    "Generative AI server request duration such as time-to-last byte or last output token.",
    (*_CALL, "error.type"),
    _SECONDS,
)
FIRST_TOKEN = Metric(
    "gen_ai.server.time_to_first_token",
    "s",
    "Time to generate first token for successful responses.",
    _CALL,
    _FIRST_TOKEN,
)
PER_TOKEN = Metric(
    "gen_ai.server.time_per_output_token",
    "s",
    "Time per output token generated after the first token for successful responses.",
    _CALL,
    _PER_TOKEN,
)

METRICS = (REQUESTS, DENIALS, COST, TOKENS, DURATION, SERVED, FIRST_TOKEN, PER_TOKEN)
"""All of 1.41."""


def _counter(name: str, description: str) -> Metric:
    return Metric(f"gen_ai.client.inference.usage.{name}", "{token}", description, (*_CALL, "gen_ai.token.modality"))


INFERENCE = DURATION._replace(name="gen_ai.client.inference.duration")
INPUT = Metric(
    "gen_ai.client.inference.operation.input_tokens", "{token}", "Input tokens per operation.", _CALL, _TOKENS
)
OUTPUT = Metric(
    "gen_ai.client.inference.operation.output_tokens", "{token}", "Output tokens per operation.", _CALL, _TOKENS
)
SPENT = {
    "input_tokens": _counter("input_tokens", "Input tokens spent."),
    "output_tokens": _counter("output_tokens", "Output tokens spent."),
    "cache_read_tokens": _counter("cache_read.input_tokens", "Input tokens read from a cache."),
    "cache_creation_tokens": _counter("cache_write.input_tokens", "Input tokens written to a cache."),
    "reasoning_tokens": _counter("reasoning.output_tokens", "Output tokens spent on reasoning."),
}
"""Attribute of the record -> its counter."""

RENAMED = {DURATION: (INFERENCE,), TOKENS: (INPUT, OUTPUT, *SPENT.values())}
"""Metric of 1.41 -> what stands for it in the latest conventions."""

LATEST = tuple(each for metric in METRICS for each in RENAMED.get(metric, (metric,)))

ATTRIBUTES = {"gen_ai.usage.cache_creation.input_tokens": "gen_ai.usage.cache_write.input_tokens"}
"""Span attribute of 1.41 -> its name in the latest conventions."""


def metrics_of(semconv: Semconv) -> tuple[Metric, ...]:
    """The metrics that are written under a version of the conventions."""
    if semconv == "both":
        return tuple(dict.fromkeys(METRICS + LATEST))
    return METRICS if semconv == "1.41" else LATEST


class Vocabulary:
    """The values of one label: those that are known, or the first ROOM that come."""

    def __init__(self, known: Collection[str] | None = None) -> None:
        self._words = set(known or ())
        self._open = known is None

    def __call__(self, word: str) -> str:
        if word in self._words:
            return word
        if not self._open or len(self._words) >= ROOM:
            return OTHER
        self._words.add(word)
        return word


class Measures:
    """Turns records into values of metrics.

    `models` are the models that may be a label, None for the first ROOM; `labels` are names of `fields` of the record
    that every metric gets as labels.  Raises SettingsError for a label that is none of the operator's own `fields`.
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
                    hint="a label is one of usage.fields, such as team: jwt.team",
                )
            if any(label in metric.labels for metric in metrics_of("both")):
                raise SettingsError("the metrics have this label already", path=f"labels[{index}]")
        self.metrics = tuple(metric._replace(labels=metric.labels + tuple(labels)) for metric in metrics_of(semconv))
        self._old, self._new = semconv != "latest", semconv != "1.41"
        self._models = Vocabulary(models)
        self._answering = Vocabulary()
        self._labels = {label: Vocabulary() for label in labels}

    def of(self, record: UsageRecord) -> Iterator[tuple[Metric, float, Labels]]:
        """The values of a record.  Labels that do not apply are absent."""
        own: Labels = {label: words(_text(record.fields[label])) for label, words in self._labels.items()
                       if label in record.fields}  # fmt: skip
        gate: Labels = {"llmgate.outcome": record.outcome, "http.response.status_code": record.status, **own}
        if record.reason:
            gate["llmgate.reason"] = record.reason
        model = self._models(record.request_model) if record.request_model else ""
        if record.provider:
            gate["gen_ai.provider.name"] = record.provider
        if model:
            gate["gen_ai.request.model"] = model
        yield REQUESTS, 1, gate
        if record.outcome == "refused":
            yield DENIALS, 1, {"llmgate.reason": record.reason, **own}
        if record.upstream_ms is not None:
            yield from self._of_call(record, record.upstream_ms, self._call(record, model) | own)

    def _call(self, record: UsageRecord, model: str) -> Labels:
        call: Labels = {"gen_ai.provider.name": record.provider, "llmgate.backend": record.backend}
        if record.operation:
            call["gen_ai.operation.name"] = record.operation
        if model:
            call["gen_ai.request.model"] = model
        if record.response_model:
            call["gen_ai.response.model"] = OTHER if model == OTHER else self._answering(record.response_model)
        return call

    def _of_call(self, record: UsageRecord, upstream_ms: float, call: Labels) -> Iterator[tuple[Metric, float, Labels]]:
        timed = {**call, "error.type": record.error_type} if record.error_type else call
        if self._old:
            yield DURATION, upstream_ms / 1000, timed
        if self._new:
            yield INFERENCE, upstream_ms / 1000, timed
        yield SERVED, record.duration_ms / 1000, timed
        if record.ttft_ms is not None and record.outcome == "ok":
            yield FIRST_TOKEN, record.ttft_ms / 1000, call
            if (record.output_tokens or 0) > 1:
                rest = (record.duration_ms - record.ttft_ms) / 1000
                yield PER_TOKEN, rest / ((record.output_tokens or 0) - 1), call
        if record.cost_usd is not None:
            yield COST, record.cost_usd, call
        if record.input_tokens is not None and record.output_tokens is not None:
            yield from self._tokens(record, record.input_tokens, record.output_tokens, call)

    def _tokens(
        self, record: UsageRecord, sent: int, received: int, call: Labels
    ) -> Iterator[tuple[Metric, float, Labels]]:
        if self._old:
            yield TOKENS, sent, {**call, "gen_ai.token.type": "input"}
            yield TOKENS, received, {**call, "gen_ai.token.type": "output"}
        if self._new:
            yield INPUT, sent, call
            yield OUTPUT, received, call
            spent = {**call, "gen_ai.token.modality": "unknown"}
            for attribute, metric in SPENT.items():
                yield metric, getattr(record, attribute), spent


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def attribute_names(semconv: Semconv) -> Mapping[str, tuple[str, ...]]:
    """Attribute of 1.41 -> the names under which it is written, for those that were renamed."""
    if semconv == "1.41":
        return {}
    return {old: (old, new) if semconv == "both" else (new,) for old, new in ATTRIBUTES.items()}
