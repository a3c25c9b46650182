"""Counted work: how much is done, told apart from how long it takes, which depends on the machine and its other guests.

Opcodes count what Python code does, loops inside of one call included; `tracemalloc` counts what is held.
"""

from __future__ import annotations

import gc
import sys
import threading
import tracemalloc
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any


def opcodes(work: Callable[[], object]) -> int:
    """How many instructions of Python code `work` runs."""
    return _traced(work) if sys.version_info < (3, 12) else _monitored(work)


def _traced(work: Callable[[], object]) -> int:
    done = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal done
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        done += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return done


def _monitored(work: Callable[[], object]) -> int:
    """By PEP 669: from Python 3.12 on a trace function misses the instructions of frames that were traced before."""
    monitoring: Any = sys.monitoring  # type: ignore[attr-defined,unused-ignore]
    thread, done = threading.get_ident(), 0

    def count(code: CodeType, offset: int) -> None:
        nonlocal done
        done += threading.get_ident() == thread

    monitoring.use_tool_id(monitoring.PROFILER_ID, "opcodes")
    try:
        monitoring.register_callback(monitoring.PROFILER_ID, monitoring.events.INSTRUCTION, count)
        monitoring.set_events(monitoring.PROFILER_ID, monitoring.events.INSTRUCTION)
        work()
    finally:
        monitoring.set_events(monitoring.PROFILER_ID, 0)
        monitoring.free_tool_id(monitoring.PROFILER_ID)
    return done


def peak(work: Callable[[], object]) -> int:
    """Bytes that are held at once while `work` runs, beyond what is held before it."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        work()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def handled(work: Callable[[], object], package: str) -> tuple[int, int]:
    """How many calls the functions of a package make while `work` runs, and how many bytes and characters they handle:
    what each is given or makes, and what an object holds that it did not hold before.

    So it sees what opcodes do not: a text that grows by being copied, one that is read from its beginning each time.
    A bytearray that is held and grows in place is not handled by growing.
    """
    calls = size = 0
    held: dict[tuple[int, str], int] = {}

    def text(value: object, kinds: tuple[type, ...]) -> int:
        return len(value) if isinstance(value, kinds) else 0  # type: ignore[arg-type]

    def profile(frame: FrameType, event: str, _: Any) -> None:
        nonlocal calls, size
        if event == "c_return" or not frame.f_globals.get("__name__", "").startswith(package):
            return
        calls += event != "return"
        if event not in ("call", "return"):
            return
        kinds = (bytes, str, bytearray) if event == "call" else (bytes, str)
        size += sum(text(value, kinds) for value in frame.f_locals.values())
        owner = frame.f_locals.get("self")
        for name in getattr(owner, "__slots__", None) or getattr(owner, "__dict__", ()):
            value = getattr(owner, name, None)
            if isinstance(value, (bytes, str)) and held.get((id(owner), name)) != id(value):
                held[id(owner), name] = id(value)
                size += len(value)

    before = sys.getprofile()
    gc.disable()  # a collection would close generators that earlier tests have left, and count as work
    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(before)
        gc.enable()
    return calls, size
