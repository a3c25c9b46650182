"""Sends the webhook about flagged tool calls, from a thread of its own.

The flags wait in the ledger's database (usage/ledger/outbox.py), which all processes share: what one cannot send, or
had begun to send when it was killed, another sends later.  A response never waits for the webhook.

    the receiver responds 2xx     sent
    anything else, or nothing     again after 5 s, 10 s, 20 s ... 1 h, until the flag is deleted (`audit.keep`);
    within 10 seconds             a line in the log, and `/readyz` is limping until an event has been sent

Redirects are not followed: the address is that of the settings.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from secrets import token_hex

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from asgi_llmgate.asgi import Health
from asgi_llmgate.errors import GateError
from asgi_llmgate.net import HTTPClient
from asgi_llmgate.net.urls import redact_url
from asgi_llmgate.safeguards.webhook import Signer, event_body, event_id, trial_body
from asgi_llmgate.usage.ledger import Database, NewerSchema
from asgi_llmgate.usage.ledger.outbox import FlaggedCall, Outbox
from asgi_llmgate.usage.ledger.report import format_time
from asgi_llmgate.usage.metrics import WEBHOOK
from asgi_llmgate.usage.record import UsageRecord
from asgi_llmgate.usage.sinks import MetricSink

log = logging.getLogger("llmgate")

BATCH = 10
"""Events that are sent at the same time."""

TIMEOUT = 10.0
"""Seconds for one attempt."""

LEASE = 60.0
"""Seconds after which a claimed event is sent by another process: more than an attempt takes."""

FIRST_DELAY, LONGEST_DELAY = 5.0, 3600.0
"""Seconds between two attempts of one event: doubled each time."""

POLL_INTERVAL = 10.0
"""Seconds between two looks into the database."""

_LINGER = 1.0
"""Seconds from a flag to the first look: the ledger takes about half a second to write it."""

_RFC_3339 = "%Y-%m-%dT%H:%M:%SZ"


class Notifier:
    """A sink that stores nothing: a record with flags wakes its thread, which sends what is in the outbox.

    `url` is the database of the ledger, `address` where events are sent to, signed by `signer`.  `client` sends them,
    and `counters` count the attempts.
    `linger` and `poll_interval` are in seconds; `now` is the clock, in Unix seconds.
    """

    def __init__(
        self,
        url: sa.URL | str,
        *,
        address: str,
        signer: Signer,
        client: HTTPClient,
        counters: Sequence[MetricSink] = (),
        linger: float = _LINGER,
        poll_interval: float = POLL_INTERVAL,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._database = Database(url)
        self._outbox = Outbox(self._database)
        self._address, self._signer, self._client = address, signer, client
        self._counters = counters
        self._linger, self._poll_interval, self._now = linger, poll_interval, now
        self._failing = False
        self._thread: threading.Thread | None = None
        self._stop: threading.Event
        self._news: threading.Event
        self._reset()

    def emit(self, record: UsageRecord) -> None:
        """Wake the thread, if the record has flags.  The first record starts it in any case."""
        self._ensure_thread()
        if any(verdict.outcome == "flag" for verdict in record.safeguards):
            self._news.set()

    def health(self) -> Health:
        """For `/readyz`; also starts the thread, so that a process without calls sends what others have left."""
        self._ensure_thread()
        return Health(limping=("webhook",) if self._failing else ())

    async def aclose(self) -> None:
        """Stop the thread, after what it is sending.  A later record starts it again."""
        with self._starting:
            thread, self._thread = self._thread, None
            stop, self._stop = self._stop, threading.Event()
        if thread is not None:
            stop.set()
            self._news.set()
            await asyncio.to_thread(thread.join, TIMEOUT + 1)

    def deliver(self) -> bool:
        """Send what is due now, in the calling thread.  Returns False where something could not be sent."""
        with asyncio.Runner() as runner:
            try:
                return self._deliver(runner)
            finally:
                runner.run(self._client.aclose())
                self._database.close()

    async def send_trial(self) -> str:
        """Send an event that says only that the webhook works.  Returns why that failed, empty if it did not."""
        now = self._now()
        body, name = trial_body(format_time(int(now * 1000), _RFC_3339)), f"test_{token_hex(8)}"
        try:
            return await _post(self._client, self._address, self._signer, name, body, int(now))
        finally:
            await self._client.aclose()

    def _reset(self) -> None:
        self._process = os.getpid()
        self._thread = None
        self._starting = threading.Lock()
        self._news, self._stop = threading.Event(), threading.Event()

    def _ensure_thread(self) -> None:
        if self._process != os.getpid():  # a fork: thread, locks and connections are the parent's
            self._database.after_fork()
            self._reset()
        if self._is_running():
            return
        with self._starting:
            if not self._is_running():  # another request may have started it while this one waited for the lock
                # A daemon thread does not keep the interpreter from exiting; what it has not sent is in the database.
                thread = threading.Thread(
                    target=self._run, args=(self._news, self._stop), name="llmgate-webhook", daemon=True
                )
                with suppress(RuntimeError):  # the system allows no more threads; the next record tries again
                    thread.start()
                    self._thread = thread

    def _is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _run(self, news: threading.Event, stop: threading.Event) -> None:
        with asyncio.Runner() as runner:
            try:
                while not stop.is_set():
                    self._deliver(runner)
                    if news.wait(self._poll_interval):
                        news.clear()
                        stop.wait(self._linger)
            finally:
                runner.run(self._client.aclose())
                self._database.close()

    def _deliver(self, runner: asyncio.Runner) -> bool:
        """Send all that is due.  Returns False where something could not be sent."""
        complete = True
        try:
            while calls := self._outbox.claim(self._milliseconds(), int(LEASE * 1000), BATCH):
                failures = runner.run(self._send_all(calls))
                self._outbox.delivered(call.id for call, why in zip(calls, failures, strict=True) if not why)
                for call, why in zip(calls, failures, strict=True):
                    if why:
                        complete = False
                        delay = min(FIRST_DELAY * 2 ** min(call.attempts - 1, 20), LONGEST_DELAY)
                        self._outbox.postpone(call.id, self._milliseconds(delay))
                    self._note(why)
        except (SQLAlchemyError, NewerSchema, OSError):
            # The ledger says so; after an outage it may be another database.
            self._database.close()
            return False
        return complete

    async def _send_all(self, calls: Sequence[FlaggedCall]) -> list[str]:
        """For each event why it could not be sent; the empty string where it was."""
        return await asyncio.gather(*(self._send(call) for call in calls))

    async def _send(self, call: FlaggedCall) -> str:
        body = event_body(call, format_time(call.verdict["time_ms"], _RFC_3339))
        return await _post(self._client, self._address, self._signer, event_id(call), body, int(self._now()))

    def _note(self, why: str) -> None:
        for counter in self._counters:
            counter.count(WEBHOOK.name, {"llmgate.webhook.outcome": "failed" if why else "sent"})
        if why and not self._failing:
            address = redact_url(self._address)
            log.error("the webhook to %s cannot be sent: %s; flags wait in the ledger", address, why)
        elif not why and self._failing:
            log.warning("the webhook can be sent again")
        self._failing = bool(why)

    def _milliseconds(self, later: float = 0.0) -> int:
        return int((self._now() + later) * 1000)


async def _post(client: HTTPClient, address: str, signer: Signer, event: str, body: bytes, timestamp: int) -> str:
    """Send one event.  Returns why that failed, in words without content; the empty string for a 2xx."""
    try:
        response = await client.fetch(
            address,
            method="POST",
            headers=signer.headers(event, timestamp, body),
            content=body,
            timeout=TIMEOUT,
        )
    except GateError as error:
        return type(error).__name__
    return "" if 200 <= response.status < 300 else f"status {response.status}"
