"""One line per request, as JSON or logfmt, on the logger `llmgate.access`.

A line is ASCII without control characters, whatever the request said: quotes, line breaks, terminal escapes, U+2028
and the bidirectional overrides leave as `\\uXXXX`, and no value can forge a field beside it.  It is shorter than 4096
bytes, which is what a pipe takes in one piece (PIPE_BUF, pipe(7)), so lines of several workers do not mix.

A host that has set up logging gets the lines where it wants them.  One that has not (uvicorn by itself: no handler, no
INFO) gets them on stdout, through a handler that is added at the first record, when the host has had its chance.  Hosts
with a formatter of their own find the values in `record.llmgate`.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
from collections.abc import Callable, Mapping
from json.encoder import encode_basestring_ascii
from pathlib import Path
from typing import Any, Literal, TextIO

from asgi_llmgate.asgi import Health
from asgi_llmgate.usage.log_file import LogFile
from asgi_llmgate.usage.record import UsageRecord

log = logging.getLogger("llmgate")

LOGGER = "llmgate.access"

LINE_LIMIT = 4096
"""Bytes of one line with its line break."""

Render = Callable[[Mapping[str, Any]], str]

_BARE = re.compile(r"[!#-<>-\[\]-~]+")
"""What logfmt may leave unquoted: printable ASCII but blank, quote, equals sign and backslash."""

_adopting = threading.Lock()


class AccessLog:
    """A sink that writes lines.

    With `file` they go to that file only (logfile.py), past the host's logging.
    """

    def __init__(self, format: Literal["json", "logfmt"] = "json", file: str | Path | None = None) -> None:
        self._render: Render = to_json if format == "json" else to_logfmt
        self._logger: logging.Logger | None = None
        self._file = None if file is None else LogFile(file)

    def emit(self, record: UsageRecord) -> None:
        if self._file is not None:
            self._file.write(bounded(record.flat(), self._render))
            return
        logger = self._logger or self._adopt()
        if logger.isEnabledFor(logging.INFO):
            flat = record.flat()
            logger.info(bounded(flat, self._render), extra={"llmgate": flat})

    def health(self) -> Health:
        """For `/readyz`: whether lines wait or get lost.  Handlers of the host's own are the host's to watch."""
        if self._file is not None:
            self._file.retry()
            failing = self._file.failing
        else:
            failing = any(isinstance(each, _Stdout) and each.failing for each in logging.getLogger(LOGGER).handlers)
        return Health(limping=("access log",) if failing else ())

    def close(self) -> None:
        """Close the file, if there is one.  A later record opens it again."""
        if self._file is not None:
            self._file.close()

    def _adopt(self) -> logging.Logger:
        with _adopting:
            self._logger = ready_logger()
        return self._logger


def ready_logger() -> logging.Logger:
    """The logger, audible: with a handler of ours where the host has none, at INFO where the host has set no level.

    The root's level is not the host's word on us, since it is WARNING by default; that of `llmgate` is.
    """
    logger = logging.getLogger(LOGGER)
    if not logger.hasHandlers():
        logger.addHandler(_Stdout())
        logger.propagate = False  # a root handler that appears later would double each line
    if logger.level == logging.getLogger("llmgate").level == logging.NOTSET:
        logger.setLevel(logging.INFO)
    return logger


class _Stdout(logging.StreamHandler[TextIO]):
    """Writes to what `sys.stdout` is at that moment, as logging's own last resort does for stderr.

    Where that fails the log says so once, and once more when it works again; logging itself would print a traceback for
    each line.
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


def bounded(flat: dict[str, Any], render: Render) -> str:
    """The line, with the longest values halved until it is short enough; `flat` is changed with it."""
    line = render(flat)
    while len(line) >= LINE_LIMIT:
        longest = max(flat, key=lambda name: len(json.dumps(flat[name])))
        value = flat[longest]
        if isinstance(value, (str, list, tuple)) and len(value) > 1:
            flat[longest] = value[: len(value) // 2]
        else:
            del flat[longest]
        line = render(flat)
    return line


to_json: Render = json.JSONEncoder(separators=(",", ":")).encode


def to_logfmt(flat: Mapping[str, Any]) -> str:
    """`name=value` pairs; values are quoted as in JSON where they are not plain, lists are joined with commas."""
    return " ".join([f"{name}={_quoted(value)}" for name, value in flat.items()])


def _quoted(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        value = ",".join(value)
    elif not isinstance(value, str):
        return str(value).lower()  # numbers, true, false
    return value if _BARE.fullmatch(value) else encode_basestring_ascii(value)
