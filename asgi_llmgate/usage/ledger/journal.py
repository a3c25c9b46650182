"""The write-ahead journal: files of lines, each held by the process that writes it, and left to all when that dies.

    .<token>-<pid>-<n>.new       being made: not looked at by anybody else
    <token>-<pid>-<n>.jsonl      a segment: one record per line, appended with one `write` each

Who writes a segment holds `flock` on it, which the kernel gives back however the process ends.  So a segment whose lock
is free is nobody's: whichever process sees it first takes it over.  A segment is deleted after what is in it has been
committed to the database, and while its lock is held; a crash in between means that its lines are inserted once more,
which the unique `request_id` makes harmless.

The lock is flock(2) and not fcntl(2)'s, which one `close` anywhere in the process would drop.  The folder belongs on a
local disk.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

SUFFIX = ".jsonl"
UNFINISHED = ".new"

SEGMENT_LIMIT = 8 * 2**20
"""Bytes after which a segment is followed by another, so that a long outage of the database is many bearable files."""

_READ = 2**18
_PROBE = bytes(2**14)
_STALE = 60.0


@dataclass(eq=False, slots=True)
class Segment:
    """One file whose lock we hold.  `size` is the bytes of whole lines in it, as far as we wrote them ourselves."""

    path: Path
    descriptor: int
    size: int = 0

    def lines(self) -> Iterator[bytes]:
        """The lines from the first on, without their ends.  A last one without an end is half of a record: left out."""
        rest, offset = b"", 0
        while piece := os.pread(self.descriptor, _READ, offset):
            offset += len(piece)
            *whole, rest = (rest + piece).split(b"\n")
            yield from whole

    def discard(self) -> None:
        """Delete the file: all of it is in the database."""
        with suppress(FileNotFoundError):
            self.path.unlink()
        self.close()

    def close(self) -> None:
        """Let go of the file; it is anybody's from here on."""
        with suppress(OSError):
            os.close(self.descriptor)


class Journal:
    """The segments of one process in `folder`, which is made at the first append.

    `append` may be called by any thread; `take` and `adopt` by one.
    """

    def __init__(self, folder: Path, *, limit: int = SEGMENT_LIMIT) -> None:
        self.folder = folder
        self._limit = limit
        self.forget()

    def forget(self) -> None:
        """Start anew, as after a fork: the segments are the parent's, and held until their last copy is closed."""
        for segment in (getattr(self, "_current", None), *getattr(self, "_full", ())):
            if segment is not None:
                segment.close()
        self._lock = threading.Lock()
        self._current: Segment | None = None
        self._full: list[Segment] = []
        self._name = f"{secrets.token_hex(8)}-{os.getpid()}"  # pids repeat: every container has a process 1
        self._count = 0

    def append(self, line: bytes) -> None:
        """Write one line, whole or not at all.  Raises OSError: no space, no folder, no permission."""
        data = line + b"\n"
        with self._lock:
            segment = self._current
            if segment is not None and segment.size >= self._limit:
                self._full.append(segment)
                segment = None
            if segment is None:
                segment = self._current = self._open()
            try:
                written = os.write(segment.descriptor, data)
            except OSError:
                self._repair(segment)
                raise
            if written != len(data):
                self._repair(segment)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            segment.size += written

    def probe(self) -> None:
        """Write and delete some kilobytes.  Raises OSError while the folder takes nothing."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.folder / f".{self._name}.probe"
        try:
            if path.write_bytes(_PROBE) != len(_PROBE):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            path.unlink(missing_ok=True)

    def take(self) -> list[Segment]:
        """The segments written so far; what is appended from now on goes to another."""
        with self._lock:
            taken, self._full = self._full, []
            if self._current is not None:
                taken.append(self._current)
                self._current = None
        return taken

    def adopt(self) -> list[Segment]:
        """The segments that nobody holds, now held by us."""
        try:
            names = sorted(os.listdir(self.folder))
        except FileNotFoundError:
            return []
        if unfinished := [self.folder / name for name in names if name.endswith(UNFINISHED)]:
            _sweep(unfinished)
        paths = [self.folder / name for name in names if name.endswith(SUFFIX)]
        return [segment for path in paths if (segment := _adopted(path)) is not None]

    def _open(self) -> Segment:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._count += 1
        path = self.folder / f"{self._name}-{self._count}{SUFFIX}"
        hidden = self.folder / f".{path.stem}{UNFINISHED}"
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        descriptor = os.open(hidden, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            hidden.rename(path)  # not before it is locked: another process would take it for an orphan
        except OSError:
            os.close(descriptor)
            hidden.unlink(missing_ok=True)
            raise
        return Segment(path, descriptor)

    def _repair(self, segment: Segment) -> None:
        """Take half a line back; where even that fails, let the segment end there."""
        try:
            os.ftruncate(segment.descriptor, segment.size)
        except OSError:
            self._full.append(segment)
            self._current = None


def _sweep(unfinished: list[Path]) -> None:
    """Delete what was left by processes that died while they made a segment; nothing can be in it.

    A segment that is being made must not go: its process would have nowhere to write.  So its age is told by the clock
    that stamps files, which a wrong or corrected clock of this process is not.
    """
    with suppress(OSError):  # no space for one more file: another time
        with tempfile.TemporaryFile(dir=unfinished[0].parent) as made_now:
            now = os.fstat(made_now.fileno()).st_mtime
        for path in unfinished:
            with suppress(FileNotFoundError):
                if now - path.stat().st_mtime > _STALE:
                    path.unlink()


def _adopted(path: Path) -> Segment | None:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
    except OSError:
        return None  # deleted by another, or not ours to read
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_nlink:  # else it was finished and deleted between our open and our lock
            return Segment(path, descriptor)
    except OSError:
        pass
    os.close(descriptor)
    return None
