"""A file of lines that are written while requests wait: a disk that is full must cost neither a request nor a traceback
for each.

Lines that cannot be written wait in memory, up to KEPT of them, and are written in their order once that is possible;
further ones are lost and counted.  The log says once that it fails, and once that it works again.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import weakref
from collections import deque
from contextlib import suppress
from pathlib import Path

log = logging.getLogger("llmgate")

KEPT = 1000
"""Lines of 4 KiB at the most."""


class LogFile:
    """Appends to the file at `path`, which is opened at the first line and again whenever it has been moved away, as
    logrotate does.  Its methods do not raise OSError.  `lost` counts lines."""

    def __init__(self, path: str | Path) -> None:
        self._path = path
        self._descriptor = -1
        self._place: tuple[int, int] | None = None
        self._kept: deque[bytes] = deque()
        self._torn = False
        self._lock = threading.Lock()
        self.failing = False
        self.lost = 0
        _alive.add(self)

    def write(self, line: str) -> None:
        """One line in ASCII, without its end."""
        with self._lock:
            if len(self._kept) < KEPT:
                self._kept.append(line.encode("ascii") + b"\n")
            else:
                self.lost += 1
            self._try()

    def retry(self) -> None:
        """Write what waits, if that is possible now."""
        with self._lock:
            if self._kept:
                self._try()

    def close(self) -> None:
        """Write what waits, or count it as lost.  A later line opens the file again."""
        self.retry()
        with self._lock:
            if self._kept:
                self.lost += len(self._kept)
                log.error("%d lines of the access log could not be written", len(self._kept))
                self._kept.clear()
            self._let_go()

    def _try(self) -> None:
        try:
            self._open()
            while self._kept:
                self._append_first()
        except OSError as error:
            if not self.failing:
                log.error("the access log cannot be written (%s); its lines wait in memory", error.strerror)
            self.failing = True
        else:
            if self.failing:
                log.warning("the access log can be written again; %d lines were lost", self.lost)
            self.failing = False

    def _open(self) -> None:
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            found = None
        if found is not None and (found.st_dev, found.st_ino) == self._place:
            return
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        opened = os.open(self._path, flags, 0o666)  # before the old one is closed: there may be no other to be had
        self._let_go()
        found = os.fstat(opened)
        self._descriptor, self._place, self._torn = opened, (found.st_dev, found.st_ino), False

    def _append_first(self) -> None:
        """The whole line.  Half of one that came before is ended first: the file is not ours alone to cut."""
        data = b"\n" + self._kept[0] if self._torn else self._kept[0]
        written = os.write(self._descriptor, data)
        if written != len(data):
            self._torn = True
            if written == len(data) - 1:
                self._kept[0] = b""  # but for its end
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._torn = False
        self._kept.popleft()

    def _let_go(self) -> None:
        if self._place is not None:
            with suppress(OSError):
                os.close(self._descriptor)
        self._place = None

    def _forget(self) -> None:
        """In the child of a fork: what waits is the parent's to write."""
        self._lock = threading.Lock()
        self._kept.clear()
        self.failing = False


_alive: weakref.WeakSet[LogFile] = weakref.WeakSet()


def _after_fork() -> None:
    for file in list(_alive):
        file._forget()


os.register_at_fork(after_in_child=_after_fork)
