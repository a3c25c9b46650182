"""The file of denied subjects: callers who are refused at once, even if their tokens have not expired.

The file has one subject per line.  `#` starts a comment only at the beginning of a line, because subjects may contain
it (`user_ext#EXT#@tenant` of an Entra guest).  Subjects are compared case-sensitively (RFC 7519 section 4.1.2), in
Unicode's composed form (NFC).

The file is checked for changes at most once per second, by its times, size and inode; then it is read again.
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

MAX_SUBJECT_LENGTH = 1024
"""Characters of one subject."""

MAX_FILE_SIZE = 16 * 2**20
"""Bytes of the file."""

_LINE_END = re.compile(r"\r\n|\n|\r")
_TRAILING_COMMENT = re.compile(r"[ \t]#")
# The byte order marks that Windows editors write.
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class UnreadableFile(ValueError):
    """The file cannot be read as a list of subjects.  The text names the line and never contains its content."""


class DeniedSubjects:
    """The subjects in the file: `subject in denied`.  `now` gives monotonic seconds.

    Raises SettingsError if the file cannot be read at start, or has a line that cannot be a subject.  If that happens
    later, the last list remains valid, and the good lines of the new one are added to it.
    """

    # Added, not replaced: a mistake in the file must not let someone in again, and one bad line must not keep the
    # subjects in the other lines from being denied.

    def __init__(self, path: str | os.PathLike[str], *, now: Callable[[], float] = time.monotonic) -> None:
        self._path = Path(path)
        self._now = now
        self._checked_at = now()
        self._problem = ""
        try:
            self._last_version = self._version()
            self._subjects, mistakes = self._read()
        except (OSError, UnreadableFile) as error:
            raise SettingsError(_describe(error), path="deny_subjects.file") from None
        if mistakes:
            raise SettingsError(f"{self._path}:{mistakes[0]}", path="deny_subjects.file")

    def __contains__(self, subject: str) -> bool:
        if self._now() - self._checked_at >= 1.0:
            self._checked_at = self._now()
            self._refresh()
        return _normalize(subject) in self._subjects

    def _refresh(self) -> None:
        try:
            state = self._version()
            if state == self._last_version:
                return
            subjects, mistakes = self._read()
        except (OSError, UnreadableFile) as error:
            self._report(f"{_describe(error)}; the last one remains valid")
            return
        self._last_version = state
        if mistakes:
            self._subjects |= subjects
            self._report(
                f"has a mistake at {self._path}:{mistakes[0]}; the last one remains valid, with the other lines"
            )
        else:
            self._subjects, self._problem = subjects, ""

    def _report(self, problem: str) -> None:
        """Log the problem once, not for every request."""
        if problem != self._problem:
            log.error("the list of denied subjects %s", problem)
        self._problem = problem

    def _version(self) -> tuple[int, int, int, int]:
        found = self._path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise UnreadableFile(f"{self._path} is not a regular file")
        return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino

    def _read(self) -> tuple[frozenset[str], list[str]]:
        """The subjects, and the mistakes as `LINE NUMBER: reason`.  Raises OSError, UnreadableFile."""
        with self._path.open("rb") as file:
            data = file.read(MAX_FILE_SIZE + 1)
        if len(data) > MAX_FILE_SIZE:
            raise UnreadableFile(f"{self._path} is larger than {MAX_FILE_SIZE // 2**20} MiB")
        if data.startswith(_UTF_16):
            raise UnreadableFile(f"{self._path} is UTF-16; save it as UTF-8")
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = len(_LINE_END.findall(data[: error.start].decode("latin-1"))) + 1
            raise UnreadableFile(f"{self._path}:{line}: not UTF-8") from None
        subjects, mistakes = set(), []
        for number, subject in _subjects(text):
            if wrong := _find_mistake(subject):
                mistakes.append(f"{number}: {wrong}")
            else:
                subjects.add(_normalize(subject))
        return frozenset(subjects), mistakes


def _describe(error: OSError | UnreadableFile) -> str:
    return f"cannot be read ({error if isinstance(error, UnreadableFile) else type(error).__name__})"


def _subjects(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(_LINE_END.split(text), 1):
        subject = line.strip(" \t")
        if subject and not subject.startswith("#"):
            yield number, subject


def _find_mistake(subject: str) -> str:
    """Why a token's subject cannot be this; "" when it can.

    A line that matches no subject is an error, because its author meant someone.
    """
    if len(subject) > MAX_SUBJECT_LENGTH:
        return f"longer than {MAX_SUBJECT_LENGTH} characters"
    if _TRAILING_COMMENT.search(subject):
        return "a comment needs a line of its own, because a subject may contain `#`"
    for character in "" if subject.isprintable() else subject:
        # Control and format characters, and spaces other than " ", come from an editor, not from a provider.
        if unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp", "Zs") and character != " ":
            return f"contains the invisible U+{ord(character):04X}; to deny such a subject, write a rule on jwt.sub"
    return ""


def _normalize(subject: str) -> str:
    return subject if subject.isascii() else unicodedata.normalize("NFC", subject)
