"""The metrics that are written: names, units, labels and buckets.  measurements.py takes their values from records.

    metric                                    kind       unit     value
    ----------------------------------------  ---------  -------  ------------------------------------------------------
    llmgate.requests                          counter    1        every request of a client
    llmgate.denials                           counter    1        requests that the gateway refused, by reason
    llmgate.safeguards.verdicts               counter    1        verdicts on tool calls of responses
    llmgate.webhook.attempts                  counter    1        attempts to send an event, by outcome
    llmgate.cost                              counter    {USD}    cost of a call, if its price is known
    gen_ai.client.token.usage                 histogram  {token}  tokens of a call, by gen_ai.token.type: input, output
    gen_ai.client.operation.duration          histogram  s        from sending the upstream request to the end
    gen_ai.server.request.duration            histogram  s        from the client's request to the end
    gen_ai.server.time_to_first_token         histogram  s        from the client's request to the first token
    gen_ai.server.time_per_output_token       histogram  s        mean time of each token after the first

Names, units and bucket boundaries follow OpenTelemetry's conventions for generative AI, version 1.41
(https://github.com/open-telemetry/semantic-conventions/blob/v1.41.1/docs/gen-ai/gen-ai-metrics.md).  Later renamings
are not released yet; LATEST contains the names of the conventions' migration guide.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

Semconv = Literal["1.41", "latest", "both"]

# Bucket boundaries as the conventions list them.
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
# Labels of a request, which may have no upstream request.
_REQUEST = ("gen_ai.provider.name", "gen_ai.request.model")


class Metric(NamedTuple):
    """One metric.  `labels` are the names of its labels without the operator's own ones; a label may be absent from a
    value.  `buckets` are the upper bounds of a histogram; a metric without buckets is a counter."""

    name: str
    unit: str
    description: str
    labels: tuple[str, ...]
    buckets: tuple[float, ...] = ()


REQUESTS = Metric(
    "llmgate.requests",
    "1",
    "Requests, as they ended.",
    ("llmgate.outcome", "llmgate.reason", "http.response.status_code", *_REQUEST),
)
DENIALS = Metric("llmgate.denials", "1", "Requests that were refused here.", ("llmgate.reason",))
VERDICTS = Metric(
    "llmgate.safeguards.verdicts",
    "1",
    "Verdicts on tool calls of responses.",
    ("llmgate.safeguards.outcome", "llmgate.safeguards.decided_by", "llmgate.safeguards.rule"),
)
WEBHOOK = Metric(
    "llmgate.webhook.attempts",
    "1",
    "Attempts to send an event to the webhook.",
    ("llmgate.webhook.outcome",),
)
"""Counted by the notifier, and not from usage records."""
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

METRICS = (REQUESTS, DENIALS, VERDICTS, WEBHOOK, COST, TOKENS, DURATION, SERVED, FIRST_TOKEN, PER_TOKEN)
"""The metrics of version 1.41, and the gateway's own."""


def _token_counter(name: str, description: str) -> Metric:
    return Metric(f"gen_ai.client.inference.usage.{name}", "{token}", description, (*_CALL, "gen_ai.token.modality"))


INFERENCE = DURATION._replace(name="gen_ai.client.inference.duration")
INPUT = Metric(
    "gen_ai.client.inference.operation.input_tokens", "{token}", "Input tokens per operation.", _CALL, _TOKENS
)
OUTPUT = Metric(
    "gen_ai.client.inference.operation.output_tokens", "{token}", "Output tokens per operation.", _CALL, _TOKENS
)
SPENT = {
    "input_tokens": _token_counter("input_tokens", "Input tokens spent."),
    "output_tokens": _token_counter("output_tokens", "Output tokens spent."),
    "cache_read_tokens": _token_counter("cache_read.input_tokens", "Input tokens read from a cache."),
    "cache_creation_tokens": _token_counter("cache_write.input_tokens", "Input tokens written to a cache."),
    "reasoning_tokens": _token_counter("reasoning.output_tokens", "Output tokens spent on reasoning."),
}
"""Attribute of the usage record -> the counter of its tokens."""

RENAMED = {DURATION: (INFERENCE,), TOKENS: (INPUT, OUTPUT, *SPENT.values())}
"""Metric of version 1.41 -> the metrics that replace it in the latest conventions."""

LATEST = tuple(each for metric in METRICS for each in RENAMED.get(metric, (metric,)))

ATTRIBUTES = {"gen_ai.usage.cache_creation.input_tokens": "gen_ai.usage.cache_write.input_tokens"}
"""Span attribute of version 1.41 -> its name in the latest conventions."""


def metrics_of(semconv: Semconv) -> tuple[Metric, ...]:
    """The metrics that are written for this setting of `usage.otel.semconv`."""
    if semconv == "both":
        # A metric that was not renamed is in both.
        return tuple(dict.fromkeys(METRICS + LATEST))
    return METRICS if semconv == "1.41" else LATEST


def attribute_names(semconv: Semconv) -> Mapping[str, tuple[str, ...]]:
    """Span attribute of version 1.41 -> the names that it is written under, for the attributes that were renamed."""
    if semconv == "1.41":
        return {}
    return {old: (old, new) if semconv == "both" else (new,) for old, new in ATTRIBUTES.items()}
