"""asgi-llmgate for Starlette and FastAPI.

    gateway = from_config(Config(".env"))                        # the file that LLMGATE_CONFIG names, or llmgate.yaml
    app = Starlette(
        routes=[..., Mount("/llm", app=gateway)],
        lifespan=combine(lifespan, gateway.lifespan),            # Starlette does not run a mounted app's lifespan
        middleware=[
            Middleware(JWTAuthMiddleware, providers=[...], mode="optional"),
            Middleware(AuthenticationMiddleware, backend=IdentityBackend()),    # request.user, request.auth
        ],
    )

`identity` and `require_identity` are dependencies in FastAPI and plain functions elsewhere.  `session_viewer` is a
`page_auth` for a UsagePage, by the host's session.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, MutableMapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

from asgi_llmgate.extras import needs_extra

with needs_extra("starlette", "llmgate_starlette"):
    from starlette.authentication import AuthCredentials, AuthenticationBackend, BaseUser
    from starlette.config import Config
    from starlette.exceptions import HTTPException
    from starlette.requests import HTTPConnection

from asgi_llmgate import Exchange, Gateway, Identity

__all__ = ["IdentityBackend", "User", "combine", "from_config", "identity", "require_identity", "session_viewer"]

A = TypeVar("A")
Lifespan = Callable[[Any], AbstractAsyncContextManager[A]]
"""A `lifespan` of Starlette or FastAPI; a mapping that it yields becomes `request.state`."""

# Variables that settings name: ${NAME}, ${NAME:-default} and env:NAME.
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)|\benv:([A-Za-z_][A-Za-z0-9_]*)")


def from_config(config: Config, default: str | os.PathLike[str] = "llmgate.yaml") -> Gateway:
    """The gateway of a YAML file: the one that LLMGATE_CONFIG names in the environment or in the .env file of `config`,
    or `default`.

    What the file takes from the environment (`${NAME}`, `env:NAME`) may be in the .env file too; the environment
    counts first, as it does for Starlette, and is not changed.  Raises SettingsError with the place of a mistake.
    """
    path = Path(config("LLMGATE_CONFIG", default=os.fspath(default)))
    named = {names[0] or names[1] for names in _VARIABLE.findall(path.read_text("utf-8"))} if path.is_file() else set()
    with _in_environment({name: value for name, value in config.file_values.items() if name in named}):
        return Gateway.from_file(path)


@contextmanager
def _in_environment(values: Mapping[str, str]) -> Iterator[None]:
    # The settings are read from the environment, once, while the gateway is built.  What the .env file has is there for
    # that time only: the environment is the host's, and programs that it starts would inherit keys from it.
    missing = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(missing)
    try:
        yield
    finally:
        for name in missing:
            os.environ.pop(name, None)


def combine(*lifespans: Lifespan[Mapping[str, Any] | None] | Lifespan[None]) -> Lifespan[Mapping[str, Any]]:
    """Several lifespans as one.

    They start in this order and stop in the reverse order, also if a later one fails to start.  What they yield for
    `request.state` is merged.
    """

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
    """The identity of this request, in a route behind a JWTAuthMiddleware.  Without a token it is not authenticated.

    Raises LookupError if no layer of asgi_llmgate is in front of the app.
    """
    return Exchange.of(connection.scope).identity


def require_identity(connection: HTTPConnection) -> Identity:
    """The identity, or a 401 if there is none.  For routes behind a JWTAuthMiddleware with mode `optional`."""
    found = identity(connection)
    if not found.is_authenticated:
        raise HTTPException(401, "authentication failure: no bearer token found", {"www-authenticate": "Bearer"})
    return found


def session_viewer(
    key: str = "user", *, login: str | None = None
) -> Callable[[MutableMapping[str, Any]], Mapping[str, Any] | str | None]:
    """`page_auth` of a UsagePage behind Starlette's SessionMiddleware.

    The viewer is the session's value under `key`; a text becomes `{"name": text}`.  A browser without that value is
    sent to `login`, or gets a 403 if there is no `login`.  The page raises LookupError if no SessionMiddleware is
    around it.
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
    """`request.user`: the identity with the attributes of Starlette's BaseUser, and the token's claims."""

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
    """For Starlette's AuthenticationMiddleware, behind a JWTAuthMiddleware.

    `request.user` is the caller.  `request.auth` has `authenticated` and the token's scopes, so that
    `@requires("authenticated")` and `@requires("reports:read")` work.
    """

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, BaseUser] | None:
        found = identity(conn)
        if not found.is_authenticated:
            return None
        return AuthCredentials(["authenticated", *_scopes(found.claims)]), User(found)


def _scopes(claims: Mapping[str, Any]) -> list[str]:
    """The scopes of a token: `scope` is one text (RFC 8693 section 4.2), `scp` of Entra and Okta is a text or a
    list."""
    found = claims.get("scopes") or claims.get("scope") or claims.get("scp") or ()
    return found.split() if isinstance(found, str) else [each for each in found if isinstance(each, str)]
