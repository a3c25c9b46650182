"""Prometheus: the metrics of metrics.py in the registry of prometheus-client, and an app that Prometheus scrapes.

Names are those that OpenTelemetry's own exporter to Prometheus produces, so that one dashboard works for both: dots
become underscores, `_seconds` is added for the unit and `_total` for counters.

    gen_ai.client.operation.duration    gen_ai_client_operation_duration_seconds
    llmgate.requests                    llmgate_requests_total

With several worker processes (gunicorn, uvicorn --workers) each counts for itself, and a scrape reaches one of them.
With PROMETHEUS_MULTIPROC_DIR set before the processes start, they count in files of that directory, and every scrape
shows the sum (https://prometheus.github.io/client_python/multiprocess/).
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from asgi_llmgate._types import Receive, Scope, Send
from asgi_llmgate.asgi import refuse, refuse_other, respond, run_lifespan
from asgi_llmgate.errors import MethodNotAllowed, SettingsError
from asgi_llmgate.extras import needs_extra
from asgi_llmgate.request_headers import read_headers
from asgi_llmgate.usage.measurements import Measurements
from asgi_llmgate.usage.metrics import Metric
from asgi_llmgate.usage.record import UsageRecord

with needs_extra("prometheus", "Prometheus"):
    from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram
    from prometheus_client.exposition import choose_encoder
    from prometheus_client.multiprocess import MultiProcessCollector

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable that prometheus-client reads at import."""

# A registry takes each metric once.  A second gateway with the same registry uses the metrics of the first.
_registering = threading.Lock()
_registered: WeakKeyDictionary[CollectorRegistry, tuple[tuple[str, ...], dict[str, Any]]] = WeakKeyDictionary()


class Prometheus:
    """A sink that counts in a registry: by default the global one, which a host's own /metrics may already show.

    `models`, `labels` and `fields` are those of Measurements.  Several gateways may count in one registry.  Raises
    SettingsError if they have different `labels`, and for labels that Prometheus cannot have.
    """

    def __init__(
        self,
        *,
        models: Collection[str] | None = None,
        labels: Sequence[str] = (),
        fields: Collection[str] | None = None,
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        self._measurements = Measurements(models=models, labels=labels, fields=fields)
        _check_labels(labels, self._measurements.metrics)
        self._labels = {metric.name: metric.labels for metric in self._measurements.metrics}
        self._children: dict[tuple[Any, ...], Any] = {}
        with _registering:
            if registry not in _registered:
                _registered[registry] = tuple(labels), _register(self._measurements.metrics, registry)
            known, self._metrics = _registered[registry]
        if known != tuple(labels):
            raise SettingsError(
                "another gateway in this process uses the same registry with other labels",
                path="labels",
                hint="give all gateways of a process the same labels",
            )

    def emit(self, record: UsageRecord) -> None:
        """Count the metrics of this record."""
        for metric, value, labels in self._measurements.of(record):
            child = self._child(metric.name, labels)
            (child.observe if metric.buckets else child.inc)(value)

    def count(self, counter: str, labels: Mapping[str, str | int]) -> None:
        """Count one more in the counter of this name."""
        self._child(counter, labels).inc()

    def _child(self, name: str, labels: Mapping[str, str | int]) -> Any:
        # prometheus-client looks at each label of each value under a lock, which costs more than the counting.  There
        # are as few children as combinations of labels, which are bounded (measurements.py).
        key = (name, *labels.items())
        child = self._children.get(key)
        if child is None:
            # prometheus-client wants a value for every label; an absent one is an empty text there.
            values = [labels.get(label, "") for label in self._labels[name]]
            child = self._children[key] = self._metrics[name].labels(*values)
        return child


class PrometheusApp:
    """An ASGI app that shows a registry, to be mounted: `mount(app, "/metrics", PrometheusApp())`.

    It checks no credentials; restrict access by the network, or by a layer in front of it.  Raises SettingsError if
    PROMETHEUS_MULTIPROC_DIR is not a directory.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        if DIRECTORY in os.environ:
            registry = CollectorRegistry()
            try:
                MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
            except ValueError:
                raise SettingsError(f"{DIRECTORY}: no such directory: {os.environ[DIRECTORY]}") from None
        self._registry = registry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await run_lifespan(self, scope, receive, send)
            return
        if scope["type"] != "http":
            await refuse_other(scope, send)
            return
        method = scope["method"]
        if method not in ("GET", "HEAD"):
            await refuse(scope, receive, send, MethodNotAllowed("GET, HEAD"))
            return
        # In a thread, because reading the files of many workers takes many milliseconds while streams are open.
        # prometheus-client's own ASGI app does it in the event loop, and its header names are not valid in HTTP/2.
        write, kind = choose_encoder(read_headers(scope).get("accept", ""))
        body = await asyncio.to_thread(write, self._registry)
        headers = [(b"content-type", kind.encode("ascii")), (b"cache-control", b"no-store")]
        await respond(send, 200, headers, body, head=method == "HEAD")

    async def startup(self) -> None:
        """Nothing to open."""

    async def shutdown(self) -> None:
        """Nothing to close."""


def metric_name(metric: Metric) -> str:
    """The name in Prometheus, without `_total`, which prometheus-client adds."""
    return label_name(metric.name) + ("_seconds" if metric.unit == "s" else "")


def label_name(name: str) -> str:
    """The name of a label in Prometheus."""
    return name.replace(".", "_").replace("-", "_")


def _check_labels(labels: Sequence[str], metrics: Sequence[Metric]) -> None:
    # "le" is the label of a histogram's buckets; names with two underscores in front are reserved.
    taken = {"le", *(label_name(label) for metric in metrics for label in metric.labels if label not in labels)}
    for index, label in enumerate(labels):
        name = label_name(label)
        if name in taken or name.startswith("__"):
            raise SettingsError(
                f"{name!r} cannot be a further label in Prometheus: it is reserved or in use", path=f"labels[{index}]"
            )
        taken.add(name)


def _register(metrics: Sequence[Metric], registry: CollectorRegistry) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for metric in metrics:
        common: dict[str, Any] = {"labelnames": tuple(map(label_name, metric.labels)), "registry": registry}
        name = metric_name(metric)
        if metric.buckets:
            made[metric.name] = Histogram(name, metric.description, buckets=metric.buckets, **common)
        else:
            made[metric.name] = Counter(name, metric.description, **common)
    return made
