"""Records as rows: all of them, once each, from one thread, whatever the database does meanwhile."""

from __future__ import annotations

import logging
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest

from asgi_llmgate import Health
from asgi_llmgate import UsageRecord as Record
from asgi_llmgate.testing.serving import serving
from asgi_llmgate.usage.verdicts import VerdictRecord
from tests.helpers import django_site
from tests.helpers.installation import ROOT
from tests.integrations.conftest import ASK

if TYPE_CHECKING:
    from tests.integrations.conftest import Company

application = django_site.ready()

import llmgate_django  # noqa: E402
from django.db import OperationalError, connections  # noqa: E402
from django.db.backends.signals import connection_created  # noqa: E402
from django.test import override_settings  # noqa: E402
from llmgate_django import ledger as ledger_module  # noqa: E402
from llmgate_django.ledger import BATCH, DjangoLedger, row  # noqa: E402
from llmgate_django.models import UsageRecord  # noqa: E402
from llmgate_django.thread import DatabaseThread  # noqa: E402

LEDGER = {"ledger": {"url": "django"}, "fields": {"team": "jwt.team"}}


@pytest.fixture(autouse=True)
def _empty() -> Iterator[None]:
    yield
    UsageRecord.objects.all().delete()
    connections.close_all()


def record(number: int, **facts: Any) -> Record:
    return Record(
        **{
            "time": "2026-03-01T10:00:00.250Z",
            "request_id": f"req_{number}",
            "method": "POST",
            "path": "/llm/v1/messages",
            "duration_ms": 12.5,
            **facts,
        }
    )


@pytest.fixture
def thread() -> Iterator[DatabaseThread]:
    made = DatabaseThread()
    yield made
    made.submit(connections.close_all).result(10)


def settle(thread: DatabaseThread) -> None:
    """Return when the thread has done what it was given, the follow-ups of that included."""
    for _ in range(3):
        thread.submit(lambda: None).result(30)


def test_each_attribute_of_a_record_has_its_column() -> None:
    """Where this fails: add the column to llmgate_django/models.py, and `manage.py makemigrations llmgate`."""
    columns = {field.name for field in UsageRecord._meta.concrete_fields if not field.primary_key}
    attributes = {field.name for field in msgspec.structs.fields(Record)}
    assert columns - attributes == {"provider"}  # the value of `vendor`
    assert attributes - columns == {"vendor", "user"}  # `subject` has the value of `user`, if there is one


def test_a_row_has_the_verdicts_on_tool_calls_without_their_inputs() -> None:
    flag = VerdictRecord(
        tool="Bash",
        tool_use_id="toolu_1",
        outcome="flag",
        decided_by="rule",
        rule="no-prod",
        duration_ms=0.3,
        input="rm",
    )
    ledger_module.insert([record(1, safeguards=(flag,), parent_request_id="req_0"), record(2)])
    judged, other = UsageRecord.objects.order_by("request_id")
    assert judged.safeguards == [
        {
            "tool": "Bash",
            "tool_use_id": "toolu_1",
            "outcome": "flag",
            "decided_by": "rule",
            "rule": "no-prod",
            "duration_ms": 0.3,
        }
    ]
    assert judged.parent_request_id == "req_0"
    assert (other.safeguards, other.parent_request_id) == (None, "")


def test_calls_are_rows(company: Company) -> None:
    setting = override_settings(LLMGATE=company.settings(usage=LEDGER))
    with setting, serving(llmgate_django.mount(application)) as url:
        for team in ("data-platform", "marketing"):
            httpx.post(f"{url}/llm/v1/messages", json=ASK, headers=company.bearer(sub="ada", team=team))
        httpx.get(f"{url}/llm/healthz")
        httpx.get(f"{url}/page")
    refused, good = UsageRecord.objects.order_by("-status")
    assert (good.status, good.outcome, good.subject, good.fields) == (200, "ok", "ada", {"team": "data-platform"})
    assert (good.client_model, good.request_model, good.backend) == ("claude-opus-5", "gpt-4o-mini", "openai")
    assert (good.input_tokens or 0) > 0
    assert good.time.utcoffset() is not None
    assert (refused.status, refused.outcome, refused.reason) == (403, "refused", "Authorization")
    assert refused.fields == {"team": "marketing"}
    assert refused.input_tokens is None


