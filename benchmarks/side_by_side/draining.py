"""How long the event loop stands still while the ledger's thread moves records into SQLite."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from asgi_llmgate.usage.ledger import Ledger, parse_url
from benchmarks.ledger import calls

BEAT = 0.0005


async def longest_stall(records: int) -> float:
    """Milliseconds."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        ledger = Ledger(parse_url("sqlite:///bench.db", folder), journal=folder / "journal", linger=3600)
        first, *further = calls(records + 1, 1_700_000_000.0)
        ledger.emit(first)
        await ledger.aclose()  # the tables are made
        for record in further:
            ledger.emit(record)
        draining = asyncio.create_task(ledger.aclose())
        longest = 0.0
        loop = asyncio.get_running_loop()
        while not draining.done():
            due = loop.time() + BEAT
            await asyncio.sleep(BEAT)
            longest = max(longest, loop.time() - due)
        await draining
        return longest * 1000
