"""The access log: one line per request, as JSON or logfmt, on the logger `llmgate.access`.

A line is ASCII without control characters, whatever the request contained: quotes, line breaks, terminal escapes,
U+2028 and the bidirectional overrides are written as `\\uXXXX`, and no value can forge a field beside it.  A line is
shorter than 4096 bytes, which a pipe takes in one piece (PIPE_BUF, pipe(7)), so lines of several workers do not mix.

Where the host has set up logging, its handlers get the lines.  Where it has not (uvicorn by itself has no handler for
the root logger), they are written to standard output.  No logger of the host is changed: no handler is added, no level
is set.  A formatter of the host finds the values in `record.llmgate`.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Mapping
from json.encoder import encode_basestring_ascii
from pathlib import Path
from typing import Any, Literal, TextIO

from asgi_llmgate.asgi import Health
from asgi_llmgate.usage.log_file import LogFile
from asgi_llmgate.usage.record import UsageRecord, to_json

log = logging.getLogger("llmgate")

LOGGER = "llmgate.access"

LINE_LIMIT = 4096
"""Bytes of one line with its line break."""

Render = Callable[[Mapping[str, Any]], str]

_UNQUOTED = re.compile(r"[!#-<>-\[\]-~]+")
"""What logfmt may leave unquoted: printable ASCII without blank, quote, equals sign and backslash."""


class AccessLog:
    """A sink that writes one line for each record.

    With `file`, lines go to that file only, and not through `logging`.  Without, they go to the logger
    `llmgate.access`; while no handler would get them there, they go to standard output, unless `stdout` is False.
    """

    # `stdout` is True by default: an access log that is lost because the app never called logging.basicConfig() is
    # found missing on the day it is needed.  `logging` does the same for warnings (`logging.lastResort`, on stderr).
    def __init__(
        self, format: Literal["json", "logfmt"] = "json", file: str | Path | None = None, *, stdout: bool = True
    ) -> None:
        self._render: Render = to_json_text if format == "json" else to_logfmt
        self._line: Callable[[UsageRecord], bytes] = json_line if format == "json" else logfmt_line
        self._logger: logging.Logger | None = None
        self._file = None if file is None else LogFile(file)
        self._stdout = _Stdout() if stdout and file is None else None

    def emit(self, record: UsageRecord) -> None:
        """Write the line of one record."""
        if self._file is not None:
            self._file.write(self._line(record))
            return
        # Not before the first record: logging.config disables the loggers that exist when it is called.
        logger = self._logger = self._logger or logging.getLogger(LOGGER)
        if not _is_wanted(logger):
            return
        handler: logging.Logger | _Stdout | None = logger if logger.hasHandlers() else self._stdout
        if handler is not None:
            flat = record.flat()
            line = bounded(flat, self._render)
            # Logger.info would ask the root's level, which is WARNING unless it was set, and drop the line.
            handler.handle(
                logger.makeRecord(LOGGER, logging.INFO, __file__, 0, line, (), None, extra={"llmgate": flat})
            )

    def health(self) -> Health:
        """For `/readyz`: whether lines wait or get lost.  Handlers of the host are not looked at."""
        failing = False
        if self._file is not None:
            self._file.retry()
            failing = self._file.failing
        elif self._stdout is not None:
            failing = self._stdout.failing
        return Health(limping=("access log",) if failing else ())

    async def aclose(self) -> None:
        """`close`, for a gateway that closes its sinks."""
        self.close()

    def close(self) -> None:
        """Close the file, if there is one.  A later record opens it again."""
        if self._file is not None:
            self._file.close()


def _is_wanted(logger: logging.Logger) -> bool:
    """Whether the levels of `llmgate.access` and `llmgate` let INFO pass; the root's level does not count."""
    level = logger.level or logging.getLogger("llmgate").level
    return level <= logging.INFO and logger.manager.disable < logging.INFO


class _Stdout(logging.StreamHandler[TextIO]):
    """Writes to what `sys.stdout` is at that moment.  Belongs to no logger.

    When writing fails, the log says so once, and once more when it works again; `logging` itself would print a
    traceback for each line.
    """

    def __init__(self) -> None:
        logging.Handler.__init__(self)
        self.failing = False
        self._failed = False
        self._lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        self._failed = False
        super().emit(record)
        if self.failing and not self._failed:
            self.failing = False
            log.warning("the access log can be written again; up to %d lines were lost", self._lost)

    def handleError(self, record: logging.LogRecord) -> None:
        self._failed = True
        self._lost += 1
        if not self.failing:
            self.failing = True
            error = sys.exc_info()[1]
            why = error.strerror if isinstance(error, OSError) else type(error).__name__
            log.error("the access log cannot be written (%s)", why)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stdout


def json_line(record: UsageRecord) -> bytes:
    """The line of a record as JSON, without its line break: the JSON object of `flat`, in ASCII."""
    # What only the ledger may keep of a verdict is left out by `flat`.
    if not record.safeguards:
        line = to_json(record)
        if record.fields:
            # They are the last value.  Without their name and a brace they are values like the others; no text can
            # contain this name, because its quotes would be escaped.
            line = line[:-1].replace(b'"fields":{', b"", 1)
        if len(line) < LINE_LIMIT:
            return line
    return bounded(record.flat(), to_json_text).encode("ascii")


def logfmt_line(record: UsageRecord) -> bytes:
    """The line of a record as logfmt, without its line break."""
    return bounded(record.flat(), to_logfmt).encode("ascii")


def bounded(flat: dict[str, Any], render: Render) -> str:
    """The line, with the longest values halved until it is short enough; `flat` is changed with it."""
    line = render(flat)
    while len(line) >= LINE_LIMIT:
        longest = max(flat, key=lambda name: len(to_json(flat[name])))
        value = flat[longest]
        if isinstance(value, (str, list, tuple)) and len(value) > 1:
            flat[longest] = value[: len(value) // 2]
        else:
            del flat[longest]
        line = render(flat)
    return line


def to_json_text(flat: Mapping[str, Any]) -> str:
    """One JSON object in ASCII."""
    return to_json(flat).decode("ascii")


def to_logfmt(flat: Mapping[str, Any]) -> str:
    """`name=value` pairs; values are quoted as in JSON where they are not plain, lists are joined with commas."""
    return " ".join([f"{name}={_quoted(value)}" for name, value in flat.items()])


def _quoted(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        value = ",".join([item if isinstance(item, str) else to_json_text(item) for item in value])
    elif not isinstance(value, str):
        return str(value).lower()  # numbers, true, false
    return value if _UNQUOTED.fullmatch(value) else encode_basestring_ascii(value)
