"""Reads back what was written, as the gateway itself would, but for the secrets, which are not set here."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from asgi_llmgate.config.schema import read_settings
from asgi_llmgate.errors import SettingsError
from asgi_llmgate.gateway import Gateway


def find_mistake(settings: Mapping[str, Any]) -> str:
    """What the gateway says about the settings, with the path of the mistake; "" if it takes them."""
    tried = copy.deepcopy(dict(settings))
    for backend in tried["backends"].values():
        backend.pop("api_key", None)
    try:
        read_settings(settings)
        with _quiet():
            Gateway.from_settings(read_settings(tried), folder=Path())
    except SettingsError as error:
        return str(error)
    return ""


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings of a start: they are said when the gateway starts."""
    log = logging.getLogger("llmgate")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        log.setLevel(level)
