"""The write-ahead journal: files of lines.  Each file is locked by the process that writes it.

    .<token>-<pid>-<n>.new       a segment that is being created: other processes ignore it
    <token>-<pid>-<n>.jsonl      a segment: one record per line, each appended with one `write`

The writer of a segment holds a `flock` on it, which the kernel releases however the process ends.  So a segment without
a lock has lost its writer, and the first process that sees it takes it over.  A segment is deleted while its lock is
held, after its contents have been committed to the database.  A crash between commit and deletion means that its lines
are inserted once more, which the unique `request_id` makes harmless.

The lock is flock(2) and not the one of fcntl(2), which any `close` of the file in the process would release.  The
folder has to be on a local disk.
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
"""Bytes after which a new segment is begun, so that a long outage of the database does not make one huge file."""

_READ_SIZE = 2**18
_PROBE = bytes(2**14)  # large enough that a nearly full disk refuses it
_UNFINISHED_LIFETIME = 60.0
"""Seconds after which an unfinished segment counts as left behind."""


@dataclass(eq=False, slots=True)
class Segment:
    """One file whose lock this process holds.  `size`: bytes of the complete lines that this process has written."""

    path: Path
    descriptor: int
    size: int = 0

    def lines(self) -> Iterator[bytes]:
        """All lines, without line breaks.  A last line without a line break is half a record and is left out."""
        rest, offset = b"", 0
        while piece := os.pread(self.descriptor, _READ_SIZE, offset):
            offset += len(piece)
            *whole, rest = (rest + piece).split(b"\n")
            yield from whole

    def discard(self) -> None:
        """Delete the file, after all of it is in the database."""
        with suppress(FileNotFoundError):
            self.path.unlink()
        self.close()

    def close(self) -> None:
        """Close the file, which releases its lock: another process may take it over."""
        with suppress(OSError):
            os.close(self.descriptor)


class Journal:
    """The segments of one process in `folder`, which is created at the first append.

    `append` may be called by any thread; `take` and `adopt` by one thread only.
    """

    def __init__(self, folder: Path, *, limit: int = SEGMENT_LIMIT) -> None:
        self.folder = folder
        self._limit = limit
        self.after_fork()

    def after_fork(self) -> None:
        """Begin with no segments.  Those of the parent are closed here, because their locks last until the last copy of
        the file descriptor is closed."""
        for segment in (getattr(self, "_current", None), *getattr(self, "_full", ())):
            if segment is not None:
                segment.close()
        self._lock = threading.Lock()
        self._current: Segment | None = None
        self._full: list[Segment] = []
        self._name = f"{secrets.token_hex(8)}-{os.getpid()}"  # a pid is not unique: every container has a process 1
        self._count = 0

    def append(self, line: bytes) -> None:
        """Write one line, completely or not at all.  Raises OSError (no space, no folder, no permission)."""
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
                self._truncate(segment)
                raise
            if written != len(data):
                self._truncate(segment)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            segment.size += written

    def probe(self) -> None:
        """Write and delete 16 KiB.  Raises OSError if that is not possible."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.folder / f".{self._name}.probe"
        try:
            if path.write_bytes(_PROBE) != len(_PROBE):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            path.unlink(missing_ok=True)

    def take(self) -> list[Segment]:
        """The segments written so far.  Later lines go to a new one."""
        with self._lock:
            taken, self._full = self._full, []
            if self._current is not None:
                taken.append(self._current)
                self._current = None
        return taken

    def adopt(self) -> list[Segment]:
        """The segments that no process holds; this process holds them now."""
        try:
            names = sorted(os.listdir(self.folder))
        except FileNotFoundError:
            return []
        if unfinished := [self.folder / name for name in names if name.endswith(UNFINISHED)]:
            _delete_unfinished(unfinished)
        paths = [self.folder / name for name in names if name.endswith(SUFFIX)]
        return [segment for path in paths if (segment := _lock_segment(path)) is not None]

    def _open(self) -> Segment:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._count += 1
        path = self.folder / f"{self._name}-{self._count}{SUFFIX}"
        hidden = self.folder / f".{path.stem}{UNFINISHED}"
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        descriptor = os.open(hidden, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Renamed only when it is locked: without a lock another process would take it over.
            hidden.rename(path)
        except OSError:
            os.close(descriptor)
            hidden.unlink(missing_ok=True)
            raise
        return Segment(path, descriptor)

    def _truncate(self, segment: Segment) -> None:
        """Remove half a line.  If even that fails, no more lines are written to this segment."""
        try:
            os.ftruncate(segment.descriptor, segment.size)
        except OSError:
            self._full.append(segment)
            self._current = None


def _delete_unfinished(unfinished: list[Path]) -> None:
    """Delete unfinished segments of processes that died while they created one.  They contain no lines.

    A segment that is being created right now must stay, so only old ones are deleted.  Their age is measured by the
    file system's clock, because this process's clock may be wrong or may have been corrected.
    """
    with suppress(OSError):  # no space for the temporary file: try again later
        with tempfile.TemporaryFile(dir=unfinished[0].parent) as made_now:
            now = os.fstat(made_now.fileno()).st_mtime
        for path in unfinished:
            with suppress(FileNotFoundError):
                if now - path.stat().st_mtime > _UNFINISHED_LIFETIME:
                    path.unlink()


def _lock_segment(path: Path) -> Segment | None:
    """The segment at `path` with its lock, or None if another process has it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
    except OSError:
        return None  # deleted by another process, or not readable for this user
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_nlink:  # 0: another process has deleted it between open and lock
            return Segment(path, descriptor)
    except OSError:
        pass
    os.close(descriptor)
    return None
