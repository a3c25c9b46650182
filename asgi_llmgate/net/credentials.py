"""Credentials for model servers: the gateway's key, or a token that depends on the caller.

    env:NAME, file:PATH            net/secrets.py
    a function of the host         CallableSource
    an OAuth grant                 upstream/oauth_credentials.py

`get` is called for each call, and only that request holds the result.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import ClassVar, Protocol

from asgi_llmgate.errors import TRY_AGAIN, CredentialUnavailable, GateError
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.protocol.redaction import redacted
from asgi_llmgate.secret_values import Secret


class CredentialSource(Protocol):
    """The base class of credentials; everything but `get` has a default.

    key_header   the request header for the credential, where the dialect's is not right; in `authorization` it is sent
                 as a bearer token
    needs_token  whether it is made from the caller's token, so that the caller must have one
    """

    key_header: ClassVar[str] = ""
    needs_token: ClassVar[bool] = False

    async def get(self, exchange: Exchange) -> Secret:
        """The credential for this call.  Must be quick, or cache.  Raises GateError."""
        ...

    def refused(self, exchange: Exchange) -> bool:
        """The model server refused the credential.  True: `get` now returns another one, and the request is sent
        again."""
        return False


class CallableSource(CredentialSource):
    """A function of the exchange, asynchronous or not, that returns the key or token; it does its own caching.

    An exception of the function that is no GateError becomes CredentialUnavailable.
    """

    def __init__(self, function: Callable[[Exchange], str | Secret | Awaitable[str | Secret]]) -> None:
        self._function = function

    async def get(self, exchange: Exchange) -> Secret:
        try:
            given = self._function(exchange)
            if inspect.isawaitable(given):
                given = await given
        except GateError:
            raise
        except Exception as error:
            # `from None`: a traceback of the host's function may show its secrets.
            raise unavailable(f"{type(error).__name__}: {redacted(str(error))}") from None
        if isinstance(given, str):
            given = Secret(given)
        if not isinstance(given, Secret) or not given:
            raise unavailable(f"the function gave {type(given).__name__} and not a text")
        return given


def unavailable(detail: str) -> CredentialUnavailable:
    """The error (503) where the credential for the model server cannot be obtained."""
    message = "the credential for the model server cannot be obtained now"
    told = f"the gateway has no access to the model server now; {TRY_AGAIN}"
    return CredentialUnavailable(message, client_message=told, detail=detail)
