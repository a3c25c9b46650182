"""Prometheus: what a scrape shows, in one process and under gunicorn's several."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY, CollectorRegistry, Counter
from prometheus_client.parser import text_string_to_metric_families

from asgi_llmgate import mount
from asgi_llmgate.errors import SettingsError
from asgi_llmgate.testing.driver import call
from asgi_llmgate.testing.model_script import say
from asgi_llmgate.usage import UsageRecord
from asgi_llmgate.usage.measurements import MAX_LABEL_VALUES, OTHER
from asgi_llmgate.usage.metrics import METRICS
from asgi_llmgate.usage.prometheus import Prometheus, PrometheusApp, metric_name
from tests.helpers.server_processes import Folder, gunicorn

ASK = {"model": "claude-opus-5-5", "max_tokens": 50, "messages": [{"role": "user", "content": "hello"}]}


def read(text: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Sample name -> labels, sorted, without `le` -> value."""
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if "le" not in sample.labels:
                labels = {name: value for name, value in sample.labels.items() if value}
                found.setdefault(sample.name, {})[tuple(sorted(labels.items()))] = sample.value
    return found


async def scrape(registry: CollectorRegistry) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    reply = await call(PrometheusApp(registry), "GET", "/")
    assert reply.status == 200
    return read(reply.body.decode())


CALL = (
    ("gen_ai_operation_name", "chat"),
    ("gen_ai_provider_name", "openai"),
    ("gen_ai_request_model", "gpt-4o-mini"),
    ("gen_ai_response_model", "gpt-4o-mini-2024-07-18"),
    ("llmgate_backend", "main"),
)


async def test_a_scrape_shows_what_records_say(full_exchange: Any) -> None:
    registry = CollectorRegistry()
    sink = Prometheus(registry=registry, models=["gpt-4o-mini"])
    record = UsageRecord.of(full_exchange())
    for _ in range(3):
        sink.emit(record)
    found = await scrape(registry)
    gate = (
        ("gen_ai_provider_name", "openai"), ("gen_ai_request_model", "gpt-4o-mini"),
        ("http_response_status_code", "200"), ("llmgate_outcome", "ok"),
    )  # fmt: skip
    assert found["llmgate_requests_total"] == {gate: 3}
    tokens = found["gen_ai_client_token_usage_sum"]
    assert tokens == {
        tuple(sorted((*CALL, ("gen_ai_token_type", "input")))): 51,
        tuple(sorted((*CALL, ("gen_ai_token_type", "output")))): 99,
    }
    assert found["gen_ai_server_request_duration_seconds_sum"] == {CALL: pytest.approx(3 * 2.776)}
    assert found["gen_ai_client_operation_duration_seconds_sum"] == {CALL: pytest.approx(3 * 2.766)}
    assert found["gen_ai_server_time_to_first_token_seconds_sum"] == {CALL: pytest.approx(3 * 0.412)}
    assert found["gen_ai_server_time_per_output_token_seconds_sum"] == {CALL: pytest.approx(3 * 2.364 / 32)}


