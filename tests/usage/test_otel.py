"""OpenTelemetry as a receiver sees it: the SDK's own exporter, over HTTP, to a collector that decodes what comes."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import httpx
import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from asgi_llmgate import mount
from asgi_llmgate.errors import SettingsError
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.exchange_values import Attempt, Target, ToolUse, Verdict
from asgi_llmgate.testing.driver import Driver, call
from asgi_llmgate.testing.model_script import raw, refuse, say
from asgi_llmgate.usage import UsageMiddleware
from asgi_llmgate.usage.metrics import LATEST, METRICS
from asgi_llmgate.usage.otel import OpenTelemetry
from asgi_llmgate.usage.server_span import ServerSpan
from tests.helpers.otlp_collector import Collector, Span

OTEL: dict[str, Any] = {"usage": {"otel": {}}}
SECRET = "sk-very-secret"


def asking(**more: Any) -> dict[str, Any]:
    return {
        "model": "claude-opus-5-5",
        "max_tokens": 200,
        "messages": [{"role": "user", "content": "the secret prompt"}],
        **more,
    }


async def ask(app: Any, path: str = "/v1/messages", *, query: str = "", headers: Any = (), **body: Any) -> Any:
    return await call(app, "POST", path, json=asking(**body), query=query, headers=headers)


def pair(collector: Collector) -> tuple[Span, Span]:
    """The client span, which ends first, and the server span; there are no others."""
    client, server = collector.spans()
    assert (client.kind, server.kind) == ("CLIENT", "SERVER")
    assert (client.trace, client.parent) == (server.trace, server.id)
    return client, server


USED = {"prompt_tokens": 40, "completion_tokens": 9, "prompt_tokens_details": {"cached_tokens": 30},
        "completion_tokens_details": {"reasoning_tokens": 4}}  # fmt: skip


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
async def test_a_call_is_a_server_span_and_a_client_span_in_it(gate: Any, collector: Collector, stream: bool) -> None:
    gateway, model = gate(say("one two three four five six seven eight nine ten"), **OTEL)
    app = mount(None, "/llm", gateway)  # type: ignore[arg-type]
    headers = {"x-claude-code-session-id": "7c1d", "x-claude-code-agent-id": "a-1"}
    reply = await ask(app, "/llm/v1/messages", stream=stream, temperature=0.5, headers=headers)
    client, server = pair(collector)

    assert server.name == "POST /llm/v1/messages"
    assert server.attributes["http.route"] == "/llm/v1/messages"
    assert server.attributes["http.status_code"] == 200
    assert {name: value for name, value in server.attributes.items() if name.startswith("llmgate")} == {
        "llmgate.request_id": reply.headers["request-id"],
        "llmgate.outcome": "ok",
        "llmgate.client.model": "claude-opus-5-5",
    }

    assert client.name == "chat gpt-4o-mini"
    first = client.attributes.pop("gen_ai.response.time_to_first_chunk", None)
    assert (first is not None and 0 <= first < 60) == stream
    port = client.attributes.pop("server.port")
    assert model.requests[0].headers["host"] == f"127.0.0.1:{port}"
    streamed = {"gen_ai.request.stream": True} if stream else {}
    assert client.attributes == streamed | {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "vllm",
        "gen_ai.request.model": "gpt-4o-mini",
        "server.address": "127.0.0.1",
        "llmgate.backend": "main",
        "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
        "gen_ai.response.id": "chatcmpl-000001",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.request.max_tokens": 200,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 10,
        "gen_ai.conversation.id": "7c1d",
        "gen_ai.agent.id": "a-1",
        "llmgate.client.model": "claude-opus-5-5",
        "llmgate.attempts": 1,
    }
    assert not client.error
    assert not server.error


async def test_the_model_server_gets_the_client_span_as_parent_and_nothing_else(
    gate: Any, collector: Collector
) -> None:
    gateway, model = gate(say("Hi."), **OTEL)
    incoming = {"traceparent": "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01", "baggage": "user=alice"}
    token = context.attach(baggage.set_baggage("user", "alice"))
    try:
        await ask(gateway, headers=incoming)
    finally:
        context.detach(token)
    client, server = pair(collector)
    assert (server.trace, server.parent) == ("ab" * 16, "cd" * 8)
    assert model.requests[0].headers["traceparent"] == f"00-{client.trace}-{client.id}-01"
    assert "baggage" not in model.requests[0].headers


async def test_without_traceparent_the_model_server_gets_no_trace(gate: Any, collector: Collector) -> None:
    gateway, model = gate(say("Hi."), usage={"otel": {"traceparent": False}})
    await ask(gateway)
    assert len(pair(collector)) == 2
    assert "traceparent" not in model.requests[0].headers


async def test_without_the_setting_there_is_nothing(gate: Any, collector: Collector) -> None:
    gateway, model = gate(say("Hi."))
    await ask(gateway)
    assert collector.spans() == []
    assert "traceparent" not in model.requests[0].headers


async def test_the_log_line_names_the_server_span(gate: Any, collector: Collector, caplog: Any) -> None:
    gateway, _ = gate(say("Hi."), **OTEL)
    await ask(gateway, stream=True)
    _, server = pair(collector)
    (entry,) = [entry for entry in caplog.records if entry.name == "llmgate.access"]
    assert (entry.llmgate["trace_id"], entry.llmgate["span_id"]) == (server.trace, server.id)


async def test_cached_and_reasoning_tokens_are_on_the_span_streamed_or_not(gate: Any, collector: Collector) -> None:
    head = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
    message = {"role": "assistant", "content": "Hi."}
    whole = {**head, "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": USED}
    chunk = {**head, "choices": [{"index": 0, "delta": message, "finish_reason": "stop"}]}
    events = [chunk, {**head, "choices": [], "usage": USED}]
    lines = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    gateway, _ = gate(
        raw(json.dumps(whole).encode(), content_type="application/json"), raw(lines.encode()), **OTEL
    )  # fmt: skip
    await ask(gateway)
    await ask(gateway, stream=True)
    spans = [span for span in collector.spans() if span.kind == "CLIENT"]
    used = [{name: value for name, value in span.attributes.items() if "usage" in name} for span in spans]
    assert (
        used
        == [
            {
                "gen_ai.usage.input_tokens": 40,
                "gen_ai.usage.output_tokens": 9,
                "gen_ai.usage.cache_read.input_tokens": 30,
                "gen_ai.usage.reasoning.output_tokens": 4,
            }
        ]
        * 2
    )


@pytest.mark.parametrize("everything", [False, True], ids=["ours", "all headers captured"])
async def test_no_secret_reaches_a_span(gate: Any, collector: Collector, monkeypatch: Any, everything: bool) -> None:
    if everything:
        monkeypatch.setenv("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST", ".*")
        monkeypatch.setenv("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SANITIZE_FIELDS", "x-own")
    gateway, _ = gate(say("the secret answer"), refuse(400, SECRET), **OTEL)
    headers = {"authorization": f"Bearer {SECRET}", "cookie": f"s={SECRET}", "x-api-key": SECRET, "x-own": SECRET}
    for _ in range(2):
        await ask(gateway, query=f"beta=true&credential={SECRET}", headers=headers)
    text = "".join(span.text for span in collector.spans())
    assert ("http.request.header" in text) == everything
    for word in (SECRET, "credential", "secret prompt", "secret answer"):
        assert word not in text


async def test_the_app_gets_the_query_string_that_the_span_does_not_and_bytes_that_are_no_text_do_no_harm(
    collector: Collector,
) -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["query_string"])
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    assert (await call(ServerSpan(app), scope={"query_string": b"beta=\xff"})).status == 204
    assert seen == [b"beta=\xff"]
    assert len(collector.spans()) == 1


async def test_what_the_app_raises_ends_the_span_without_its_message(collector: Collector) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ValueError(SECRET)

    telemetry = OpenTelemetry()
    layer = ServerSpan(UsageMiddleware(app, sinks=[telemetry], tracing=telemetry))
    with pytest.raises(ValueError, match=SECRET):
        await call(layer)
    (span,) = collector.spans()
    assert SECRET not in span.text
    assert span.error
    assert (span.attributes["llmgate.outcome"], span.attributes["error.type"]) == ("error", "InternalError")


async def test_a_host_that_is_instrumented_has_the_only_server_span(gate: Any, collector: Collector) -> None:
    gateway, _ = gate(say("Hi."), **OTEL)
    host = OpenTelemetryMiddleware(mount(None, "/llm", gateway), exclude_spans=["receive", "send"])  # type: ignore[arg-type]
    await ask(host, "/llm/v1/messages", stream=True)
    _, server = pair(collector)
    assert server.attributes["llmgate.outcome"] == "ok"


async def test_a_span_of_the_host_may_be_the_only_one_by_setting(gate: Any, collector: Collector) -> None:
    gateway, _ = gate(say("Hi."), usage={"otel": {"server_span": False}})
    await ask(gateway)
    (client,) = collector.spans()
    assert (client.kind, client.parent) == ("CLIENT", "")


async def test_over_sockets_a_stream_is_two_spans(gate: Any, collector: Collector, serve: Any) -> None:
    gateway, _ = gate(say(" ".join(map(str, range(100)))), **OTEL)
    url = serve(gateway)
    async with httpx.AsyncClient() as client:
        answer = await client.post(url + "/v1/messages?beta=true", json=asking(stream=True), timeout=30)
    assert answer.text.count("content_block_delta") > 100
    pair(collector)


@pytest.mark.parametrize(
    ("path", "method", "name"),
    [
        ("/v1/messages", "POST", "POST /v1/messages"),
        ("/v1/messages/", "POST", "POST /v1/messages"),
        ("/v1/models", "GET", "GET /v1/models"),
        ("/v1/models/anything", "GET", "GET /v1/models/{id}"),
        ("/v1/models/of/some/one", "GET", "GET /v1/models/{id}"),
        ("/etc/passwd", "GET", "GET"),
        ("/v1/messages", "BREW", "HTTP /v1/messages"),
    ],
)
async def test_names_of_server_spans_are_few(
    gate: Any, collector: Collector, path: str, method: str, name: str
) -> None:
    gateway, _ = gate(say("Hi."), **OTEL)
    await call(gateway, method, path, content=b"{}")
    assert [span.name for span in collector.spans()] == [name]


async def test_calls_that_are_handed_on_are_traced_too(gate: Any, collector: Collector) -> None:
    routes = {"/v1/chat/completions": "completions", "/v1/embeddings": {"passthrough": "main"}}
    gateway, model = gate(say("Hi."), **OTEL, routes=routes)
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}
    assert (await call(gateway, "POST", "/v1/chat/completions", json=body)).status == 200
    client, server = pair(collector)
    assert (client.name, server.name) == ("chat gpt-4o-mini", "POST /v1/chat/completions")
    assert client.attributes["gen_ai.usage.output_tokens"] > 0
    collector.clear()
    body = {"model": "gpt-4o-mini", "input": "hello"}
    assert (await call(gateway, "POST", "/v1/embeddings", json=body)).status == 502  # the model server has none
    client, server = pair(collector)
    assert (client.name, server.name) == ("embeddings gpt-4o-mini", "POST /v1/embeddings")
    assert client.attributes["gen_ai.operation.name"] == "embeddings"
    assert (client.error, client.attributes["http.response.status_code"]) == (True, 404)
    assert model.requests[1].headers["traceparent"].split("-")[2] == client.id
    collector.clear()
    await call(gateway, "GET", "/v1/embeddings")
    client, _ = pair(collector)
    assert client.name == "embeddings"
    assert "gen_ai.request.model" not in client.attributes
    assert not any(
        "gen_ai.request.model" in point.attributes for points in collector.metrics().values() for point in points
    )


async def test_health_checks_are_no_spans(gate: Any, collector: Collector) -> None:
    gateway, _ = gate(**OTEL)
    assert (await call(gateway, "GET", "/healthz")).status == 200
    assert collector.spans() == []


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
async def test_a_failure_of_the_model_server_is_an_error_of_both(gate: Any, collector: Collector, stream: bool) -> None:
    gateway, _ = gate(refuse(429, "slow down"), **OTEL)
    assert (await ask(gateway, stream=stream)).status == 429
    client, server = pair(collector)
    assert client.error
    assert (client.attributes["error.type"], client.attributes["http.response.status_code"]) == ("Throttled", 429)
    assert server.attributes["llmgate.outcome"] == "upstream_error"
    assert server.attributes["error.type"] == "Throttled"


async def test_a_stream_that_breaks_off_is_an_error_although_its_status_is_200(gate: Any, collector: Collector) -> None:
    gateway, _ = gate(say("one two three four").cut(after=3), **OTEL)
    await ask(gateway, stream=True)
    client, server = pair(collector)
    assert (client.error, server.error) == (True, True)
    assert client.attributes["error.type"] == server.attributes["error.type"] == "Broken"
    assert client.attributes["llmgate.estimated"] is True


async def test_a_refused_connection_is_an_error_of_the_client_span(gate: Any, collector: Collector) -> None:
    backends = {"main": {"base_url": "http://127.0.0.1:1/v1"}}
    gateway, _ = gate(**OTEL, backends=backends)
    await ask(gateway)
    client, _ = pair(collector)
    assert client.attributes["error.type"] == "ConnectionRefused"
    assert client.attributes["server.port"] == 1


async def test_a_call_that_is_made_again_in_other_words_is_two_client_spans(gate: Any, collector: Collector) -> None:
    complaint = "Unsupported parameter: 'stream_options' is not supported with this model."
    gateway, model = gate(refuse(400, complaint), say("Hi."), **OTEL)
    assert (await ask(gateway, stream=True)).status == 200
    first, second, server = collector.spans()
    assert [first.parent, second.parent] == [server.id] * 2
    assert (first.error, first.attributes["error.type"]) == (True, "RequestRejected")
    assert (second.error, second.attributes["llmgate.attempts"]) == (False, 2)
    sent = [request.headers["traceparent"].split("-")[2] for request in model.requests]
    assert sent == [first.id, second.id]


async def test_a_refusal_has_no_client_span(gate: Any, collector: Collector) -> None:
    rules = {"rules": [{"name": "none", "action": "deny", "when": "true"}]}
    gateway, _ = gate(**OTEL, policy=rules)
    assert (await ask(gateway)).status == 403
    (server,) = collector.spans()
    assert server.attributes["llmgate.reason"] == "Authorization"
    assert server.attributes["policy.rule"] == "none"
    assert not server.error  # a 4xx is the caller's


async def test_a_client_that_leaves_ends_both_spans(gate: Any, collector: Collector) -> None:
    gateway, model = gate(say("one two three").stall(after=2), **OTEL)
    async with Driver(gateway, "POST", "/v1/messages", json=asking(stream=True)) as client:
        await client.chunk()
        client.disconnect()
        await client.finish()
    assert await asyncio.to_thread(model.requests[0].gone.wait, 10)
    upstream, server = pair(collector)
    assert server.attributes["llmgate.outcome"] == "client_disconnect"
    assert upstream.attributes["error.type"] == "ClientGone"
    assert not upstream.error


async def test_a_cancelled_request_ends_both_spans(gate: Any, collector: Collector) -> None:
    gateway, _ = gate(say("one two three").stall(after=2), **OTEL)
    async with Driver(gateway, "POST", "/v1/messages", json=asking(stream=True)) as client:
        await client.chunk()
        await client.cancel()
    upstream, server = pair(collector)
    assert server.attributes["llmgate.outcome"] == "shutdown"
    assert upstream.error


async def test_no_span_is_kept_after_its_request(gate: Any, collector: Collector) -> None:
    telemetry = OpenTelemetry()
    exchange = Exchange(target=Target("main", "openai", "m"))
    with telemetry.call(exchange, ("h", 1)):
        pass
    assert len(telemetry._client_spans) == 1

    async def app(scope: Any, receive: Any, send: Any) -> None:
        with pytest.raises(ZeroDivisionError), Exchange.of(scope).tracing.call(exchange, ("h", 1)):
            raise ZeroDivisionError

    exchange.request_id = "other"
    await call(UsageMiddleware(app, sinks=[telemetry], tracing=telemetry), scope={"llmgate": exchange})
    assert "other" not in telemetry._client_spans


async def test_a_call_that_the_gateway_makes_itself_is_a_client_span_and_no_request(
    full_exchange: Any, collector: Collector
) -> None:
    telemetry = OpenTelemetry()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        further = Exchange.of(scope).further(full_exchange().call)
        further.target = Target("main", "openai", "judge")
        with further.tracing.call(further, ("h", 1)):
            pass
        further.settle("upstream_error", error_type="TimedOut")
        further.record(further)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    await call(ServerSpan(UsageMiddleware(app, sinks=[telemetry], tracing=telemetry)))
    client, server = collector.spans()
    assert client.attributes["llmgate.parent_request_id"] == server.attributes["llmgate.request_id"]
    assert client.attributes["error.type"] == "TimedOut"
    assert server.attributes["llmgate.outcome"] == "ok"
    assert not {"llmgate.parent_request_id", "error.type"} & set(server.attributes), "nothing of the gateway's own call"
    assert [point.value for point in collector.metrics()["llmgate.requests"]] == [1]


async def test_verdicts_are_events_of_the_call_that_they_are_about(full_exchange: Any, collector: Collector) -> None:
    telemetry = OpenTelemetry()
    verdict = Verdict(
        tool_use=ToolUse("toolu_1", "Bash", b'{"command": "rm"}'),
        outcome="flag",
        explanation="rm is dangerous",
        decided_by="rule",
        rule="no-rm",
    )

    async def app(scope: Any, receive: Any, send: Any) -> None:
        exchange = Exchange.of(scope)
        exchange.target = Target("main", "openai", "m")
        with exchange.tracing.call(exchange, ("h", 1)):
            exchange.verdicts = (verdict,)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    await call(UsageMiddleware(app, sinks=[telemetry], tracing=telemetry))
    (client,) = collector.spans()
    expected = {
        "gen_ai.evaluation.name": "dangerous_tool_use",
        "gen_ai.evaluation.score.label": "flag",
        "gen_ai.tool.name": "Bash",
        "gen_ai.tool.call.id": "toolu_1",
        "llmgate.safeguards.decided_by": "rule",
        "llmgate.safeguards.rule": "no-rm",
    }
    assert client.events == [("gen_ai.evaluation.result", expected)]
    assert "is dangerous" not in client.text


async def test_the_chosen_fields_are_on_the_server_span_and_labels_of_metrics(gate: Any, collector: Collector) -> None:
    usage = {"fields": {"team": "request.headers['x-team']"}, "otel": {"labels": ["team"]}}
    gateway, _ = gate(say("Hi."), usage=usage)
    await ask(gateway, headers={"x-team": "data"})
    assert pair(collector)[1].attributes["team"] == "data"
    for points in collector.metrics().values():
        assert {point.attributes["team"] for point in points} == {"data"}


async def test_the_metrics_and_their_boundaries(gate: Any, collector: Collector) -> None:
    gateway, _ = gate(say("one two three four five"), **OTEL)
    await ask(gateway, stream=True)
    found = collector.metrics()
    call = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "vllm",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
        "llmgate.backend": "main",
    }
    assert {name: [point.attributes for point in points] for name, points in found.items()} == {
        "llmgate.requests": [
            {
                "llmgate.outcome": "ok",
                "http.response.status_code": 200,
                "gen_ai.provider.name": "vllm",
                "gen_ai.request.model": "gpt-4o-mini",
            }
        ],
        "gen_ai.client.token.usage": [
            {**call, "gen_ai.token.type": "input"},
            {**call, "gen_ai.token.type": "output"},
        ],
        "gen_ai.client.operation.duration": [call],
        "gen_ai.server.request.duration": [call],
        "gen_ai.server.time_to_first_token": [call],
        "gen_ai.server.time_per_output_token": [call],
    }
    assert [point.value for point in found["gen_ai.client.token.usage"]] == [10, 5]
    known = {metric.name: metric for metric in METRICS}
    for name, points in found.items():
        assert {point.unit for point in points} == {known[name].unit}
        assert {point.buckets for point in points} == {known[name].buckets}
        assert all(point.count == 1 and 0 <= point.value < 300 for point in points if point.buckets)


def test_the_boundaries_are_those_of_the_conventions() -> None:
    """https://github.com/open-telemetry/semantic-conventions/blob/v1.41.1/docs/gen-ai/gen-ai-metrics.md"""
    seconds = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
    tokens = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
    first = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
    each = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
    assert {metric.name: metric.buckets for metric in METRICS if metric.buckets} == {
        "gen_ai.client.token.usage": tokens,
        "gen_ai.client.operation.duration": seconds,
        "gen_ai.server.request.duration": seconds,
        "gen_ai.server.time_to_first_token": first,
        "gen_ai.server.time_per_output_token": each,
    }


