"""The TLS context of the transports that this package makes."""

from __future__ import annotations

import asyncio
import os
import ssl
from functools import lru_cache

from asgi_llmgate.errors import SettingsError


class TLS:
    """The context of one client, made with the first connection that needs it; the files are those of `tls_context`.

    Reading the authorities takes some 50 ms and 3 MB, which a gateway with its model servers in its own network does
    without. Raises SettingsError at once for files that cannot be used.
    """

    def __init__(
        self, ca_file: str | None = None, client_cert: str | None = None, client_key: str | None = None
    ) -> None:
        self._files = ca_file, client_cert, client_key
        self._made: ssl.SSLContext | None = None
        if any(self._files):
            self.make()

    def make(self) -> ssl.SSLContext:
        """The context, at once."""
        if self._made is None:
            self._made = tls_context(*self._files)
        return self._made

    async def context(self) -> ssl.SSLContext:
        """The context, made in a thread if it has to be made, so that the event loop goes on.  Raises OSError."""
        if self._made is None:
            return await asyncio.to_thread(self.make)
        return self._made


@lru_cache
def tls_context(ca_file: str | None, client_cert: str | None, client_key: str | None) -> ssl.SSLContext:
    """Trusts what httpx trusts (certifi, or SSL_CERT_FILE), what the system trusts, and the authorities in `ca_file`.

    Shared by the clients of a process: reading the authorities takes tens of milliseconds.  Raises SettingsError for a
    file that cannot be used.
    """
    context = _default_context()
    context.load_default_certs()
    try:
        if ca_file:
            context.load_verify_locations(ca_file)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"{ca_file} cannot be used: {error}", path="ca_file") from None
    try:
        if client_cert:
            context.load_cert_chain(client_cert, client_key, password=_no_password)
    except (OSError, ssl.SSLError, ValueError) as error:
        absent = isinstance(error, FileNotFoundError | PermissionError)  # a key is a secret: not on every machine
        raise SettingsError(f"{client_cert} cannot be used: {error}", path="client_cert", missing=absent) from None
    return context


def _default_context() -> ssl.SSLContext:
    # What httpx.create_ssl_context() does; importing httpx would load 56 modules into every process with a gateway.
    if file := os.environ.get("SSL_CERT_FILE"):
        return ssl.create_default_context(cafile=file)
    if folder := os.environ.get("SSL_CERT_DIR"):
        return ssl.create_default_context(capath=folder)
    import certifi  # for connections with TLS only

    return ssl.create_default_context(cafile=certifi.where())


def _no_password() -> str:
    # Without this OpenSSL would ask for it on the terminal.
    raise ValueError("the key is encrypted; only keys without a password are supported")