def test_a_row_has_the_operators_name_of_the_caller(company: Company) -> None:
    setting = override_settings(LLMGATE=company.settings(usage=LEDGER | {"user": "jwt.email"}))
    with setting, serving(llmgate_django.mount(application)) as url:
        for claims in ({"email": "ada@acme.test"}, {}):
            httpx.post(f"{url}/llm/v1/messages", json=ASK, headers=company.bearer(sub="ada", **claims))
    assert sorted(UsageRecord.objects.values_list("subject", flat=True)) == ["ada", "ada@acme.test"]


def test_many_calls_at_once_open_one_connection(company: Company) -> None:
    threads: list[str] = []

    def note(**_: Any) -> None:
        threads.append(threading.current_thread().name)

    connection_created.connect(note)
    setting = company.settings(usage=LEDGER, auth={"django_session": True, "providers": [company.provider()]})
    try:
        with (
            override_settings(LLMGATE=setting),
            serving(llmgate_django.mount(application)) as url,
            httpx.Client(base_url=url, headers={"cookie": "sessionid=none"}) as client,
            ThreadPoolExecutor(8) as many,
        ):

            def ask(headers: dict[str, str]) -> int:
                return client.post("/llm/v1/messages", json=ASK, headers=headers).status_code

            assert set(many.map(ask, [company.bearer()] * 24)) == {200}
            assert set(many.map(ask, [{}] * 8)) == {401}
    finally:
        connection_created.disconnect(note)
    assert set(threads) == {"llmgate-django_0"}
    assert UsageRecord.objects.count() == 32


def test_emit_waits_for_nothing(thread: DatabaseThread) -> None:
    let_go = threading.Event()
    thread.submit(let_go.wait)
    ledger = DjangoLedger(thread)
    for number in range(BATCH + 1):
        ledger.emit(record(number))
    assert UsageRecord.objects.count() == 0
    let_go.set()
    settle(thread)
    assert UsageRecord.objects.count() == BATCH + 1


def test_a_record_that_is_there_already_is_no_second_row(thread: DatabaseThread) -> None:
    ledger = DjangoLedger(thread)
    for number in (1, 1, 2):
        ledger.emit(record(number))
    settle(thread)
    ledger.emit(record(2))
    settle(thread)
    assert UsageRecord.objects.count() == 2


