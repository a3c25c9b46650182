"""Seals what clients keep for the gateway, so that they can neither read nor change it, and not use it elsewhere.

The keys are derived from the setting `secret` (HKDF, RFC 5869), one for each purpose.  The first secret seals, and all
of them open, so a secret can be replaced while clients hold what was sealed with the old one.  Without a secret there
is a random key, so what it has sealed can be opened as long as this process lives, and in no other worker.
"""

from __future__ import annotations

import json
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from asgi_llmgate.secret_values import Secret

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE = 12
"""Bytes."""


def derive_keys(secrets_: Sequence[Secret], purpose: str) -> tuple[bytes, ...]:
    """A key of 32 bytes for each secret, which is good for this purpose alone."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    label = f"asgi-llmgate {purpose}".encode()
    return tuple(HKDF(SHA256(), length=32, salt=None, info=label).derive(each.reveal().encode()) for each in secrets_)


class Sealer:
    """Seals for one purpose; `secrets_` are those of the settings."""

    def __init__(self, secrets_: Sequence[Secret] = (), *, purpose: str = "carriers") -> None:
        self._secrets = secrets_ or (Secret(secrets.token_hex(32)),)
        self._purpose = purpose

    def bound_to(self, *context: str) -> BoundSealer:
        """Seals for one context: it can be opened with the same context only."""
        return BoundSealer(self, context)

    def __repr__(self) -> str:
        return "Sealer(...)"

    @cached_property
    def ciphers(self) -> tuple[AESGCM, ...]:
        """One for each secret."""
        # By the first response that needs them: importing takes longer than the start of a small process should.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        return tuple(AESGCM(key) for key in derive_keys(self._secrets, self._purpose))


class BoundSealer:
    """A `protocol.translation.carriers.Seal`."""

    __slots__ = ("_context", "_sealer")

    def __init__(self, sealer: Sealer, context: tuple[str, ...]) -> None:
        self._sealer = sealer
        self._context = context

    def seal(self, content: bytes) -> str:
        nonce = secrets.token_bytes(_NONCE)
        sealed = self._sealer.ciphers[0].encrypt(nonce, content, self._bound_data)
        return urlsafe_b64encode(nonce + sealed).decode().rstrip("=")

    def open(self, sealed: str) -> bytes | None:
        """The content; None for what was not sealed with one of the secrets and the same context."""
        from cryptography.exceptions import InvalidTag

        try:
            data = urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4))
        except ValueError:
            return None
        if len(data) <= _NONCE:
            return None
        for cipher in self._sealer.ciphers:
            try:
                return cipher.decrypt(data[:_NONCE], data[_NONCE:], self._bound_data)
            except InvalidTag:
                continue
        return None

    @property
    def _bound_data(self) -> bytes:
        return json.dumps(self._context).encode()
