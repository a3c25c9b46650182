"""What a model server is shown, as an interface: a key of ours, or a token that depends on who calls.

    env:NAME, file:PATH            net/secrets.py
    a function of yours            CallableSource
    an OAuth grant                 upstream/oauth_credentials.py

It is asked for every call, and nobody but the request to that server ever holds what it gives.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import ClassVar, Protocol

from asgi_llmgate.errors import CredentialUnavailable, GateError
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.protocol.redaction import redacted
from asgi_llmgate.secret_values import Secret


class CredentialSource(Protocol):
    """Subclass it: everything but `get` has a default.

    key_header   the header that the credential goes into, where that is not for the server's dialect to say; in
                 `authorization` it is a bearer token
    needs_token  whether it is made of the caller's own token, so that there has to be one
    """

    key_header: ClassVar[str] = ""
    needs_token: ClassVar[bool] = False

    async def get(self, exchange: Exchange) -> Secret:
        """The credential for this call.  Must be quick, or cache.  Raises GateError."""
        ...

    def refused(self, exchange: Exchange) -> bool:
        """The model server did not accept it.  True says that `get` will now give another, worth one more try."""
        return False


class CallableSource(CredentialSource):
    """A function of the exchange, asynchronous or not, that returns the key or token; it does its own caching.

    What it raises, if it is no GateError, is told as CredentialUnavailable.
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
            raise unavailable(f"{type(error).__name__}: {redacted(str(error))}") from None
        if isinstance(given, str):
            given = Secret(given)
        if not isinstance(given, Secret) or not given:
            raise unavailable(f"the function gave {type(given).__name__} and not a text")
        return given


def unavailable(detail: str) -> CredentialUnavailable:
    """503: what the model server is to be shown cannot be had now."""
    return CredentialUnavailable("the credential for the model server cannot be obtained now", detail=detail)