async def test_denials_are_counted_by_reason(gate: Any, collector: Collector) -> None:
    rules = {"rules": [{"name": "none", "action": "deny", "when": "llm.requestModel != ''"}]}
    gateway, _ = gate(**OTEL, policy=rules)
    for _ in range(3):
        await ask(gateway)
    await call(gateway, "POST", "/v1/messages", content=b"{")
    found = collector.metrics()
    assert found.keys() == {"llmgate.requests", "llmgate.denials"}
    denials = {point.attributes["llmgate.reason"]: point.value for point in found["llmgate.denials"]}
    assert denials == {"Authorization": 3, "InvalidRequest": 1}


NEW = {metric.name for metric in LATEST}
OLD = {metric.name for metric in METRICS}


@pytest.mark.parametrize(
    ("semconv", "names", "attributes"),
    [
        ("1.41", OLD, {"cache_creation"}),
        ("latest", NEW, {"cache_write"}),
        ("both", OLD | NEW, {"cache_creation", "cache_write"}),
    ],
)
async def test_the_conventions_are_chosen(
    collector: Collector, full_exchange: Any, semconv: Any, names: set[str], attributes: set[str]
) -> None:
    telemetry = OpenTelemetry(semconv)
    told = full_exchange()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        exchange = Exchange.of(scope)
        for name in ("target", "usage", "response", "call"):
            setattr(exchange, name, getattr(told, name))
        with exchange.tracing.call(exchange, ("h", 1)):
            exchange.attempts = [Attempt(exchange.target, exchange.started)]
            exchange.first_token_at = exchange.started
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    await call(UsageMiddleware(app, sinks=[telemetry], tracing=telemetry))
    (client,) = collector.spans()
    assert {name.split(".")[2] for name in client.attributes if "cache_" in name} - {"cache_read"} == attributes
    found = collector.metrics()
    assert found.keys() == names - {
        "llmgate.denials",
        "llmgate.cost",
        "llmgate.safeguards.verdicts",
        "llmgate.webhook.attempts",
    }
    if semconv != "1.41":
        spent = {name: points[0].value for name, points in found.items() if ".inference.usage." in name}
        assert {re.sub(r".*\.usage\.", "", name): value for name, value in spent.items()} == {
            "input_tokens": 17,
            "output_tokens": 33,
            "cache_read.input_tokens": 5,
            "cache_write.input_tokens": 3,
            "reasoning.output_tokens": 2,
        }


