"""`secret`: what clients keep for the gateway is sealed with it."""

from __future__ import annotations

from asgi_llmgate.errors import SettingsError
from asgi_llmgate.mistakes import Mistakes
from asgi_llmgate.net.secrets import parse_secret
from asgi_llmgate.sealing import Sealer
from asgi_llmgate.secret_values import Secret

SHORTEST = 32
"""Characters: as many as 16 random bytes have in hexadecimal digits."""


def make_sealer(names: str | tuple[str, ...]) -> Sealer:
    """The Sealer for the secrets of these names.  Raises what `read_secrets` raises."""
    return Sealer(read_secrets(names))


def read_secrets(names: str | tuple[str, ...]) -> list[Secret]:
    """The secrets of these names.  Raises SettingsError for a name without a secret, and for a secret that could be
    guessed."""
    if isinstance(names, str):
        return [_read(names, "secret")]
    secrets = []
    mistakes = Mistakes()
    for index, name in enumerate(names):
        with mistakes.under():
            secrets.append(_read(name, f"secret[{index}]"))
    mistakes.raise_if_any()
    return secrets


def _read(name: str, path: str) -> Secret:
    secret = parse_secret(name, path=path).secret
    if len(secret.reveal()) < SHORTEST:
        hint = "make one with: openssl rand -hex 32"
        raise SettingsError(f"the secret has less than {SHORTEST} characters", path=path, hint=hint)
    return secret
