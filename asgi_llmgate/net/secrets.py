"""Secrets from `env:NAME` or `file:PATH`, never from the settings file itself.

A file is read again when it changes: Kubernetes and Vault's agent rotate a secret with a new file at the same path.
This costs one `stat` per request.  These are also credentials (net/credentials.py) that do not depend on the caller.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from asgi_llmgate.errors import SettingsError
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.net.credentials import CredentialSource
from asgi_llmgate.net.headers import header_value
from asgi_llmgate.secret_values import Secret


class SecretSource(Protocol):
    """A secret that does not depend on the caller.  `get` is called for each use and returns the current value."""

    async def get(self) -> Secret: ...


class StaticSecret(CredentialSource):
    """A secret that does not change while the process runs."""

    def __init__(self, secret: Secret) -> None:
        self.secret = secret

    async def get(self, exchange: Exchange | None = None) -> Secret:
        return self.secret


class FileSecret(CredentialSource):
    """The content of a file, without white space around it.

    While the file is missing, empty or not readable, the secret that was read last stays valid.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._seen = _version(self._path)
        self.secret = Secret(_read(self._path))

    async def get(self, exchange: Exchange | None = None) -> Secret:
        try:
            seen = _version(self._path)
            if seen != self._seen:
                self.secret = Secret(_read(self._path))
                self._seen = seen
        except (OSError, ValueError):
            # Some tools replace a file in two steps, and a request in between must not fail.
            pass
        return self.secret


def _version(path: Path) -> tuple[int, int, int]:
    # The inode too: a new file may have the same size, and a time that was copied from the old one.
    stat = path.stat()
    return stat.st_ino, stat.st_mtime_ns, stat.st_size


def _read(path: Path) -> str:
    text = path.read_text("utf-8").strip()
    if not text:
        raise ValueError("the secret is empty")
    return text


def parse_secret(spec: str, *, path: str = "", in_header: bool = False) -> StaticSecret | FileSecret:
    """The source that `env:NAME` or `file:PATH` names.  It is read once at once, so that an error is found at start.

    `path` is the place in the settings, for errors.  Raises SettingsError where there is no secret and, with
    `in_header`, where it cannot be sent in a header.  A value of neither form is not repeated in the error, because it
    is probably the key itself.
    """
    source = _source(spec, path)
    if in_header:
        try:
            header_value(source.secret.reveal())
        except ValueError as error:
            raise SettingsError(f"the key in {spec.partition(':')[2]} cannot be used: {error}", path=path) from None
    return source


def _source(spec: str, path: str) -> StaticSecret | FileSecret:
    kind, _, name = spec.partition(":")
    if kind == "env" and name:
        value = os.environ.get(name, "").strip()
        if not value:
            raise SettingsError(f"the environment variable {name} is not set", path=path, missing=True)
        return StaticSecret(Secret(value))
    if kind == "file" and name:
        try:
            return FileSecret(name)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is empty, or not UTF-8"
            raise SettingsError(f"the secret in {name} cannot be read: {why}", path=path, missing=True) from None
    raise SettingsError("a secret is named, not written here", path=path, hint="env:NAME or file:PATH")
