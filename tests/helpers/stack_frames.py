"""The frames of our code, with their variables: of an exception, and of what runs."""

from __future__ import annotations

import asyncio
import pprint
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import asgi_llmgate

PACKAGE = str(Path(asgi_llmgate.__file__).parent)


def shown(frames: list[FrameType]) -> str:
    """The variables of our frames, as printers write them."""
    ours = [frame for frame in frames if frame.f_code.co_filename.startswith(PACKAGE + "/")]
    ours = [frame for frame in ours if not frame.f_code.co_filename.startswith(PACKAGE + "/testing")]
    assert ours
    return "\n".join(
        f"{frame.f_code.co_qualname}: {frame.f_locals!r} {pprint.pformat(frame.f_locals)}" for frame in ours
    )


def running_frames() -> list[FrameType]:
    """All frames of the running task, and those in which the other tasks wait."""
    frames = [each for each, _ in traceback.walk_stack(sys._getframe(1))]
    for task in asyncio.all_tasks():
        waiting: Any = task.get_coro()
        while waiting is not None:
            found = [getattr(waiting, name, None) for name in ("cr_frame", "ag_frame", "gi_frame")]
            frames += [each for each in found if each is not None]
            waiting = next(
                (n for a in ("cr_await", "ag_await", "gi_yieldfrom") if (n := getattr(waiting, a, None))), None
            )
    return frames


def chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        each = waiting.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting += [each.__cause__, each.__context__]


def frames_of(error: BaseException) -> list[FrameType]:
    return [frame for each in chain(error) for frame, _ in traceback.walk_tb(each.__traceback__)]
