"""Worker processes that are killed with SIGKILL at random points while they write to a ledger.

    python workers.py URL FOLDER ROUNDS SEED     prints the ids of all records whose `emit` has returned

Each round forks two workers, which emit records as fast as they can and drain without a pause.  When a random number of
records has been acknowledged, both are killed.  In every third round the workers kill themselves at the worst moment:
after a commit, before the segment is deleted.
"""

from __future__ import annotations

import os
import random
import select
import signal
import sys
import time
from pathlib import Path

import sqlalchemy as sa

from asgi_llmgate.usage.ledger import Ledger
from asgi_llmgate.usage.ledger import journal as journal_module
from tests.usage.ledger.records import record


def work(ledger: Ledger, pipe: int, name: str, suicidal: bool) -> None:
    if suicidal:
        journal_module.Segment.discard = lambda self: os.kill(os.getpid(), signal.SIGKILL)
    number = 0
    while True:
        number += 1
        request_id = f"{name}-{number}"
        ledger.emit(record(request_id, subject=f"user-{number % 5}"))
        os.write(pipe, f"{request_id}\n".encode())
        if suicidal and number == 400:
            time.sleep(60)  # its drainer kills it


def main(url: str, folder: str, rounds: int, seed: int) -> None:
    chance = random.Random(seed)
    acknowledged = b""
    for number in range(rounds):
        reader, writer = os.pipe()
        ledger = Ledger(sa.make_url(url), journal=Path(folder), linger=0.0)
        children = []
        for worker in range(2):
            child = os.fork()
            if child == 0:
                work(ledger, writer, f"{number}-{worker}", suicidal=number % 3 == 2)
            children.append(child)
        os.close(writer)
        wanted = chance.randrange(1, 1200)
        heard = b""
        while heard.count(b"\n") < wanted:
            select.select([reader], [], [])
            piece = os.read(reader, 65536)
            if not piece:
                break
            heard += piece
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        while piece := os.read(reader, 65536):
            heard += piece
        os.close(reader)
        acknowledged += heard
    sys.stdout.write(acknowledged.decode())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
