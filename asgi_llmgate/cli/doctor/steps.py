"""One question of the doctor and its answer, and the time that it took."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from asgi_llmgate.config.checking.findings import Finding
from asgi_llmgate.errors import SettingsError

State = Literal["ok", "warning", "error", "skipped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What was asked, and what came of it.

    state    `skipped`: not asked, and `message` says why
    path     the setting that it is about, or that has to change
    message  what was found
    hint     what to do
    shown    what Claude Code shows a developer while it is so, where the gateway was asked
    seconds  from the question to the answer
    """

    state: State = "ok"
    path: str
    message: str
    hint: str = ""
    shown: str = ""
    seconds: float | None = None

    @property
    def finding(self) -> Finding | None:
        """The step as a finding; None where nothing is wrong."""
        if self.state not in ("error", "warning"):
            return None
        return Finding(self.state, self.message, self.path, self.hint)


Steps: TypeAlias = AsyncIterator[Step]


def told(message: str, detail: str) -> str:
    """The gateway's words for its operator. What comes after a semicolon tells a caller to ask the operator."""
    words = message.partition("; ")[0]
    return f"{words} ({detail})" if detail else words


def steps_about(error: SettingsError) -> Iterator[Step]:
    """The mistakes of settings with which nothing can be asked."""
    for each in (error, *error.others):
        yield Step(state="error", path=each.path, message=each.message, hint=each.hint)


async def timed(steps: Steps, clock: Callable[[], float] = time.perf_counter) -> Steps:
    """The same steps, each with the time since the one before it. What was not asked has no time."""
    started = clock()
    async for step in steps:
        ended = clock()
        yield step if step.state == "skipped" else replace(step, seconds=ended - started)
        started = clock()
