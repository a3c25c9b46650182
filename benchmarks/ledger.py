"""The cost of the ledger per request, and how long the usage page takes over a million calls.

    python -m benchmarks.ledger [ROWS]

Prints one Markdown table.  The rows are made up, in a temporary folder; with ROWS the ledger is that large (1,000,000).
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from asgi_llmgate.page.filters import Query
from asgi_llmgate.page.queries import LedgerQueries
from asgi_llmgate.page.rendering import Renderer
from asgi_llmgate.page.series import Series
from asgi_llmgate.usage import AccessLog, Sink, UsageRecord
from asgi_llmgate.usage.ledger import Database, Ledger, parse_url

TEAMS = {"data-platform": 30, "payments": 24, "search": 18, "mobile": 12, "infra": 9, "design": 4, "research": 14}
MODELS = {"gpt-4o": (5.0, 2.5, 10.0), "gpt-4o-mini": (0.15, 0.6, 0.6), "qwen3-coder": (0.0, 0.0, 0.0)}
TOOLS = {"Read": 30, "Bash": 26, "Edit": 18, "Grep": 14, "TodoWrite": 8, "Glob": 6, "Write": 5, "Task": 2,
         "mcp__github__search_issues": 2, "mcp__jira__get_issue": 2, "WebFetch": 1, "NotebookEdit": 1}  # fmt: skip
DAY = 86400.0


def calls(count: int, now: float, *, days: float = 90.0, seed: int = 1) -> Iterator[UsageRecord]:
    """Calls of about 200 users over these days, the oldest first: many in working hours, few at night."""
    chance = random.Random(seed)
    people = [(f"{team[:2]}-{n:02}", team) for team, size in TEAMS.items() for n in range(size * 2)]
    weights = [chance.paretovariate(1.2) for _ in people]
    moments = sorted(_moment(chance, now, days) for _ in range(count))
    who = chance.choices(people, weights, k=count)
    for number, (moment, (person, team)) in enumerate(zip(moments, who, strict=True)):
        yield _call(chance, f"req_{seed}_{number:09}", moment, person, team)


def _moment(chance: random.Random, now: float, days: float) -> float:
    while True:
        moment = now - chance.random() ** 1.15 * days * DAY
        hour, weekday = moment % DAY / 3600, int(moment / DAY + 3) % 7
        busy = (0.15 if weekday > 4 else 1.0) * (1.0 if 8 < hour < 18 else 0.12)
        if chance.random() < busy:
            return moment


def _call(chance: random.Random, request_id: str, moment: float, person: str, team: str) -> UsageRecord:
    when = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
    facts = {"time": when, "request_id": request_id, "method": "POST", "path": "/llm/v1/messages", "subject": person}
    facts |= {"fields": {"org": "acme", "team": team}, "client_model": "claude-sonnet-4-5", "stream": True}
    dice = chance.random()
    if dice < 0.015:
        return UsageRecord(
            **{**facts, "subject": "", "fields": {}}, status=401, outcome="refused", reason="JwtAuth",
            error="token expired", duration_ms=1.2,
        )  # fmt: skip
    if dice < 0.04:
        reason, status = chance.choice([("Authorization", 403), ("RateLimit", 429)])
        return UsageRecord(**facts, status=status, outcome="refused", reason=reason, duration_ms=2.0)
    model = chance.choices(list(MODELS), [2, 5, 3])[0]
    vendor = "vllm" if model == "qwen3-coder" else "openai"
    sent, written = int(chance.lognormvariate(9.3, 0.9)), int(chance.lognormvariate(5.6, 0.9))
    cached = int(sent * chance.betavariate(4, 2))
    price, read, out = MODELS[model]
    cost = ((sent - cached) * price + cached * read + written * out) / 1e6
    first = chance.lognormvariate(6.4, 0.5)
    facts |= {"request_model": model, "response_model": model, "vendor": vendor, "backend": vendor}
    facts |= {"input_tokens": sent, "output_tokens": written, "cache_read_tokens": cached, "ttft_ms": round(first, 1)}
    facts |= {"duration_ms": round(first + written * 14, 1), "attempts": 1}
    tools = tuple(dict.fromkeys(chance.choices(list(TOOLS), list(TOOLS.values()), k=chance.choice((0, 1, 1, 2)))))
    facts |= {"finish_reasons": ("tool_calls" if tools else "stop",), "tools": tools}
    if dice < 0.05:
        return UsageRecord(**facts, status=502, outcome="upstream_error", reason="Upstream", error="upstream failed")
    return UsageRecord(**facts, status=200, outcome="ok", cost_usd=cost if price else None)


def fill(database: Database, count: int, now: float, **options: float) -> None:
    batch: list[UsageRecord] = []
    for record in calls(count, now, **options):  # type: ignore[arg-type]
        batch.append(record)
        if len(batch) == 5000:
            database.insert(batch)
            batch.clear()
    if batch:
        database.insert(batch)


def emitting(sink: Sink, records: list[UsageRecord]) -> float:
    """Microseconds per record, the best of five rounds."""
    rounds = []
    for _ in range(5):
        began = time.perf_counter()
        for record in records:
            sink.emit(record)
        rounds.append((time.perf_counter() - began) / len(records) * 1e6)
    return min(rounds)


def viewing(show: Callable[[], object]) -> float:
    """Milliseconds of processor time, the median of nine views."""
    taken = []
    for _ in range(9):
        began = time.process_time()
        show()
        taken.append((time.process_time() - began) * 1000)
    return statistics.median(taken)


def everything(series: Series) -> bool:
    return True


def main(rows: int) -> None:
    now = time.time()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        some = list(calls(2000, now))
        log = AccessLog(file=folder / "access.log")
        written = emitting(log, some)
        log.close()
        ledger = Ledger(parse_url("sqlite:///emit.db", folder), journal=folder / "journal", linger=3600)
        journaled = emitting(ledger, some)
        database = Database(parse_url("sqlite:///ledger.db", folder))
        began = time.perf_counter()
        fill(database, rows, now)
        inserted = rows / (time.perf_counter() - began)
        print("| what | measured |\n|---|---|")
        print(f"| the ledger's part of a call: one line into the journal | {journaled:.1f} µs |")
        print(f"| the access log's part of a call, in a file, for comparison | {written:.1f} µs |")
        print(f"| drained into SQLite, with sums, a second | {inserted:,.0f} records |")
        size = (folder / "ledger.db").stat().st_size
        print(f"| SQLite file, a call | {size / rows:,.0f} bytes |")
        numbers, renderer = LedgerQueries(database), Renderer()
        for query in (
            b"range=24h",
            b"range=7d",
            b"range=30d",
            b"range=90d",
            b"range=90d&team=search",
            b"range=90d&user=se-03",
        ):
            asked = Query.parse(query)
            taken = viewing(lambda asked=asked: renderer.page(numbers.overview(asked, everything, now), "", now))
            print(f"| the page, {rows:,} calls, `?{query.decode()}` | {taken:.0f} ms of processor time |")
        database.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
