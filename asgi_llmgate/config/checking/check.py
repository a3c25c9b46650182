"""All mistakes of a settings file, with their places: what `llmgate check` tells.

Nothing is decided here.  The gateway is built as it is at a start, and what that finds gets its place in the file.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from asgi_llmgate.config.checking.advice import advise
from asgi_llmgate.config.checking.findings import Finding, Severity
from asgi_llmgate.config.checking.positions import Positions
from asgi_llmgate.config.schema import Settings, expand, read_bytes, read_settings
from asgi_llmgate.config.yaml_text import read_document
from asgi_llmgate.errors import SettingsError
from asgi_llmgate.mistakes import Mistakes

Build = Callable[[Settings, Path], object]
"""Builds a gateway of settings, and of the folder that their paths are relative to.  Raises SettingsError."""


MOST = 500
"""Findings of one file; to find a place takes as long as the file is large."""


class Checked(NamedTuple):
    """What was found in a file, in the order of the file.

    `settings` is None where it has an error, `positions` where it cannot be read.
    """

    file: str
    findings: list[Finding]
    settings: Settings | None
    positions: Positions | None

    def locate(self, finding: Finding) -> Finding:
        """The finding with the file, and with line and column if it is about a setting of the file."""
        line, column = self.positions.of(finding.path) if self.positions and finding.path else (0, 0)
        return replace(finding, file=self.file, line=line, column=column)


def check_file(path: str | os.PathLike[str], build: Build, *, strict: bool = False) -> Checked:
    """Check a settings file.  `strict`: a secret or a variable that is not there is an error, and not a warning."""
    name = os.fspath(path)
    mistakes, advice = Mistakes(), Mistakes()
    positions = None
    settings = None
    try:
        document = read_document(read_bytes(path), name, mistakes)
        positions = Positions(document.node, document.text)
        settings = read_settings(expand(document.content, name, mistakes), mistakes)
        with _warnings(advice), mistakes.under():
            build(settings, Path(path).parent)
        for error in advise(settings):
            if not mistakes.is_unknown(error.path):
                advice.add(error)
    except SettingsError as error:
        mistakes.add(error)
    found: list[tuple[SettingsError, Severity]] = [
        *((error, "warning" if error.missing and not strict else "error") for error in mistakes.found),
        *((error, "warning") for error in advice.found),
    ]
    findings = [_finding(error, severity, name, positions) for error, severity in found[:MOST]]
    findings.sort(key=lambda each: (each.line, each.column))
    if len(found) > MOST:
        findings.append(Finding("error", f"and {len(found) - MOST} more", file=name))
    wrong = any(severity == "error" for _, severity in found)
    return Checked(name, findings, None if wrong else settings, positions)


def _finding(error: SettingsError, severity: Severity, file: str, positions: Positions | None) -> Finding:
    if not error.path:  # about the file as a whole, or about its syntax
        line, column = error.place or (0, 0)
        message = error.problem.removeprefix(f"{file} ")
        return Finding(severity, message, hint=error.hint, file=file, line=line, column=column)
    line, column = positions.of(error.path, error.place) if positions else (0, 0)
    return Finding(severity, error.problem, error.path, error.hint, file, line, column)


@contextmanager
def _warnings(advice: Mistakes) -> Iterator[None]:
    """What the building logs about a setting is advice; nothing of it is logged meanwhile."""
    logger = logging.getLogger("llmgate")
    handler, propagate = _Collector(advice), logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate


class _Collector(logging.Handler):
    """Collects the warnings that name their setting (`extra={"setting": ...}`)."""

    def __init__(self, advice: Mistakes) -> None:
        super().__init__(logging.WARNING)
        self._advice = advice

    def emit(self, record: logging.LogRecord) -> None:
        if path := getattr(record, "setting", ""):
            message = getattr(record, "problem", "") or record.getMessage().removeprefix(f"{path}: ")
            error = SettingsError(message, path=path)
            error.place = getattr(record, "place", None)
            self._advice.add(error)