def test_labels_are_looked_up_once(full_exchange: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sink, looked_up = Prometheus(registry=CollectorRegistry()), []
    labels = Counter.labels
    monkeypatch.setattr(Counter, "labels", lambda self, *values: looked_up.append(values) or labels(self, *values))
    for status in (200, 200, 201, 200):
        sink.emit(UsageRecord.of(full_exchange(status=status)))
    assert [values[2] for values in looked_up] == [200, 201]


async def test_unknown_values_are_not_counted(full_exchange: Any) -> None:
    registry = CollectorRegistry()
    sink = Prometheus(registry=registry)
    sink.emit(
        UsageRecord.of(full_exchange(usage=None, target=None, response=None, outcome="refused", reason="JwtAuth"))
    )
    found = await scrape(registry)
    assert {name for name, series in found.items() if series} == {
        "llmgate_requests_total", "llmgate_requests_created", "llmgate_denials_total", "llmgate_denials_created",
    }  # fmt: skip
    assert found["llmgate_denials_total"] == {(("llmgate_reason", "JwtAuth"),): 1}


async def test_a_price_is_counted_where_it_is_known(full_exchange: Any) -> None:
    registry = CollectorRegistry()
    sink = Prometheus(registry=registry)
    record = UsageRecord.of(full_exchange())
    sink.emit(record)
    assert "llmgate_cost_total" not in await scrape(registry)
    for cost in (0.25, 0.5):
        sink.emit(type(record)(**{**{n: getattr(record, n) for n in record.__struct_fields__}, "cost_usd": cost}))
    assert (await scrape(registry))["llmgate_cost_total"] == {CALL: 0.75}


async def test_label_values_are_bounded_whatever_callers_send(full_exchange: Any) -> None:
    registry = CollectorRegistry()
    sink = Prometheus(registry=registry, models=["gpt-4o-mini"], labels=["team"], fields=["team"])
    for number in range(MAX_LABEL_VALUES * 3):
        exchange = full_exchange(headers={"user-agent": f"agent {number}"})
        exchange.target = type(exchange.target)("main", "openai", f"model-{number}")
        exchange.response = type(exchange.response)(f"model-{number}", f"id-{number}", ("stop",))
        sink.emit(UsageRecord.of(exchange, {"team": lambda _, number=number: f"team-{number}"}))
    found = await scrape(registry)
    series = found["llmgate_requests_total"]
    assert len(series) == MAX_LABEL_VALUES + 1
    assert {dict(labels)["gen_ai_request_model"] for labels in series} == {OTHER}
    assert {dict(labels)["gen_ai_response_model"] for labels in found["gen_ai_client_token_usage_sum"]} == {OTHER}
    other = [value for labels, value in series.items() if dict(labels)["team"] == OTHER]
    assert other == [MAX_LABEL_VALUES * 2]


async def test_response_models_are_bounded_as_well(full_exchange: Any) -> None:
    registry = CollectorRegistry()
    sink = Prometheus(registry=registry, models=["gpt-4o-mini"])
    for number in range(MAX_LABEL_VALUES * 2):
        exchange = full_exchange()
        exchange.response = type(exchange.response)(f"dated-{number}", "id", ("stop",))
        sink.emit(UsageRecord.of(exchange))
    found = (await scrape(registry))["gen_ai_server_request_duration_seconds_count"]
    assert len(found) == MAX_LABEL_VALUES + 1


@pytest.mark.parametrize(
    ("models", "known"),
    [
        ([{"match": "claude-*", "use": "main/gpt-4o"}, {"match": "*", "use": "main"}], {"gpt-4o"}),
        ([{"match": "qw", "use": "main"}, {"match": "q*", "use": "main", "list": ["q1", "q2"]}], {"qw", "q1", "q2"}),
        ([{"match": "a", "use": ["main/b", "main/c"]}], {"b", "c"}),
    ],
)
async def test_models_are_those_of_the_table(gate: Any, models: Any, known: set[str]) -> None:
    registered = REGISTRY
    gateway, _ = gate(say("Hi.").always(), models=models, usage={"prometheus": True})
    before = read((await call(PrometheusApp(registered), "GET", "/")).body.decode())
    for name in (*known, "q-made-up", "claude-made-up"):
        await call(gateway, "POST", "/v1/messages", json={**ASK, "model": name})
    after = read((await call(PrometheusApp(registered), "GET", "/")).body.decode())
    changed = {
        dict(labels).get("gen_ai_request_model", "")
        for labels, value in after["llmgate_requests_total"].items()
        if value != before.get("llmgate_requests_total", {}).get(labels)
    }
    assert changed - {"", OTHER} <= known
    assert not changed & {"q-made-up", "claude-made-up"}


def test_two_gateways_of_a_process_count_together_and_must_agree_on_labels(full_exchange: Any) -> None:
    registry = CollectorRegistry()
    first, second = Prometheus(registry=registry), Prometheus(registry=registry)
    first.emit(UsageRecord.of(full_exchange()))
    second.emit(UsageRecord.of(full_exchange()))
    total = [sample.value for family in registry.collect() for sample in family.samples
             if sample.name == "llmgate_requests_total"]  # fmt: skip
    assert total == [2]
    with pytest.raises(SettingsError) as caught:
        Prometheus(registry=registry, labels=["team"], fields=["team"])
    assert str(caught.value) == (
        "labels: another gateway in this process uses the same registry with other labels "
        "(give all gateways of a process the same labels)"
    )


@pytest.mark.parametrize(
    ("labels", "place", "words"),
    [
        (["team", "le"], "labels[1]", "'le' cannot be a further label in Prometheus: it is reserved or in use"),
        (["__name"], "labels[0]", "'__name' cannot be a further label in Prometheus: it is reserved or in use"),
        (["a.b", "a-b"], "labels[1]", "'a_b' cannot be a further label in Prometheus: it is reserved or in use"),
        (
            ["llmgate_reason"],
            "labels[0]",
            "'llmgate_reason' cannot be a further label in Prometheus: it is reserved or in use",
        ),
        (["llmgate.reason"], "labels[0]", "the metrics have this label already"),
        (["status"], "labels[0]", "no field is named 'status'"),
        (["nobody"], "labels[0]", "no field is named 'nobody'"),
    ],
)
def test_labels_that_cannot_be_are_refused_before_anything_is_registered(
    labels: list[str], place: str, words: str
) -> None:
    registry = CollectorRegistry()
    with pytest.raises(SettingsError) as caught:
        Prometheus(registry=registry, labels=labels, fields={*labels} - {"nobody", "status"})
    assert (caught.value.path, caught.value.message) == (place, words)
    assert list(registry.collect()) == []


def test_a_registry_is_not_kept_alive() -> None:
    import weakref

    registry = CollectorRegistry()
    Prometheus(registry=registry)
    gone = weakref.ref(registry)
    del registry
    gc.collect()
    assert gone() is None


def test_names_are_those_of_opentelemetrys_exporter() -> None:
    assert [metric_name(metric) for metric in METRICS] == [
        "llmgate_requests",
        "llmgate_denials",
        "llmgate_safeguards_verdicts",
        "llmgate_webhook_attempts",
        "llmgate_cost",
        "gen_ai_client_token_usage",
        "gen_ai_client_operation_duration_seconds",
        "gen_ai_server_request_duration_seconds",
        "gen_ai_server_time_to_first_token_seconds",
        "gen_ai_server_time_per_output_token_seconds",
    ]


async def test_the_app_is_mounted_like_a_gateway_and_speaks_lifespan() -> None:
    async def host(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError(scope)

    assert (await call(mount(host, "/metrics", PrometheusApp()), "GET", "/metrics")).status == 200
    sent: list[str] = []
    messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await PrometheusApp()({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_the_app_serves_get_and_head_only() -> None:
    registry = CollectorRegistry()
    head = await call(PrometheusApp(registry), "HEAD", "/")
    assert (head.status, head.body) == (200, b"")
    assert (await call(PrometheusApp(registry), "POST", "/", content=b"x")).status == 405
    newer = await call(PrometheusApp(registry), "GET", "/", headers={"accept": "application/openmetrics-text"})
    assert newer.headers["content-type"].startswith("application/openmetrics-text")
    assert newer.body == b"# EOF\n"


def test_a_directory_that_is_not_there_is_named(monkeypatch: Any) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "/nowhere")
    with pytest.raises(SettingsError, match=r"^PROMETHEUS_MULTIPROC_DIR: no such directory: /nowhere$"):
        PrometheusApp()


def test_under_gunicorn_every_scrape_sees_all_workers(folder: Any, tmp_path: Path) -> None:
    place: Folder = folder()
    counters = tmp_path / "counters"
    counters.mkdir()
    place.write(
        "hosted.py",
        """
        import os
        from asgi_llmgate import mount
        from asgi_llmgate.usage.prometheus import PrometheusApp
        from gateway import gateway, home

        async def pid(scope, receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": str(os.getpid()).encode()})

        app = mount(mount(pid, "/metrics", PrometheusApp()), "/llm", gateway)
        """,
    )
    place.settings(usage={"prometheus": True, "access_log": {"file": "access.log"}})
    environment = {"PROMETHEUS_MULTIPROC_DIR": str(counters)}
    with place.serve(gunicorn("hosted:app", workers=2), **environment) as url:
        workers = set()
        for _ in range(40):
            with httpx.Client(timeout=30) as client:  # a connection each: the kernel chooses the worker
                assert client.post(url + "/llm/v1/messages", json=ASK).status_code == 200
                workers.add(client.get(url + "/").text)
        scrapes = [read(httpx.get(url + "/metrics", timeout=30).text) for _ in range(6)]
    assert [sum(each["llmgate_requests_total"].values()) for each in scrapes] == [40] * 6
    assert [sum(each["gen_ai_client_operation_duration_seconds_count"].values()) for each in scrapes] == [40] * 6
    assert len(list(counters.glob("counter_*.db"))) == len(workers)
    assert len(place.model.requests) == 40
