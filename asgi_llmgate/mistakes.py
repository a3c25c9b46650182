"""Several mistakes at once: whoever builds something of settings goes on after a mistake, and raises all at the end.

    mistakes = Mistakes()
    for index, row in enumerate(rows):
        with mistakes.under(f"models[{index}]"):
            made.append(make(row))
    mistakes.raise_if_any()

So a user reads everything that is wrong in one run, and a caller still catches one SettingsError, which has the further
ones as its `others`.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from copy import copy

from asgi_llmgate.errors import SettingsError

_STEP = re.compile(r"[.\[]")


@contextlib.contextmanager
def error_path(path: str) -> Iterator[None]:
    """Put `path` in front of the path of a SettingsError that is raised in the block, unless it begins with it."""
    try:
        yield
    except SettingsError as error:
        raise error.under(path) from None


class Mistakes:
    """The mistakes that were found so far, each once, in the order of their finding."""

    def __init__(self) -> None:
        self.found: list[SettingsError] = []
        self._told: set[str] = set()
        self._unknown: set[str] = set()
        self._written: dict[str, str] = {}

    def under(self, path: str = "") -> AbstractContextManager[None, bool | None]:
        """Keep a SettingsError that is raised in the block, with `path` in front of its path.  The block ends there."""
        return _Block(self, path)

    def part(self, path: str) -> AbstractContextManager[None, bool | None]:
        """As `under`, and what is at `path` is then not known, so that nothing more is told about it."""
        return _Block(self, path, is_part=True)

    def add(self, error: SettingsError) -> None:
        """Keep the error and its `others`, except those that follow from a value that is not known."""
        for each in (error, *error.others):
            about = (each.path, *(path.removeprefix("$.") for path in each.rests_on))
            if not any(map(self.is_unknown, about)):
                self._keep(each)

    def add_unknown(self, error: SettingsError) -> None:
        """Keep the error of a value that cannot be read: what is found out about that value later is not sure."""
        self._keep(error)
        self.mark_unknown(error.path)

    def mark_unknown(self, path: str) -> None:
        """The value at the path cannot be read, which is told elsewhere."""
        self._unknown.add(path)

    def is_unknown(self, path: str) -> bool:
        """Whether the value at the path, or one that it is a part of, cannot be read."""
        return bool(self._unknown) and any(part in self._unknown for part in _beginnings(path))

    def add_name(self, path: str, written: str) -> None:
        """What is found at `path`, and below it, is at `written` in the file."""
        self._written[path] = written

    def raise_if_any(self) -> None:
        """Raise the first mistake, with the others."""
        if self.found:
            first, *others = self.found
            first.others = tuple(others)
            raise first

    def _keep(self, error: SettingsError) -> None:
        alone = copy(error)  # without the traceback, which leads to all that was built
        alone.others = ()
        for part in _beginnings(alone.path) if self._written else ():
            if part in self._written:
                alone.path = self._written[part] + alone.path[len(part) :]
        if str(alone) not in self._told:
            self._told.add(str(alone))
            self.found.append(alone)


class _Block:
    """A block whose SettingsError is kept.

    Not a generator with contextlib.contextmanager: in Python 3.13 its frame and the traceback hold each other, and with
    them all that was built, until the garbage collector runs.
    """

    def __init__(self, mistakes: Mistakes, path: str, *, is_part: bool = False) -> None:
        self._mistakes = mistakes
        self._path = path
        self._is_part = is_part
        self._before = 0

    def __enter__(self) -> None:
        self._before = len(self._mistakes.found)

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        is_kept = isinstance(error, SettingsError)
        if isinstance(error, SettingsError):
            self._mistakes.add(error.under(self._path))
        if self._is_part and (is_kept or error is None) and len(self._mistakes.found) > self._before:
            self._mistakes.mark_unknown(self._path)
        return is_kept


def _beginnings(path: str) -> Iterator[str]:
    """The path itself, then the paths of what it is a part of, the longest first."""
    yield path
    for found in reversed(list(_STEP.finditer(path))):
        yield path[: found.start()]