async def test_while_the_database_fails_records_wait(
    thread: DatabaseThread, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def down(records: Any) -> None:
        raise OperationalError("connection refused")

    ledger = DjangoLedger(thread)
    with monkeypatch.context() as broken:
        broken.setattr(ledger_module, "insert", down)
        for number in range(3):
            ledger.emit(record(number))
            settle(thread)
    assert [entry.message for entry in caplog.records] == [
        "the site's database does not work; usage records wait in memory"
    ]
    ledger.emit(record(3))
    await ledger.aclose()
    assert await UsageRecord.objects.acount() == 4
    await thread.aclose()


async def test_after_an_outage_a_look_at_the_health_writes_what_waits(
    thread: DatabaseThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(records: Any) -> None:
        tries.append(len(records))
        raise OperationalError("connection refused")

    tries: list[int] = []
    ledger = DjangoLedger(thread)
    assert ledger.health() == Health()
    with monkeypatch.context() as broken:
        broken.setattr(ledger_module, "insert", down)
        ledger.emit(record(0))
        settle(thread)
        for _ in range(3):
            assert ledger.health() == Health(limping=("ledger database",))
            settle(thread)
        assert tries == [1]  # not sooner than RETRY_DELAY
    monkeypatch.setattr(ledger_module, "RETRY_DELAY", 0.0)
    assert ledger.health() == Health(limping=("ledger database",))
    settle(thread)
    assert ledger.health() == Health()
    assert await UsageRecord.objects.acount() == 1
    await thread.aclose()


async def test_where_no_thread_can_be_had_the_next_record_is_another_try(
    thread: DatabaseThread, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    ledger = DjangoLedger(thread)
    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", refused)
        for number in range(20):
            ledger.emit(record(number))
    assert [entry.message for entry in caplog.records] == [
        "the site's database does not work; usage records wait in memory"
    ]
    ledger.emit(record(20))
    await ledger.aclose()
    assert await UsageRecord.objects.acount() == 21
    await thread.aclose()


async def test_the_child_of_a_fork_has_a_thread_of_its_own_and_no_records_of_its_parent(
    thread: DatabaseThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go = threading.Event()
    held = thread.submit(let_go.wait)
    ledger = DjangoLedger(thread)
    ledger.emit(record(1))
    monkeypatch.setattr(os, "getpid", lambda: 0)
    ledger.emit(record(2))  # the parent's thread is not there to write it
    await ledger.aclose()
    assert [each.request_id async for each in UsageRecord.objects.all()] == ["req_2"]
    await thread.aclose()
    monkeypatch.undo()
    let_go.set()
    held.result()
    await thread.aclose()


async def test_what_could_not_be_written_is_counted_at_the_end(
    thread: DatabaseThread, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def down(records: Any) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(ledger_module, "insert", down)
    monkeypatch.setattr(ledger_module, "LIMIT", 2)
    ledger = DjangoLedger(thread)
    for number in range(3):
        ledger.emit(record(number))
    await ledger.aclose()
    assert ledger.lost == 1
    assert "3 usage records did not reach the database; the access log has them" in caplog.text


def test_a_record_that_no_row_can_hold_does_not_hold_up_the_others(
    thread: DatabaseThread, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = DjangoLedger(thread)
    ledger.emit(record(1))
    ledger.emit(record(2, max_tokens=2**80))
    ledger.emit(record(3, error="a\0b", vendor="x" * 500, fields={"team": ["c\0d"]}))
    settle(thread)
    first, third = UsageRecord.objects.order_by("request_id")
    assert (first.request_id, third.request_id) == ("req_1", "req_3")
    assert (third.error, third.provider, third.fields) == ("ab", "x" * 128, {"team": ["cd"]})
    assert "the database refuses usage record req_2 (OverflowError)" in caplog.text
    assert caplog.records[0].levelno == logging.ERROR


ENDING = """
import django
django.setup()
from asgi_llmgate import UsageRecord
from llmgate_django.ledger import DjangoLedger
from llmgate_django.thread import DatabaseThread
ledger = DjangoLedger(DatabaseThread())
for number in range(3):
    ledger.emit(UsageRecord(
        time="2026-03-01T10:00:00Z", request_id=f"r{number}", method="POST", path="/", duration_ms=1
    ))
"""


def test_a_process_that_ends_without_lifespan_writes_what_is_waiting(tmp_path: Path) -> None:
    """As under daphne, which speaks no lifespan: the interpreter ends when the thread has done its work."""
    site = ROOT / "examples" / "django_site"
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "acme.settings",
        "DATABASE": str(tmp_path / "db.sqlite3"),
        "PYTHONPATH": f"{site}:{os.environ.get('PYTHONPATH', '')}",
    }
    for command in (["manage.py", "migrate", "--verbosity", "0", "--skip-checks"], ["-c", ENDING]):
        subprocess.run([sys.executable, *command], cwd=site, env=environment, check=True, timeout=60)
    with closing(sqlite3.connect(tmp_path / "db.sqlite3")) as database:
        assert database.execute("select count(*) from llmgate_usagerecord").fetchone() == (3,)


@pytest.mark.parametrize("aware", [True, False])
def test_times_are_of_the_kind_that_the_site_has(aware: bool) -> None:
    with override_settings(USE_TZ=aware, TIME_ZONE="Asia/Tokyo"):
        time = row(record(1)).time
    assert (time.tzinfo is not None) is aware
    assert time.hour == (10 if aware else 19)
