"""The targets without a fuzzer: every kept input, and random mutations of them."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from tests.fuzz import fuzz_request, fuzz_response, fuzz_token, fuzz_translator

TARGETS = {"translator": fuzz_translator, "request": fuzz_request, "token": fuzz_token, "response": fuzz_response}
CORPUS = Path(__file__).parent / "corpus"


def kept(name: str) -> list[bytes]:
    """What earlier runs of the fuzzer found to be new: a line each, a JSON string of Latin-1 characters."""
    lines = (CORPUS / f"{name}.jsonl").read_text("ascii").splitlines()
    return [json.loads(line).encode("latin-1") for line in lines]


def keep(name: str, inputs: list[bytes]) -> None:
    CORPUS.mkdir(exist_ok=True)
    lines = [json.dumps(data.decode("latin-1")) for data in sorted(set(inputs), key=lambda data: (len(data), data))]
    (CORPUS / f"{name}.jsonl").write_text("\n".join(lines) + "\n", "ascii")


def mutated(rng: random.Random, module: ModuleType) -> bytes:
    """Some seeds one after the other, with some bytes changed; two bytes before them choose the rest."""
    data = bytearray(b"".join(rng.choices(module.SEEDS, k=rng.randint(1, module.AT_ONCE))))
    for _ in range(rng.choice([0, 0, 1, 3])):
        place = rng.randrange(len(data) + 1)
        data[place : place + rng.choice([0, 1, 5])] = rng.choice([*module.TOKENS, rng.randbytes(1)])
    return rng.randbytes(2) + bytes(data)


def run(inputs: list[bytes], target: Callable[[bytes], None]) -> None:
    for data in inputs:
        try:
            target(data)
        except Exception:
            print(f"fails on {data!r}", file=sys.stderr)
            raise
