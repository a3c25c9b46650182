"""The list of people who are locked out now: a file, one subject a line, read again when it changes.

A token stays good until it expires; this does not wait for it.  Looked at once a second at the most, by size, inode and
times, so a list that is replaced counts within a second.

A line is compared whole: `#` begins a comment only where nothing but blanks stands before it, since subjects hold it
(`user_ext#EXT#@tenant` of an Entra guest).  Both sides are compared in Unicode's composed form (NFC), and case counts,
as RFC 7519 section 4.1.2 has it.  A line that could match nobody is an error: whoever wrote it meant somebody.
"""

from __future__ import annotations

import codecs
import logging
import os
import re
import stat
import time
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

from asgi_llmgate.errors import SettingsError

log = logging.getLogger("llmgate")

LONGEST = 1024
"""Characters of a subject."""

LARGEST = 16 * 2**20
"""Bytes of the file."""

_LINE_END = re.compile(r"\r\n|\n|\r")
_TRAILING_COMMENT = re.compile(r"[ \t]#")
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Unreadable(ValueError):
    """The file is not a list of subjects.  The text names the line and never what is in it."""


class DeniedSubjects:
    """`subject in denied`.  Raises SettingsError where the file cannot be read at start, or has a line that is wrong.

    When that happens later the last list stays, and the lines that are good are added to it: nobody is let in again by
    an accident, and nobody gets in because of somebody else's line.  `now` gives seconds.
    """

    def __init__(self, path: str | os.PathLike[str], *, now: Callable[[], float] = time.monotonic) -> None:
        self._path = Path(path)
        self._now = now
        self._looked = now()
        self._trouble = ""
        try:
            self._seen = self._state()
            self._subjects, mistakes = self._read()
        except (OSError, Unreadable) as error:
            raise SettingsError(self._told(error), path="deny_subjects.file") from None
        if mistakes:
            raise SettingsError(f"{self._path}:{mistakes[0]}", path="deny_subjects.file")

    def __contains__(self, subject: str) -> bool:
        if self._now() - self._looked >= 1.0:
            self._looked = self._now()
            self._refresh()
        return _normal(subject) in self._subjects

    def _refresh(self) -> None:
        try:
            state = self._state()
            if state == self._seen:
                return
            subjects, mistakes = self._read()
        except (OSError, Unreadable) as error:
            self._tell(f"{self._told(error)}; the last one counts")
            return
        self._seen = state
        if mistakes:
            self._subjects |= subjects
            self._tell(f"is wrong at {self._path}:{mistakes[0]}; the last one counts, and its other lines do")
        else:
            self._subjects, self._trouble = subjects, ""

    def _tell(self, trouble: str) -> None:
        if trouble != self._trouble:
            log.error("the list of denied subjects %s", trouble)
        self._trouble = trouble

    def _told(self, error: OSError | Unreadable) -> str:
        return f"cannot be read ({error if isinstance(error, Unreadable) else type(error).__name__})"

    def _state(self) -> tuple[int, int, int, int]:
        found = self._path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise Unreadable(f"{self._path} is no regular file")
        return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino

    def _read(self) -> tuple[frozenset[str], list[str]]:
        """The subjects, and the lines that are none, as `NUMBER: why`.  Raises OSError, Unreadable."""
        with self._path.open("rb") as file:
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise Unreadable(f"{self._path} is larger than {LARGEST // 2**20} MiB")
        if data.startswith(_UTF_16):
            raise Unreadable(f"{self._path} is UTF-16; save it as UTF-8")
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = len(_LINE_END.findall(data[: error.start].decode("latin-1"))) + 1
            raise Unreadable(f"{self._path}:{line}: not UTF-8") from None
        subjects, mistakes = set(), []
        for number, subject in _subjects(text):
            if wrong := _mistake(subject):
                mistakes.append(f"{number}: {wrong}")
            else:
                subjects.add(_normal(subject))
        return frozenset(subjects), mistakes


def _subjects(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(_LINE_END.split(text), 1):
        subject = line.strip(" \t")
        if subject and not subject.startswith("#"):
            yield number, subject


def _mistake(subject: str) -> str:
    """Why no token's subject can be this, "" when one can."""
    if len(subject) > LONGEST:
        return f"longer than {LONGEST} characters"
    if _TRAILING_COMMENT.search(subject):
        return "a comment needs a line of its own: `#` may be part of a subject"
    for character in "" if subject.isprintable() else subject:
        # Invisible ones (Cc, Cf, Zl, Zp, any blank but the plain one) come from an editor, not from a provider.
        if unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp", "Zs") and character != " ":
            return f"holds U+{ord(character):04X}, which cannot be seen; deny such a subject by a rule on jwt.sub"
    return ""


def _normal(subject: str) -> str:
    return subject if subject.isascii() else unicodedata.normalize("NFC", subject)
