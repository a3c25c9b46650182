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

import msgspec

from asgi_llmgate.config.section import Section
from asgi_llmgate.config.sections.auth import AuthSettings
from asgi_llmgate.config.sections.backends import BackendSettings, NetSettings, TranslationSettings
from asgi_llmgate.config.sections.models import ModelSettings, PassthroughSettings
from asgi_llmgate.config.sections.policy import PolicySettings
from asgi_llmgate.config.sections.safeguards import SafeguardsSettings
from asgi_llmgate.config.sections.server import ServerSettings
from asgi_llmgate.config.sections.usage import UsageSettings
from asgi_llmgate.errors import SettingsError
from asgi_llmgate.limits import Limit
from asgi_llmgate.mistakes import Mistakes

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
    safeguards: SafeguardsSettings | None = None
    usage: UsageSettings = UsageSettings()
    net: NetSettings = NetSettings()
    server: ServerSettings = ServerSettings()
    secret: str | tuple[str, ...] = ()


def read_settings(mapping: Mapping[str, Any], mistakes: Mistakes | None = None) -> Settings:
    """The settings, checked.

    Raises SettingsError for the first mistake, with the others.  With `mistakes` nothing is raised: they are added
    there, and what is wrong is replaced in the settings.
    """
    try:
        return msgspec.convert(mapping, Settings)
    except msgspec.ValidationError:  # msgspec stops at the first mistake
        from asgi_llmgate.config.repair import repair

        found = Mistakes() if mistakes is None else mistakes
        settings: Settings = repair(mapping, Settings, found)
    if mistakes is None:
        found.raise_if_any()
    return settings


def read_file(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A YAML file as a mapping, `${NAME}` and `${NAME:-default}` in its texts replaced from the environment.

    Raises SettingsError: unreadable, not YAML or a key twice (with line and column), not a mapping, a variable that is
    not set.
    """
    from asgi_llmgate.config.yaml_text import read_yaml  # a host that has a mapping does without PyYAML

    mistakes = Mistakes()
    mapping = expand(read_yaml(read_bytes(path), os.fspath(path)), os.fspath(path), mistakes)
    mistakes.raise_if_any()
    return mapping


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The file, or the beginning of one that is too large.  Raises SettingsError where it cannot be read."""
    from asgi_llmgate.config.yaml_text import LARGEST

    try:
        with Path(path).open("rb") as file:
            return file.read(LARGEST + 1)
    except FileNotFoundError as error:
        hint = "change to the folder of the file; `llmgate init` writes a first one"
        raise SettingsError(f"{os.fspath(path)} cannot be read: {error.strerror}", hint=hint) from None
    except OSError as error:
        raise SettingsError(f"{os.fspath(path)} cannot be read: {error.strerror}") from None
    except ValueError:  # a NUL in the name
        raise SettingsError(f"{os.fspath(path)!a} cannot be read: no file can have this name") from None


def expand(content: Any, name: str, mistakes: Mistakes) -> dict[str, Any]:
    """The content of a file, with the variables of the environment in its texts.

    A text with a variable that is not set stays as it is, and is told to `mistakes`.  `name` is what errors call the
    file.  Raises SettingsError where the content is no mapping.
    """
    if content is None:
        raise SettingsError(f"{name} is empty")
    if not isinstance(content, dict):
        raise SettingsError(f"{name} holds no mapping at its top level", hint="it begins with a key, such as models:")
    return {str(key): _expanded(value, str(key), mistakes) for key, value in content.items()}


def _expanded(value: Any, path: str, mistakes: Mistakes) -> Any:
    """The value with the variables of the environment in it; `path` is for errors."""
    if isinstance(value, str):
        return VARIABLE.sub(lambda found: _variable(found, path, mistakes), value)
    if isinstance(value, list):
        return [_expanded(item, f"{path}[{index}]", mistakes) for index, item in enumerate(value)]
    if isinstance(value, dict):
        return {key: _expanded(item, f"{path}.{key}", mistakes) for key, item in value.items()}
    return value


def _variable(found: re.Match[str], path: str, mistakes: Mistakes) -> str:
    value = os.environ.get(found["name"]) or found["default"]
    if value is None:
        error = SettingsError(f"the environment variable {found['name']} is not set", path=path, missing=True)
        mistakes.add_unknown(error)
        return found[0]
    return value
