"""The site's session as an identity for the gateway.

The session is only read.  The gateway sends no cookie, so the session key of the browser must stay as it is; Django
would change it when it finds a session that was signed with an older SECRET_KEY.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from importlib import import_module
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.auth.base_user import AbstractBaseUser
from django.http import HttpRequest, parse_cookie
from django.shortcuts import resolve_url

from asgi_llmgate import Identity
from llmgate_django.thread import DatabaseThread

ISSUER = "django"


class DjangoSession:
    """The identity of a request's session cookie.  JWTAuthMiddleware calls it if the request has no token."""

    def __init__(self, thread: DatabaseThread) -> None:
        self._look_up = thread.asynchronous(look_up)

    async def __call__(self, scope: MutableMapping[str, Any]) -> Identity | None:
        headers = [value for name, value in scope["headers"] if name == b"cookie"]
        if not headers:
            return None
        key = parse_cookie(b"; ".join(headers).decode("latin-1")).get(settings.SESSION_COOKIE_NAME)
        return await self._look_up(key) if key else None


class PageViewer:
    """`page_auth` for a UsagePage: the user's claims, or the URL of the login page, or None for a user who is not staff
    (if `staff` is set)."""

    def __init__(self, *, staff: bool) -> None:
        self._staff = staff
        self._session = DjangoSession(DatabaseThread())

    async def __call__(self, scope: MutableMapping[str, Any]) -> Mapping[str, Any] | str | None:
        viewer = await self._session(scope)
        if viewer is None:
            return f"{resolve_url(settings.LOGIN_URL)}?{urlencode({'next': scope['path']})}"
        return viewer.claims if viewer.claims["staff"] or not self._staff else None


def look_up(key: str) -> Identity | None:
    """The identity of a valid session whose user is active, or None."""
    request = HttpRequest()
    request.session = _ReadOnlySession(import_module(settings.SESSION_ENGINE).SessionStore(key).items())  # type: ignore[assignment]
    user = get_user(request)
    return identity_of(user) if isinstance(user, AbstractBaseUser) and user.is_active else None


def identity_of(user: AbstractBaseUser) -> Identity:
    """The identity of a user.  Rules read it as `jwt.sub` (the user name), `jwt.email`, `jwt.groups`, `jwt.staff` and
    `jwt.superuser`."""
    claims: dict[str, Any] = {
        "iss": ISSUER,
        "sub": user.get_username(),
        "email": getattr(user, user.get_email_field_name(), "") or "",
        "groups": list(user.groups.values_list("name", flat=True)) if hasattr(user, "groups") else [],
        "staff": bool(getattr(user, "is_staff", False)),
        "superuser": bool(getattr(user, "is_superuser", False)),
    }
    return Identity(subject=claims["sub"], issuer=ISSUER, provider=ISSUER, claims=claims)


class _ReadOnlySession(dict[str, Any]):
    """A session without the two methods by which `get_user` would change it."""

    def cycle_key(self) -> None:
        """Does nothing: the browser keeps its session key."""

    def flush(self) -> None:
        """Does nothing: an invalid session is deleted by the site."""
