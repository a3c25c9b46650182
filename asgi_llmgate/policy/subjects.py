"""The list of people who are locked out now: a file, one subject a line, read again when it changes.

A token stays good until it expires; this does not wait for it.  `#` begins a comment.  Looked at once a second at the
most, by size and time of change, so a list that is replaced counts within a second.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from asgi_llmgate.errors import SettingsError

log = logging.getLogger("llmgate")


class DeniedSubjects:
    """`subject in denied`.  Raises SettingsError where the file cannot be read at start.

    When it cannot be read later the last list stays: nobody is let in again by an accident.  `now` gives seconds.
    """

    def __init__(self, path: str | os.PathLike[str], *, now: Callable[[], float] = time.monotonic) -> None:
        self._path = Path(path)
        self._now = now
        self._looked = now()
        try:
            self._seen = self._state()
            self._subjects = self._read()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"cannot be read ({type(error).__name__})", path="deny_subjects.file") from None

    def __contains__(self, subject: str) -> bool:
        if self._now() - self._looked >= 1.0:
            self._looked = self._now()
            self._refresh()
        return subject in self._subjects

    def _refresh(self) -> None:
        try:
            state = self._state()
            if state != self._seen:
                self._subjects = self._read()
                self._seen = state
        except (OSError, UnicodeDecodeError) as error:
            log.error("the list of denied subjects cannot be read (%s); the last one counts", type(error).__name__)

    def _state(self) -> tuple[int, int, int]:
        found = self._path.stat()
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read(self) -> frozenset[str]:
        lines = (line.partition("#")[0].strip() for line in self._path.read_text(encoding="utf-8").splitlines())
        return frozenset(line for line in lines if line)
