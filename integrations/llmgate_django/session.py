"""Who is logged in to the site, as an identity for the gateway.

The session is only read: the gateway sends no cookie back, so it must not change the key that the browser has, which
Django does on the way when SECRET_KEY was rotated.
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
    """What JWTAuthMiddleware asks where there is no token: the identity behind the session cookie of a request."""

    def __init__(self, thread: DatabaseThread) -> None:
        self._look_up = thread.asynchronous(look_up)

    async def __call__(self, scope: MutableMapping[str, Any]) -> Identity | None:
        headers = [value for name, value in scope["headers"] if name == b"cookie"]
        if not headers:
            return None
        key = parse_cookie(b"; ".join(headers).decode("latin-1")).get(settings.SESSION_COOKIE_NAME)
        return await self._look_up(key) if key else None


class PageViewer:
    """What UsagePage asks: the claims of who is logged in, where to log in, or None for who is not `staff`."""

    def __init__(self, *, staff: bool) -> None:
        self._staff = staff
        self._session = DjangoSession(DatabaseThread())

    async def __call__(self, scope: MutableMapping[str, Any]) -> Mapping[str, Any] | str | None:
        viewer = await self._session(scope)
        if viewer is None:
            return f"{resolve_url(settings.LOGIN_URL)}?{urlencode({'next': scope['path']})}"
        return viewer.claims if viewer.claims["staff"] or not self._staff else None


def look_up(key: str) -> Identity | None:
    """The active user of a session that is good, else None."""
    request = HttpRequest()
    request.session = _Seen(import_module(settings.SESSION_ENGINE).SessionStore(key).items())  # type: ignore[assignment]
    user = get_user(request)
    return identity_of(user) if isinstance(user, AbstractBaseUser) and user.is_active else None


def identity_of(user: AbstractBaseUser) -> Identity:
    """The user in the words of rules: `jwt.sub` (the user name), email, groups, staff, superuser."""
    claims: dict[str, Any] = {
        "iss": ISSUER,
        "sub": user.get_username(),
        "email": getattr(user, user.get_email_field_name(), "") or "",
        "groups": list(user.groups.values_list("name", flat=True)) if hasattr(user, "groups") else [],
        "staff": bool(getattr(user, "is_staff", False)),
        "superuser": bool(getattr(user, "is_superuser", False)),
    }
    return Identity(subject=claims["sub"], issuer=ISSUER, provider=ISSUER, claims=claims)


class _Seen(dict[str, Any]):
    def cycle_key(self) -> None:
        """The browser's key stays good."""

    def flush(self) -> None:
        """A session that is no good is the site's to end."""
