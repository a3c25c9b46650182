"""What is measured: each row of the results, with its goal.

The goals of CPU time are ratios, because absolute figures are those of a machine.  They were set as ratios to a
prototype, which is not kept; the yardstick is the same idea in few lines.  `prototype` says what the prototype cost,
as a ratio to the yardstick, when both ran side by side, so that a ratio to the one can be read as one to the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from benchmarks.side_by_side import bodies
from benchmarks.side_by_side.clients import Load
from benchmarks.side_by_side.wire import Plan

Per = Literal["call", "event"]


@dataclass(frozen=True)
class Row:
    """A row of the results.  `goal`: a ratio to the prototype where there is one for it, else in the row's unit."""

    name: str
    unit: str
    goal: float
    prototype: float = 0.0
    digits: int = 0


@dataclass(frozen=True)
class CPU(Row):
    """Microseconds of CPU time per call or event, of a load that is repeated in turns."""

    content: bytes = b""
    load: Load = field(default_factory=Load)
    plan: Plan = field(default_factory=Plan)
    per: Per = "call"
    servers: Sequence[str] = ("yardstick", "gateway")
    """Which take part, besides further trees and peers."""
    scale: float = 1e6
    """What the unit is of a second."""


def cpu_rows(seconds: float) -> list[CPU]:
    """Turns take so many seconds, where the load can be repeated."""
    small, streamed = bodies.small(), bodies.small(stream=True)
    call, event = "µs of CPU per call", "µs of CPU per event"
    all_servers = ("null", "yardstick", "gateway", "ledger", "otel", "otel_sdk")
    paced, short = Load(20, most=1, stagger=0.007), Load(40, most=1)
    return [
        CPU("small call, 16 connections", call, 1.4, 1.75, 0, small, Load(16, seconds), servers=all_servers),
        CPU("172 kB call", call, 1.8, 0.93, 0, bodies.large(), Load(1, seconds), servers=all_servers[:3]),
        CPU("event, 20 streams at 50/s", event, 0.85, 1.18, 1, streamed, paced, Plan(100, 0.02), "event"),
        CPU("event, one stream flat out", event, 1.3, 1.13, 1, streamed, Load(1, seconds), Plan(1000, 0), "event"),
        CPU("event, 40 streams flat out", event, 0.75, 1.09, 1, streamed, short, Plan(300, 0), "event"),
    ]


def largest(seconds: float) -> CPU:
    return CPU("30 MB call", "ms of CPU per call", 50, 0, 0, bodies.of_size(30_000_000), Load(1, seconds), scale=1e3)


FIRST_TEXT = Row("added until the first text, 172 kB", "ms", 1.5, 0.93, digits=2)
STREAM_MEMORY = Row("memory of an open stream", "KB", 20, digits=1)
IDLE_MEMORY = Row("memory after the first call", "MB", 60)
FIRST_CALL = Row("from the start of the process to the first 200", "s", 0.45, digits=2)
LEDGER = Row("the ledger in SQLite adds to a small call", "µs of CPU", 25)
OTEL = Row("OpenTelemetry's API without an SDK adds to it", "µs of CPU", 5)
OTEL_SDK = Row("OpenTelemetry's SDK, spans and metrics, adds to it", "µs of CPU", 90)
DELAY = Row("delay of an event, 99th percentile, 200 streams at 20/s", "ms", 0.7, digits=2)
BODY_STALL = Row("the event loop stands still: a body of 2.6 MB", "ms", 4, digits=1)
DRAIN_STALL = Row("the event loop stands still: 600 records into SQLite", "ms", 1, digits=1)
GROWTH = Row("memory that 20,000 calls with the ledger add", "MB", 3, digits=1)