async def test_a_trace_that_is_not_sampled_costs_nothing_and_harms_nothing(full_exchange: Any) -> None:
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    telemetry = OpenTelemetry(tracer_provider=provider)
    told, headers = full_exchange(), []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        exchange = Exchange.of(scope)
        exchange.target, exchange.call = told.target, told.call
        with exchange.tracing.call(exchange, ("h", 1)) as sent:
            headers.extend(sent)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    usage = UsageMiddleware(app, sinks=[telemetry], tracing=telemetry)
    assert (await call(ServerSpan(usage, tracer_provider=provider))).status == 204
    assert telemetry._client_spans == {}
    ((name, value),) = headers
    assert name == b"traceparent"
    assert int(value[-2:], 16) & 1 == 0


async def test_other_scopes_pass_untouched(collector: Collector) -> None:
    seen = []

    async def app(*args: Any) -> None:
        seen.append(args)

    arguments = ({"type": "websocket"}, object(), object())
    await ServerSpan(app)(*arguments)  # type: ignore[arg-type]
    assert seen == [arguments]
    assert collector.spans() == []


def test_a_label_must_be_a_field(gate: Any) -> None:
    with pytest.raises(SettingsError) as caught:
        gate(usage={"fields": {"team": "jwt.team"}, "otel": {"labels": ["team", "user"]}})
    assert str(caught.value) == (
        "usage.otel.labels[1]: no field is named 'user' (a label is a name in usage.fields, such as team: jwt.team)"
    )


def test_the_current_span_is_left_as_it_was() -> None:
    before = trace.get_current_span()
    # without a provider of its own it would need the one of another test's fixture
    with OpenTelemetry(tracer_provider=TracerProvider(shutdown_on_exit=False)).call(
        Exchange(target=Target("b", "p", "m")), ("h", 1)
    ):
        assert trace.get_current_span() is not before
    assert trace.get_current_span() is before
