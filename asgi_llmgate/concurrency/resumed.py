"""Awaiting the rest of an awaitable that has been started by hand.

Most waits of a server do not wait: what they wait for is there. What is needed only around a real wait, such as a
timer, is then saved by a first step without it:

    steps = receive().__await__()
    try:
        waits_for = next(steps)
    except StopIteration as done:
        return done.value                           # it did not wait
    async with asyncio.timeout(10):
        return await resumed(steps, waits_for)
"""

from __future__ import annotations

import types
from collections.abc import Generator
from typing import Any, TypeVar

T = TypeVar("T")


@types.coroutine
def resumed(steps: Generator[Any, Any, T], waits_for: Any) -> Generator[Any, Any, T]:
    """The result of `steps`, whose first step has been taken and waits for `waits_for`: `yield from` without that step.

    What it waits for is passed on to the task, and the task's cancellation to it (PEP 380).
    """
    while True:
        try:
            yield waits_for
        except BaseException as error:
            try:
                waits_for = steps.throw(error)
            except StopIteration as done:  # it has taken the error for its end
                return done.value  # type: ignore[no-any-return]
        else:
            return (yield from steps)
