"""The webhook to a real receiver: one that fails, hangs and redirects, and senders that are killed."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from asgi_llmgate.asgi import Health
from asgi_llmgate.asgi.responses import respond
from asgi_llmgate.net import HTTPClient
from asgi_llmgate.safeguards import notifier as notifier_module
from asgi_llmgate.safeguards.notifier import FIRST_DELAY, LEASE, Notifier
from asgi_llmgate.safeguards.webhook import Signer
from asgi_llmgate.secret_values import Secret
from asgi_llmgate.testing.serving import serving
from asgi_llmgate.usage import Prometheus, UsageRecord
from asgi_llmgate.usage.ledger import Database, parse_url
from asgi_llmgate.usage.verdicts import VerdictRecord

SECRET = "s" * 32
NOW = 1_795_413_430.0
"""After the records."""


class Receiver:
    """Answers with `statuses`, the last of them from then on; at 0 it does not answer until `let_go`."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.ids: list[str] = []
        self.bodies: list[Any] = []
        self.arrived = threading.Semaphore(0)
        self.let_go = threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message.get("more_body"):
                break
        self.ids.append(dict(scope["headers"])[b"webhook-id"].decode())
        self.bodies.append(json.loads(body))
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        self.arrived.release()
        if not status:
            await receive()  # until the sender leaves
            return
        location = [(b"location", b"/elsewhere")] if 300 <= status < 400 else []
        await respond(send, status, location, b"")

    def wait(self) -> None:
        assert self.arrived.acquire(timeout=60)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    found = Database(parse_url("sqlite:///ledger.db", tmp_path))
    yield found
    found.close()


def flag(database: Database, *request_ids: str) -> None:
    verdict = VerdictRecord(
        tool="Bash", tool_use_id="toolu_1", outcome="flag", decided_by="rule", rule="no-prod", duration_ms=0.1
    )
    facts: Any = {"time": "2026-11-23T05:57:04.609Z", "method": "POST", "path": "/v1/messages", "duration_ms": 1.0}
    database.insert([UsageRecord(request_id=each, safeguards=(verdict,), **facts) for each in request_ids], notify=True)


@pytest.fixture
def make(database: Database) -> Callable[..., Notifier]:
    def made(address: str, now: float = NOW, **options: Any) -> Notifier:
        signer = Signer([Secret(SECRET)])
        client = HTTPClient(proxy="none")
        return Notifier(database.url, address=address, signer=signer, client=client, now=lambda: now, **options)

    return made


@pytest.mark.parametrize("failure", [500, 302, 410])
def test_what_fails_is_sent_again_with_the_same_id(
    database: Database, make: Callable[..., Notifier], failure: int, caplog: pytest.LogCaptureFixture
) -> None:
    flag(database, "req_1")
    receiver = Receiver(failure, 200)
    with serving(receiver) as url:
        registry = CollectorRegistry()
        sender = make(f"{url}/flags?key=hidden", counters=[Prometheus(registry=registry)])
        assert not sender.deliver()
        assert sender.health().limping == ("webhook",)
        assert f"cannot be sent: status {failure}" in caplog.text
        assert "hidden" not in caplog.text
        labels = {"llmgate_webhook_outcome": "failed"}
        assert registry.get_sample_value("llmgate_webhook_attempts_total", labels) == 1
        assert make(url, NOW + FIRST_DELAY - 0.01).deliver()  # not yet
        assert receiver.ids == ["req_1_0"]
        assert make(url, NOW + FIRST_DELAY).deliver()
        assert receiver.ids == ["req_1_0"] * 2
        assert make(url, NOW + 1e6).deliver()
    assert receiver.ids == ["req_1_0"] * 2
    assert receiver.bodies[0] == receiver.bodies[1]
    assert receiver.bodies[0]["timestamp"] == "2026-11-23T05:57:04Z"


