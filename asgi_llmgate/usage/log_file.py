"""A log file that is written while requests wait: a full disk must not fail a request, nor log a traceback for each.

Lines that cannot be written wait in memory, up to MAX_WAITING of them, and are written in their order once that is
possible; further ones are lost and counted.  The log says once that writing fails, and once that it works again.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections import deque
from contextlib import suppress
from pathlib import Path

log = logging.getLogger("llmgate")

MAX_WAITING = 1000
"""Lines, each of at most 4 KiB."""


class LogFile:
    """Appends lines to the file at `path`.

    The file is opened at the first line, and again whenever it has been moved away, as logrotate does.  The methods do
    not raise OSError.  `failing` says whether the last line could not be written, `lost` counts lines.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = os.fspath(path)
        self._descriptor = -1
        self._opened: tuple[int, int] | None = None  # device and inode
        self._torn = False
        self._processes = {os.getpid(): _Process()}

    @property
    def failing(self) -> bool:
        return self._of_this_process().failing

    @property
    def lost(self) -> int:
        return self._of_this_process().lost

    def write(self, line: bytes) -> None:
        """Append one line, given without its line break."""
        process = self._of_this_process()
        with process.lock:
            if len(process.waiting) < MAX_WAITING:
                process.waiting.append(line + b"\n")
            else:
                process.lost += 1
            self._write_waiting(process)

    def retry(self) -> None:
        """Write the lines that wait, if that is possible now."""
        process = self._of_this_process()
        with process.lock:
            if process.waiting:
                self._write_waiting(process)

    def close(self) -> None:
        """Write the lines that wait, or count them as lost.  A later line opens the file again."""
        self.retry()
        process = self._of_this_process()
        with process.lock:
            if process.waiting:
                process.lost += len(process.waiting)
                log.error("%d lines of the access log could not be written", len(process.waiting))
                process.waiting.clear()
            self._close_descriptor()

    def _of_this_process(self) -> _Process:
        # A fork copies the waiting lines, which the parent writes, and the lock, which a thread of the parent may hold.
        # os.register_at_fork would tell of a fork at once, but a hook can never be taken back from the host's process.
        found = self._processes.get(os.getpid())
        return found or self._processes.setdefault(os.getpid(), _Process())

    def _write_waiting(self, process: _Process) -> None:
        try:
            self._open()
            while process.waiting:
                self._append_first(process.waiting)
        except OSError as error:
            if not process.failing:
                log.error("the access log cannot be written (%s); its lines wait in memory", error.strerror)
            process.failing = True
        else:
            if process.failing:
                log.warning("the access log can be written again; %d lines were lost", process.lost)
            process.failing = False

    def _open(self) -> None:
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            found = None
        if found is not None and (found.st_dev, found.st_ino) == self._opened:
            return
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        # Opened before the old one is closed: there may be no other descriptor to be had.
        opened = os.open(self._path, flags, 0o666)
        self._close_descriptor()
        found = os.fstat(opened)
        self._descriptor, self._opened, self._torn = opened, (found.st_dev, found.st_ino), False

    def _append_first(self, waiting: deque[bytes]) -> None:
        """Write the first line that waits.  Raises OSError if not all of it could be written."""
        # Half of a line that was written before is ended first; other processes may have appended since, so the file
        # cannot be cut.
        data = b"\n" + waiting[0] if self._torn else waiting[0]
        written = os.write(self._descriptor, data)
        if written != len(data):
            self._torn = True
            if written == len(data) - 1:
                waiting[0] = b""  # only the line break is missing
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._torn = False
        waiting.popleft()

    def _close_descriptor(self) -> None:
        if self._opened is not None:
            with suppress(OSError):
                os.close(self._descriptor)
        self._opened = None


class _Process:
    """What belongs to one process, and not to those that are forked from it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.waiting: deque[bytes] = deque()
        self.failing = False
        self.lost = 0
