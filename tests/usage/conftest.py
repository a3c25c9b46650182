"""OpenTelemetry of this process, gateways from settings, and an exchange in which every field is set."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry import metrics, trace

from asgi_llmgate import Gateway
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.exchange_values import Attempt, Call, Decision, Identity, ResponseMetadata, Target, Usage
from asgi_llmgate.testing.model_script import Turn
from asgi_llmgate.testing.model_server import ModelServer
from tests.helpers.otlp_collector import Collector
from tests.helpers.server_processes import Folder


@pytest.fixture(scope="session")
def telemetry() -> Iterator[Collector]:
    """The process's OpenTelemetry, as a host sets it up, once: providers cannot be replaced."""
    with Collector().running() as collector:
        trace.set_tracer_provider(collector.tracer_provider)
        metrics.set_meter_provider(collector.meter_provider)
        yield collector


@pytest.fixture
def collector(telemetry: Collector) -> Collector:
    telemetry.clear()
    return telemetry


@pytest.fixture
async def gate(serve: Callable[..., str]) -> AsyncIterator[Callable[..., tuple[Gateway, ModelServer]]]:
    """`gate(turns..., usage={...}) -> (gateway, model server)`, from settings."""
    async with AsyncExitStack() as stack:

        def make(*turns: Turn, **sections: Any) -> tuple[Gateway, ModelServer]:
            server = ModelServer(turns)
            settings = {
                "auth": {"mode": "off"},
                "policy": {"default": "allow"},
                "backends": {"main": {"base_url": serve(server) + "/v1", "provider": "vllm"}},
                "models": [{"match": "*", "use": "main/gpt-4o-mini"}],
                **sections,
            }
            gateway = Gateway.from_settings(settings)
            stack.push_async_callback(gateway.shutdown)
            return gateway, server

        yield make


@pytest.fixture
def folder(tmp_path: Path, serve: Callable[..., str]) -> Callable[..., Folder]:
    """`folder(turns...)`: for a gateway in a process of its own, in front of a model server in this one."""

    def make(*turns: Turn) -> Folder:
        model = ModelServer(turns)
        return Folder(tmp_path / "served", model, serve(model) + "/v1")

    return make


@pytest.fixture
def full_exchange() -> Callable[..., Exchange]:
    def make(**changes: object) -> Exchange:
        asked = SimpleNamespace(model="claude-opus-5-5", stream=True, max_tokens=128, temperature=0.0)
        target = Target(backend="main", vendor="openai", model="gpt-4o-mini")
        exchange = Exchange(
            method="POST",
            path="/v1/messages",
            client="10.0.0.1",
            headers={"user-agent": "claude-cli/2.1.4 (external, cli)"},
            request_id="req_1",
            started_at=1_795_413_424.609,
            started=100.0,
            identity=Identity("u-1842", "https://sso.acme.test", "acme", {"org": "acme", "groups": ["a", "b"]}),
            call=Call(asked, (target,), session_id="7c1d", agent_id="a-1"),
            decision=Decision(allowed=True, rule="staff", dry_run=("strict",)),
            target=target,
            attempts=[Attempt(target, 100.005), Attempt(target, 100.01)],
            usage=Usage(input=17, output=33, cache_read=5, cache_creation=3, reasoning=2, estimated=True),
            response=ResponseMetadata("gpt-4o-mini-2024-07-18", "chatcmpl-1", ("stop",), ("Read", "Bash")),
            dropped=("thinking",),
            first_token_at=100.412,
            status=200,
            first_byte_at=100.1,
            ended_at=102.776,
            outcome="ok",
        )
        for name, value in changes.items():
            setattr(exchange, name, value)
        return exchange

    return make
