"""Runners for the page on logs, traces and metrics."""

from __future__ import annotations

import json
import logging
import re
from typing import Any

import httpx
import yaml

from asgi_llmgate import Exchange
from asgi_llmgate.testing.driver import call, http_scope
from asgi_llmgate.testing.serving import serving
from asgi_llmgate.usage import AccessLog, UsageRecord
from asgi_llmgate.usage.access_log import LOGGER
from tests.docs.code_blocks import NAMED
from tests.docs.lab_folder import ASK, Place, Runners
from tests.helpers.otlp_collector import Collector
from tests.helpers.server_processes import served, uvicorn

RUNNERS = Runners()


@RUNNERS.runs("access log")
async def a_log_of_its_own(text: str, place: Place) -> None:
    assert await place.ask(place.settings(**yaml.safe_load(text))) == 200
    (line,) = (place.folder / "access.log").read_text().splitlines()
    record = json.loads(line)
    assert (record["org"], record["team"], record["outcome"]) == ("acme", "data-platform", "ok")


@RUNNERS.runs("observe structlog")
def a_processor_for_structlog(text: str, place: Place) -> None:
    """Called as structlog's ProcessorFormatter does: with the message, and with the record's extra values."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    made: dict[str, Any] = {}
    exec(text, made)
    logger = logging.getLogger(LOGGER)
    logger.addHandler(handler)
    try:
        _, exchange = Exchange.enter(http_scope("POST", "/v1/messages"))
        AccessLog().emit(UsageRecord.of(exchange, {}, None))
    finally:
        logger.removeHandler(handler)
    (record,) = records
    values = vars(record)["llmgate"]
    event = made["llmgate_values"](None, "info", {"event": record.getMessage(), "level": "info", "llmgate": values})
    assert event == {"level": "info", **values, "event": "llm call"}
    assert made["llmgate_values"](None, "info", {"event": "theirs"}) == {"event": "theirs"}


def ask_the_lab(place: Place, url: str) -> None:
    headers = {"authorization": f"Bearer {place.idp.mint()}"}
    assert httpx.post(url + "/llm/v1/messages", json=ASK, headers=headers, timeout=60).status_code == 200


@RUNNERS.runs("logging config")
def the_hosts_logging_has_the_lines(text: str, place: Place) -> None:
    (place.folder / "logging.yaml").write_text(text)
    with served(uvicorn("app:app", "--log-config", "logging.yaml"), place.folder) as (url, _):
        ask_the_lab(place, url)
    (line,) = (place.folder / "llm-access.log").read_text().splitlines()
    assert json.loads(line)["outcome"] == "ok"
    assert json.loads(line)["request_id"] not in (place.folder / "output.txt").read_text()
    assert "uvicorn.error" in (place.folder / "output.txt").read_text()


@RUNNERS.runs("otel settings")
async def opentelemetry_by_setting(text: str, place: Place) -> None:
    assert await place.ask(place.settings(**yaml.safe_load(text))) == 200


@RUNNERS.runs("otel host")
def a_host_that_sends_to_a_collector(text: str, place: Place) -> None:
    (place.folder / "hosted.py").write_text(text)
    (place.folder / "llmgate.yaml").write_text(yaml.safe_dump(place.settings(usage={"otel": True})))
    collector = Collector()
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": place.stack.enter_context(serving(collector))}
    with served(uvicorn("hosted:app"), place.folder, **endpoint) as (url, _):
        ask_the_lab(place, url)
    spans, metrics = collector.wait()
    assert [span.name for span in spans] == ["chat gpt-4o-mini", "POST /llm/v1/messages"]
    assert metrics["llmgate.requests"][0].value == 1


@RUNNERS.runs("otel by hand")
async def layers_composed_by_hand(text: str, place: Place) -> None:
    made: dict[str, Any] = {}
    exec(text, made)
    app = made["observed"](place.model)
    assert (await call(app, "GET", "/v1/models", headers={"authorization": "Bearer sk-lab"})).status == 200


@RUNNERS.runs("prometheus settings")
async def prometheus_by_setting(text: str, place: Place) -> None:
    assert await place.ask(place.settings(**yaml.safe_load(text))) == 200


def scraped(place: Place, url: str) -> str:
    ask_the_lab(place, url)
    return httpx.get(url + "/metrics", timeout=60).text


@RUNNERS.runs("prometheus host")
def a_host_that_is_scraped(text: str, place: Place) -> None:
    (place.folder / "hosted.py").write_text(text)
    (place.folder / "llmgate.yaml").write_text(yaml.safe_dump(place.settings(usage={"prometheus": True})))
    with served(uvicorn("hosted:app"), place.folder) as (url, _):
        assert 'gen_ai_client_token_usage_count{gen_ai_operation_name="chat"' in scraped(place, url)


@RUNNERS.runs("prometheus gunicorn")
def workers_that_are_scraped_together(text: str, place: Place) -> None:
    few = text.replace("workers = 4", "workers = 2")
    assert few != text
    (place.folder / "gunicorn.conf.py").write_text(few)
    (place.folder / "hosted.py").write_text(NAMED["prometheus host"].text)
    (place.folder / "llmgate.yaml").write_text(yaml.safe_dump(place.settings(usage={"prometheus": True})))
    counters = place.folder / "counters"
    counters.mkdir()
    command = ["-m", "gunicorn", "hosted:app", "--bind", "fd://{fd}", "--no-control-socket"]
    with served(command, place.folder, PROMETHEUS_MULTIPROC_DIR=str(counters)) as (url, _):
        counts = [re.search(r"^llmgate_requests_total.* (\d+)", scraped(place, url), re.MULTILINE) for _ in range(8)]
    assert [float(count[1]) for count in counts if count] == [1, 2, 3, 4, 5, 6, 7, 8]