def test_the_delay_grows_to_an_hour(database: Database, make: Callable[..., Notifier]) -> None:
    flag(database, "req_1")
    now, delays = NOW, []
    with serving(Receiver(503)) as url:
        for _ in range(12):
            make(url, now).deliver()
            with database.reading() as connection:
                due = connection.exec_driver_sql("SELECT notify_at_ms FROM usage_verdict").scalar_one()
            delays.append(due / 1000 - now)
            now = due / 1000
    assert delays == [5.0 * 2**power for power in range(10)] + [3600.0] * 2


def test_a_receiver_that_hangs_or_is_not_there_is_given_up(
    database: Database, make: Callable[..., Notifier], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifier_module, "TIMEOUT", 0.2)
    flag(database, "req_1")
    with serving(Receiver(0)) as url:
        assert not make(url).deliver()
    assert not make(url, NOW + FIRST_DELAY).deliver()  # nobody listens there now
    with serving(Receiver(200)) as url:
        assert make(url, NOW + 1e5).deliver()


KILLED = """
import sys
from asgi_llmgate.net import HTTPClient
from asgi_llmgate.safeguards.notifier import Notifier
from asgi_llmgate.safeguards.webhook import Signer
from asgi_llmgate.secret_values import Secret
import sqlalchemy as sa
url, address, secret, now = sys.argv[1:]
signer, client = Signer([Secret(secret)]), HTTPClient(proxy="none")
Notifier(sa.make_url(url), address=address, signer=signer, client=client, now=lambda: float(now)).deliver()
"""


def test_what_a_killed_process_was_sending_another_one_sends(database: Database, make: Callable[..., Notifier]) -> None:
    flag(database, "req_1")
    receiver = Receiver(0, 200)
    with serving(receiver) as url:
        command = [sys.executable, "-c", KILLED, str(database.url), url, SECRET, str(NOW)]
        with subprocess.Popen(command) as process:
            receiver.wait()
            process.send_signal(signal.SIGKILL)
        make(url, NOW + LEASE - 0.01).deliver()
        assert receiver.ids == ["req_1_0"]
        make(url, NOW + LEASE).deliver()
    assert receiver.ids == ["req_1_0"] * 2


def test_several_senders_send_each_flag_once(database: Database, make: Callable[..., Notifier]) -> None:
    ids = [f"req_{number}" for number in range(45)]
    flag(database, *ids)
    receiver = Receiver(200)
    with serving(receiver) as url, ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda _: make(url).deliver(), range(4)))
    assert sorted(receiver.ids) == sorted(f"{each}_0" for each in ids)


async def test_a_record_with_a_flag_wakes_the_thread(database: Database, make: Callable[..., Notifier]) -> None:
    flag(database, "req_0")
    receiver = Receiver(200)
    facts: Any = {"time": "2026-11-23T05:57:04.609Z", "method": "GET", "path": "/", "duration_ms": 1.0}
    with serving(receiver) as url:
        sender = make(url, poll_interval=3600.0, linger=0.0)
        assert sender.health() == Health()  # this starts it, and it looks at once
        receiver.wait()
        flag(database, "req_1")
        judged = VerdictRecord(tool="Bash", tool_use_id="t", outcome="flag", decided_by="rule", duration_ms=0.1)
        sender.emit(UsageRecord(request_id="req_1", safeguards=(judged,), **facts))
        receiver.wait()
        await sender.aclose()
        flag(database, "req_2")
        sender.emit(UsageRecord(request_id="req_3", **facts))  # begins again
        receiver.wait()
        await sender.aclose()
    assert receiver.ids == ["req_0_0", "req_1_0", "req_2_0"]
    assert sender.health().limping == ()
    await sender.aclose()


def test_a_database_that_is_away_loses_nothing(
    database: Database, make: Callable[..., Notifier], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    flag(database, "req_1")
    caplog.set_level(logging.ERROR, "llmgate")
    receiver = Receiver(200)
    with serving(receiver) as url:
        sender = make(url)
        with monkeypatch.context() as broken:
            broken.setattr(sender._database, "url", parse_url("sqlite:///no-such-folder/file", Path("/proc")))
            assert not sender.deliver()
        assert sender.deliver()
    assert receiver.ids == ["req_1_0"]
