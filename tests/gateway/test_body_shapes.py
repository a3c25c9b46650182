"""Bodies of every shape on their way to a decision: what that takes grows with the body, and no faster.

Counted, not timed: bytes that are held, and instructions of Python code.  `python -m benchmarks.shapes` has the times.
"""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import pytest

from asgi_llmgate.routing import resolve
from asgi_llmgate.testing.driver import Reply
from asgi_llmgate.testing.idp import MockIdP
from benchmarks.shapes import MB, PATHS, SHAPES, SIZES, ask, make_gateway
from tests.helpers.counted_work import opcodes

IDP = MockIdP()
HELD = 24 * MB
"""What the limits allow: 100,000 values, opened."""

MOST = 10_000_000
"""Instructions that they allow, some dozens for each value."""

SOME = ("messages of a letter", "repeated names at the top", "names in a schema", "empty objects", "all of it")

Ask = Callable[[str, bytes], Reply]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Ask:
    monkeypatch.setattr(resolve, "LARGE", 2**40)  # instructions are counted in the thread of the test
    gateway = make_gateway(IDP)
    return lambda path, body: asyncio.run(ask(gateway, IDP.mint(), path, body))


def held(asked: Ask, path: str, body: bytes) -> int:
    tracemalloc.start()
    try:
        assert asked(path, body).status in (400, 403, 413)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("shape", SHAPES)
def test_a_body_of_any_shape_is_held_about_once(asked: Ask, shape: str) -> None:
    body = SHAPES[shape](MB)
    assert held(asked, PATHS[0], body) <= 4 * len(body) + HELD


@pytest.mark.parametrize("path", PATHS[:2])
@pytest.mark.parametrize("shape", SOME)
def test_work_grows_with_the_bytes_of_a_body(asked: Ask, shape: str, path: str) -> None:
    small, large = (opcodes(partial(asked, path, SHAPES[shape](size))) for size in (MB // 32, MB // 16))
    assert large <= 2.2 * small


@pytest.mark.soak
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("shape", SHAPES)
def test_memory_and_work_grow_with_the_bytes_of_a_body_up_to_what_the_limits_allow(
    asked: Ask, shape: str, path: str
) -> None:
    sizes = SIZES if path == PATHS[0] else (SIZES[0], SIZES[-1])
    work = []
    for size in sizes:
        body = SHAPES[shape](size)
        assert held(asked, path, body) <= 4 * len(body) + HELD
        work.append(opcodes(partial(asked, path, body)))
    assert max(work) <= MOST
    for (small, large), (before, after) in zip(pairwise(sizes), pairwise(work), strict=True):
        assert after / before <= 1.1 * large / small
