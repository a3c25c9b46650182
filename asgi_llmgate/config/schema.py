"""All settings: one mapping for a YAML file, Django's LLMGATE and Quart's config.

Each section is a struct in the module of its name.  Reading settings opens nothing: secrets, keys and rules are looked
at by the functions of those modules, which make runtime objects of a section.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asgi_llmgate.config.errors import convert
from asgi_llmgate.config.section import Section
from asgi_llmgate.config.sections.auth import AuthSettings
from asgi_llmgate.config.sections.backends import BackendSettings, NetSettings, TranslationSettings
from asgi_llmgate.config.sections.models import ModelSettings, PassthroughSettings
from asgi_llmgate.config.sections.policy import PolicySettings
from asgi_llmgate.config.sections.server import ServerSettings
from asgi_llmgate.config.sections.usage import UsageSettings
from asgi_llmgate.errors import SettingsError
from asgi_llmgate.limits import Limit

VARIABLE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}")


class Settings(Section, frozen=True):
    """All settings of a gateway.

    `secret` names the secrets (`env:NAME`, `file:PATH`) that seal what clients keep for the gateway: the first one
    seals, all of them open.
    """

    backends: dict[str, BackendSettings]
    models: tuple[ModelSettings, ...]
    auth: AuthSettings = AuthSettings()
    policy: PolicySettings = PolicySettings()
    routes: dict[str, str | PassthroughSettings] = {}
    translation: TranslationSettings = TranslationSettings()
    limits: tuple[Limit, ...] = ()
    usage: UsageSettings = UsageSettings()
    net: NetSettings = NetSettings()
    server: ServerSettings = ServerSettings()
    secret: str | tuple[str, ...] = ()


def read_settings(mapping: Mapping[str, Any]) -> Settings:
    """The settings, checked.  Raises SettingsError with the path of the first mistake."""
    settings: Settings = convert(mapping, Settings)
    return settings


def read_file(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A YAML file as a mapping, `${NAME}` and `${NAME:-default}` in its texts replaced from the environment.

    Raises SettingsError: unreadable, not YAML or a key twice (with line and column), not a mapping, a variable that is
    not set.
    """
    from asgi_llmgate.config.yaml_text import LARGEST, read_yaml  # a host that has a mapping does without PyYAML

    try:
        with Path(path).open("rb") as file:
            content = read_yaml(file.read(LARGEST + 1), os.fspath(path))
    except OSError as error:
        raise SettingsError(f"cannot read {os.fspath(path)}: {error.strerror}") from None
    if not isinstance(content, dict):
        raise SettingsError(f"{os.fspath(path)} holds no mapping at its top level")
    return {str(key): _expanded(value, str(key)) for key, value in content.items()}


def _expanded(value: Any, path: str) -> Any:
    """The value with the variables of the environment in it; `path` is for errors."""
    if isinstance(value, str):
        return VARIABLE.sub(lambda found: _variable(found, path), value)
    if isinstance(value, list):
        return [_expanded(item, f"{path}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, dict):
        return {key: _expanded(item, f"{path}.{key}") for key, item in value.items()}
    return value


def _variable(found: re.Match[str], path: str) -> str:
    value = os.environ.get(found["name"]) or found["default"]
    if value is None:
        raise SettingsError(f"the environment variable {found['name']} is not set", path=path)
    return value
