"""Nothing of a prompt is in a log, record, ledger, page, span or metric, though the model server quotes all of it.

The caller's own answer may quote the caller.  Names of tools, the model, the session and the user agent may appear.
"""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry, generate_latest

from asgi_llmgate import AccessLog, Backend, Gateway, ModelRow, ModelTable, TranslationApp, UsageMiddleware
from asgi_llmgate.net import HTTPClient
from asgi_llmgate.page import UsagePage
from asgi_llmgate.protocol.servers.dialects import DIALECTS
from asgi_llmgate.route import Route
from asgi_llmgate.routing.routes import ROUTES
from asgi_llmgate.testing.driver import call
from asgi_llmgate.usage.ledger import Database, Ledger
from asgi_llmgate.usage.otel import OpenTelemetry
from asgi_llmgate.usage.prometheus import Prometheus
from asgi_llmgate.usage.server_span import ServerSpan
from tests.helpers.quoting_servers import QUOTING, Asked

CANARY = "c4nary"
_FORMS = [CANARY, *(base64.b64encode(b"x" * pad + CANARY.encode() * 2)[4:12].decode() for pad in range(3))]


def planted(field: str) -> str:
    return f"{CANARY}-{field} is what nobody else may read"


SCHEMA = {
    "type": "object",
    "title": planted("title"),
    "properties": {planted("property"): {"type": "string", "description": planted("about"), "enum": [planted("enum")]}},
    "required": [planted("property")],
}
TOOL = {"name": "Read", "description": planted("tool"), "input_schema": SCHEMA}
IMAGE = {"type": "image", "source": {"type": "url", "url": f"https://img.test/{CANARY}-image"}}
DOCUMENT = {
    "type": "document",
    "title": planted("title of a document"),
    "context": planted("context"),
    "citations": {"enabled": True},
    "source": {"type": "text", "media_type": "text/plain", "data": planted("document")},
}
FOUND = [{"type": "text", "text": planted("found")}]
MESSAGES: list[dict[str, Any]] = [
    {"role": "user", "content": [{"type": "text", "text": planted("text")}, IMAGE, DOCUMENT]},
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": planted("thinking"), "signature": planted("signature")},
            {"type": "text", "text": planted("answer")},
            {"type": "tool_use", "id": f"{CANARY}-id", "name": "Read", "input": {planted("name"): planted("input")}},
        ],
    },
    {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": f"{CANARY}-id", "content": planted("result"), "is_error": True},
            {"type": "search_result", "title": planted("hit"), "source": "x", "content": FOUND},
            {"type": planted("kind"), "what": planted("unknown block")},
        ],
    },
]  # fmt: skip
CALL: dict[str, Any] = {
    "model": "openai",
    "max_tokens": 50,
    "temperature": 0.5,
    "system": [{"type": "text", "text": planted("system"), planted("unknown field"): 1}],
    "messages": MESSAGES,
    "tools": [TOOL],
    "tool_choice": {"type": "tool", "name": "Read", planted("choice"): True},
    "stop_sequences": [planted("stop")],
    "metadata": {"user_id": planted("user"), planted("unknown"): planted("metadata")},
    planted("unknown at the top"): planted("value at the top"),
}
FUNCTION = {"type": "function", "function": {"name": "Read", "description": planted("tool"), "parameters": SCHEMA}}
CHAT: dict[str, Any] = {
    "model": "openai",
    "max_tokens": 50,
    "messages": [
        {"role": "system", "content": planted("system")},
        {"role": "user", "content": [{"type": "text", "text": planted("text")}], "name": planted("user")},
    ],
    "tools": [FUNCTION],
    "stop": [planted("stop")],
    "user": planted("user"),
}
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "messages": ("/v1/messages", CALL),
    "messages, stream": ("/v1/messages", {**CALL, "stream": True}),
    "count_tokens, vLLM": ("/v1/messages/count_tokens", {**CALL, "model": "vllm"}),
    "count_tokens, llama.cpp": ("/v1/messages/count_tokens", {**CALL, "model": "llamacpp"}),
    "completions": ("/v1/chat/completions", CHAT),
    "completions, stream": ("/v1/chat/completions", {**CHAT, "stream": True}),
    "passthrough": ("/v1/embeddings", {"model": "openai", "input": [planted("text")], "user": planted("user")}),
    "native": ("/v1/messages", {**CALL, "model": "anthropic"}),
    "native, stream": ("/v1/messages", {**CALL, "model": "anthropic", "stream": True}),
    "native, count_tokens": ("/v1/messages/count_tokens", {**CALL, "model": "anthropic"}),
}


