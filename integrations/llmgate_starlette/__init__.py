"""asgi-llmgate at home in Starlette and FastAPI.

    gateway = from_config(Config(".env"))                        # the file that LLMGATE_CONFIG names, or llmgate.yaml
    app = Starlette(
        routes=[..., Mount("/llm", app=gateway)],
        lifespan=combine(lifespan, gateway.lifespan),            # a mounted app's own lifespan is never run
        middleware=[
            Middleware(JWTAuthMiddleware, providers=[...], mode="optional"),
            Middleware(AuthenticationMiddleware, backend=IdentityBackend()),    # request.user, request.auth
        ],
    )

`identity` and `require_identity` are dependencies for FastAPI, and functions for anybody else.  `session_viewer` lets
people see a UsagePage by the session that they have.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Callable, Mapping, MutableMapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

try:
    from starlette.authentication import AuthCredentials, AuthenticationBackend, BaseUser
    from starlette.config import Config
    from starlette.exceptions import HTTPException
    from starlette.requests import HTTPConnection
except ImportError:
    raise ImportError("llmgate_starlette needs Starlette: pip install 'asgi-llmgate[starlette]'") from None

from asgi_llmgate import Exchange, Gateway, Identity

__all__ = ["IdentityBackend", "User", "combine", "from_config", "identity", "require_identity", "session_viewer"]

A = TypeVar("A")
Lifespan = Callable[[Any], AbstractAsyncContextManager[A]]
"""What Starlette and FastAPI take as `lifespan`; a mapping becomes `request.state`."""

_NAMED = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)|\benv:([A-Za-z_][A-Za-z0-9_]*)")


def from_config(config: Config, default: str | os.PathLike[str] = "llmgate.yaml") -> Gateway:
    """The gateway of the YAML file that LLMGATE_CONFIG names, in the environment or in the .env file of `config`.

    What the file takes from the environment (`${NAME}`, `env:NAME`) may be in the .env file too; the environment
    counts first, as it does for Starlette.  Raises SettingsError with the place of a mistake.
    """
    path = Path(config("LLMGATE_CONFIG", default=os.fspath(default)))
    if path.is_file():
        for names in _NAMED.findall(path.read_text("utf-8")):
            name = names[0] or names[1]
            if name not in os.environ and name in config.file_values:
                os.environ[name] = config.file_values[name]
    return Gateway.from_file(path)


def combine(*lifespans: Lifespan[Mapping[str, Any] | None] | Lifespan[None]) -> Lifespan[Mapping[str, Any]]:
    """Several lifespans as one: entered in this order, left in the reverse, also when a later one fails to start; what
    they yield for `request.state` is merged."""

    @asynccontextmanager
    async def combined(app: Any) -> AsyncIterator[Mapping[str, Any]]:
        state: dict[str, Any] = {}
        async with AsyncExitStack() as stack:
            for lifespan in lifespans:
                given: Mapping[str, Any] | None = await stack.enter_async_context(lifespan(app))
                state.update(given or {})
            yield state

    return combined


def identity(connection: HTTPConnection) -> Identity:
    """Who sends this request, in a route behind a JWTAuthMiddleware; not authenticated where nobody has said.

    Raises LookupError where no layer of asgi_llmgate is in front of the app.
    """
    return Exchange.of(connection.scope).identity


def require_identity(connection: HTTPConnection) -> Identity:
    """The same, and 401 for who has not said: for routes behind a JWTAuthMiddleware whose mode is `optional`."""
    found = identity(connection)
    if not found.is_authenticated:
        raise HTTPException(401, "authentication failure: no bearer token found", {"www-authenticate": "Bearer"})
    return found


def session_viewer(
    key: str = "user", *, login: str | None = None
) -> Callable[[MutableMapping[str, Any]], Mapping[str, Any] | str | None]:
    """`page_auth` of a UsagePage behind Starlette's SessionMiddleware: the viewer is what the session has under `key`,
    and a name alone is `{"name": ...}`.  Who has none is sent to `login`, or refused.

    The page raises LookupError where no SessionMiddleware is around it.
    """

    def viewer(scope: MutableMapping[str, Any]) -> Mapping[str, Any] | str | None:
        if "session" not in scope:
            raise LookupError("no session in this scope: put SessionMiddleware around the mounted page")
        found = scope["session"].get(key)
        if not found:
            return None if login is None else f"{login}?{urlencode({'next': scope['path']})}"
        return found if isinstance(found, Mapping) else {"name": str(found)}

    return viewer


class User(BaseUser):
    """`request.user`: the identity in Starlette's words, and the token's claims."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    @property
    def claims(self) -> Mapping[str, Any]:
        return self._identity.claims

    @property
    def is_authenticated(self) -> bool:
        return self._identity.is_authenticated

    @property
    def display_name(self) -> str:
        claims = self._identity.claims
        return str(claims.get("name") or claims.get("email") or self._identity.subject)

    @property
    def identity(self) -> str:
        return self._identity.subject


class IdentityBackend(AuthenticationBackend):
    """For Starlette's AuthenticationMiddleware, after a JWTAuthMiddleware: `request.user` is the caller, `request.auth`
    has `authenticated` and the token's scopes, so that `@requires("authenticated")` and `@requires("reports:read")`
    work."""

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, BaseUser] | None:
        found = identity(conn)
        if not found.is_authenticated:
            return None
        return AuthCredentials(["authenticated", *_scopes(found.claims)]), User(found)


def _scopes(claims: Mapping[str, Any]) -> list[str]:
    """`scope` is one text (RFC 8693 section 4.2), `scp` of Entra and Okta a text or a list."""
    found = claims.get("scopes") or claims.get("scope") or claims.get("scp") or ()
    return found.split() if isinstance(found, str) else [each for each in found if isinstance(each, str)]
