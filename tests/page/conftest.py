"""A ledger with a few calls in it, and a page that shows it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from asgi_llmgate.page import UsagePage
from asgi_llmgate.usage import UsageRecord
from asgi_llmgate.usage.ledger import Database, parse_url
from tests.usage.ledger.records import record

HOUR = 3600.0


def ago(seconds: float) -> str:
    when = datetime.fromtimestamp(time.time() - seconds, UTC)
    return when.isoformat(timespec="milliseconds")[:-6] + "Z"


def some_calls() -> list[UsageRecord]:
    """Of two teams within the last hours, and one call that is a week old."""
    return [
        record("old", time=ago(170 * HOUR), subject="zoe", cost_usd=1.0),
        record("a1", time=ago(2 * HOUR), cost_usd=2.0, cache_read_tokens=60, tools=("Read", "=Bash", "Edit")),
        record("a2", time=ago(1 * HOUR), cost_usd=None, request_model="qwen3-coder", ttft_ms=800.0),
        record(
            "b1",
            time=ago(30),
            subject="bob",
            fields={"team": "search"},
            cost_usd=0.5,
            outcome="upstream_error",
            tools=("Read", "mcp__a_server_with_a_long_name__a_tool_with_a_longer_one", "<script>"),
        ),
        record("old2", time=ago(171 * HOUR), outcome="upstream_error", input_tokens=None, cost_usd=None),
        record(
            "b2",
            time=ago(20),
            subject="bob",
            fields={"team": "search"},
            outcome="refused",
            reason="RateLimit",
            status=429,
            request_model="",
            client_model="claude-opus-5-5",
            input_tokens=None,
            output_tokens=None,
            cost_usd=None,
        ),
        record("x", time=ago(10), subject='<script>alert("x")</script>', fields={"team": "=cmd()"}, cost_usd=0.25),
    ]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(parse_url("sqlite:///ledger.db", tmp_path))
    database.insert(some_calls())
    yield database
    database.close()


@pytest.fixture
def page(database: Database) -> Callable[..., UsagePage]:
    def make(**options: Any) -> UsagePage:
        return UsagePage(database, **{"page_auth": lambda scope: True, **options})

    return make