class Watched:
    """A gateway in front of a model server, and everything that it writes down."""

    def __init__(self, folder: Path, answer: Callable[[Asked], Any]) -> None:
        self.folder = folder
        self.answer = answer
        self.quoted = b""
        self.registry = CollectorRegistry()
        self.spans = InMemorySpanExporter()
        self.reader = InMemoryMetricReader()
        self.ledger = Ledger(f"sqlite:///{folder / 'ledger.db'}", journal=folder / "journal", linger=3600)
        self.logs = [AccessLog("json", folder / "json.log"), AccessLog("logfmt", folder / "logfmt.log")]
        self.app = self._gateway()

    def _gateway(self) -> Gateway:
        client = HTTPClient(transport=httpx.MockTransport(self._model))
        names = ("openai", "vllm", "llamacpp", "anthropic")
        backends = {name: Backend(base_url="http://model.test/v1", dialect=DIALECTS[name]) for name in names}
        table = ModelTable([ModelRow(name, (f"{name}/x",)) for name in names], {name: name for name in names})
        routes = {
            **ROUTES,
            "/v1/chat/completions": Route("completions"),
            "/v1/embeddings": Route("passthrough", "openai"),
        }
        tracer = TracerProvider(shutdown_on_exit=False)
        tracer.add_span_processor(SimpleSpanProcessor(self.spans))
        meter = MeterProvider([self.reader], shutdown_on_exit=False)
        telemetry = OpenTelemetry("both", tracer_provider=tracer, meter_provider=meter)
        sinks = [*self.logs, self.ledger, Prometheus(registry=self.registry), telemetry]
        return Gateway(
            backends=backends,
            models=table,
            routes=routes,
            client=client,
            endpoints=partial(TranslationApp, debug=True),
            usage=lambda app: ServerSpan(
                UsageMiddleware(app, sinks=sinks, tracing=telemetry),
                routes=routes,
                tracer_provider=tracer,
                meter_provider=meter,
            ),
        )

    def _model(self, request: httpx.Request) -> httpx.Response:
        said = self.answer(Asked(request.content))
        self.quoted += said.body
        headers = {name: value.encode("ascii", "replace") for name, value in said.headers.items()}
        return httpx.Response(said.status, headers=headers, stream=httpx.ByteStream(said.body))

    async def written(self) -> dict[str, str]:
        """By place."""
        self.ledger.drain()
        database = Database(f"sqlite:///{self.folder / 'ledger.db'}")
        page = UsagePage(database, page_auth=lambda scope: {"role": "admin"})
        found = {
            f"page {path}": (await call(page, "GET", path, query="range=24h")).body.decode()
            for path in ("/", "/calls.csv")
        }
        database.close()
        found["spans"] = "".join(span.to_json() for span in self.spans.get_finished_spans())
        found["metrics"] = str(data.to_json()) if (data := self.reader.get_metrics_data()) else ""
        found["Prometheus"] = generate_latest(self.registry).decode()
        for log in self.logs:
            log.close()
        for file in self.folder.rglob("*"):
            if file.is_file():
                found[file.name] = file.read_bytes().decode("latin-1")
        return found

    async def close(self) -> None:
        await self.ledger.aclose()


@pytest.fixture
def watched(tmp_path: Path) -> Callable[..., Watched]:
    return partial(Watched, tmp_path)


@pytest.fixture(autouse=True)
def everything_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("asyncio").setLevel(logging.INFO)


def leaks(places: dict[str, str]) -> list[str]:
    """Where there is a piece of the prompt, with what stands around it."""
    found = []
    for place, text in places.items():
        low = text.lower()
        for form in _FORMS:
            at = low.find(form) if form == CANARY else text.find(form)
            if at >= 0:
                found.append(f"{place}: ...{text[max(0, at - 100) : at + 60]}...")
    return found


OFTEN = {"messages", "messages, stream", "count_tokens, vLLM", "completions", "native"}


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind in OFTEN else pytest.mark.soak) for kind in CALLS]
)
async def test_what_a_model_server_quotes_is_written_nowhere(
    kind: str, watched: Any, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    path, body = CALLS[kind]
    gate, statuses = watched(QUOTING["Ollama"]), set()
    for number, gate.answer in enumerate(QUOTING.values()):
        statuses.add(
            (await call(gate.app, "POST", path, json=body, headers={"user-agent": f"wording {number}"})).status
        )
    places = await gate.written()
    await gate.close()
    out, err = capfd.readouterr()
    assert CANARY.encode() in gate.quoted
    assert len(statuses) > 1 or "count_tokens" in kind
    assert places["json.log"].count("\n") == places["logfmt.log"].count("\n") == len(QUOTING)
    assert places["page /calls.csv"].count("\n") > len(QUOTING)
    assert leaks({**places, "log": caplog.text, "stdout": out, "stderr": err}) == []


def test_every_field_is_quoted() -> None:
    """The wordings would prove nothing if the prompt did not reach them."""
    sent = json.dumps([CALL, CHAT])
    assert sent.count(CANARY) >= 30
    assert len(QUOTING) >= 60
    for name, quote in QUOTING.items():
        said = quote(Asked(json.dumps(CALL).encode()))
        assert (
            name == "compressed"
            or name in ("escaped", "in base64")
            or CANARY.encode() in said.body + str(said.headers).encode()
        ), name


REPEATED = json.dumps(CALL).encode()
MALFORMED: dict[str, bytes | dict[str, Any]] = {
    "a name twice": b'{"c4nary plan":1,"c4nary plan":2,"model":"openai"}',
    "a name twice, within": b'{"model":"openai","max_tokens":1,"messages":[{"role":"user","content":[{"type":"text",'
    b'"text":"a","c4nary plan":1,"c4nary plan":2}]}]}',
    "a name twice, in another case": b'{"model":"openai","c4nary plan":1,"C4nary Plan":2}',
    "a name twice in a tool": b'{"model":"openai","tools":[{"name":"a","c4nary plan":1,"C4nary Plan":2}]}',
    "a name twice in a map of the user's": b'{"model":"openai","metadata":{"c4nary plan":1,"c4nary plan":2}}',
    "a role": {**CALL, "messages": [{"role": planted("role"), "content": "a"}]},
    "a content": {**CALL, "messages": [{"role": "user", "content": {planted("content"): 1}}]},
    "a result without a call": {**CALL, "messages": MESSAGES[2:]},
    "a call without a result": {**CALL, "messages": MESSAGES[:2]},
    "a call twice": {**CALL, "messages": [MESSAGES[0], MESSAGES[1], MESSAGES[2], MESSAGES[1], MESSAGES[2]]},
    "two results": {**CALL, "messages": [*MESSAGES[:2], {"role": "user", "content": [MESSAGES[2]["content"][0]] * 2}]},
    "a stream": {**CALL, "stream": planted("stream")},
    "a number": {**CALL, "max_tokens": planted("number")},
    "a temperature": {**CALL, "temperature": planted("temperature")},
    "a tool": {**CALL, "tools": [planted("tool")]},
    "a tool without a name": {**CALL, "tools": [{"description": planted("tool")}]},
    "a schema": {**CALL, "tools": [{**TOOL, "input_schema": planted("schema")}]},
    "a choice": {**CALL, "tool_choice": planted("choice")},
    "a choice of nothing": {**CALL, "tool_choice": {"type": planted("choice")}},
    "a source": {**CALL, "messages": [{"role": "user", "content": [{"type": "image", "source": planted("source")}]}]},
    "a kind of source": {
        **CALL,
        "messages": [{"role": "user", "content": [{"type": "image", "source": {"type": planted("s")}}]}],
    },
    "a block": {**CALL, "messages": [{"role": "user", "content": [planted("block")]}]},
    "a kind of block": {**CALL, "messages": [{"role": "user", "content": [{"type": [planted("kind")]}]}]},
    "a system": {**CALL, "system": {planted("system"): 1}},
    "metadata": {**CALL, "metadata": planted("metadata")},
    "stop sequences": {**CALL, "stop_sequences": {planted("stop"): 1}},
    "thinking": {**CALL, "thinking": {"type": planted("thinking")}},
    "no JSON": b'{"model":"openai","c4nary plan" no',
    "no UTF-8": b'{"model":"openai","c4nary":"\xff c4nary"}',
    "no object": b'["c4nary"]',
    "cut off": REPEATED[:900],
    "a thread": {**CALL, "thread": {"id": planted("thread")}},
    "a file": {
        **CALL,
        "messages": [
            {"role": "user", "content": [{"type": "document", "source": {"type": "file", "file_id": planted("f")}}]}
        ],
    },
}


@pytest.mark.parametrize(
    "path",
    [
        "/v1/messages",
        "/v1/chat/completions",
        pytest.param("/v1/messages/count_tokens", marks=pytest.mark.soak),
        pytest.param("/v1/embeddings", marks=pytest.mark.soak),
    ],
)
async def test_what_we_refuse_ourselves_is_written_nowhere(
    path: str, watched: Any, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    gate, statuses = watched(QUOTING["OpenAI, a value"]), set()
    for number, body in enumerate(MALFORMED.values()):
        for model in ("openai", "anthropic"):
            content = body if isinstance(body, bytes) else json.dumps({**body, "model": model}).encode()
            headers = {"content-type": "application/json", "user-agent": f"mistake {number}"}
            statuses.add((await call(gate.app, "POST", path, content=content, headers=headers)).status)
    places = await gate.written()
    await gate.close()
    out, err = capfd.readouterr()
    assert statuses <= {200, 400, 404, 502}
    assert places["json.log"].count("\n") == 2 * len(MALFORMED)
    assert leaks({**places, "log": caplog.text, "stdout": out, "stderr": err}) == []
