"""A Django site inside the test process: Django can be configured once, so all tests share this one.

application = django_site.ready()          # configured and migrated; its database is a file of this run
"""

from __future__ import annotations

import atexit
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

ADMIN = ["admin", "auth", "contenttypes", "messages", "sessions"]


@cache
def ready() -> Any:
    """The site's ASGI application."""
    import django
    from django.conf import settings
    from django.core.asgi import get_asgi_application
    from django.core.management import call_command
    from django.db import connections

    folder = tempfile.TemporaryDirectory(prefix="llmgate-django-")
    atexit.register(folder.cleanup)
    settings.configure(
        SECRET_KEY="of the tests",
        ALLOWED_HOSTS=["*"],
        BASE_DIR=Path(folder.name),
        ROOT_URLCONF=__name__,
        USE_TZ=True,
        STATIC_URL="static/",
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=[*(f"django.contrib.{name}" for name in ADMIN), "llmgate_django"],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
        ],
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {
                    "context_processors": [
                        "django.template.context_processors.request",
                        "django.contrib.auth.context_processors.auth",
                        "django.contrib.messages.context_processors.messages",
                    ]
                },
            }
        ],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{folder.name}/db.sqlite3"}},
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    )
    django.setup()

    def migrate() -> None:
        call_command("migrate", verbosity=0)
        connections.close_all()

    with ThreadPoolExecutor(
        1
    ) as thread:  # the first to ask may be a coroutine, where Django's database refuses to work
        thread.submit(migrate).result()
    return get_asgi_application()


@contextmanager
def configured(setting: Any) -> Iterator[None]:
    """LLMGATE as it is when a process starts: no gateway that a test has left behind is told of a change."""
    from django.conf import settings

    settings.LLMGATE = setting
    try:
        yield
    finally:
        del settings.LLMGATE


def __getattr__(name: str) -> Any:
    """The URLs, once Django is there: the admin, `/whoami`, and a page at every other path."""
    if name != "urlpatterns":
        raise AttributeError(name)
    from django.contrib import admin
    from django.http import HttpRequest, HttpResponse, JsonResponse
    from django.urls import path, re_path

    def page(request: HttpRequest) -> HttpResponse:
        return HttpResponse(f"host {request.path}")

    def whoami(request: HttpRequest) -> JsonResponse:
        asgi_scope = getattr(request, "scope", {})
        exchange = asgi_scope.get("llmgate")
        return JsonResponse(
            {
                "user": request.user.get_username(),
                "caller": exchange.identity.subject if exchange else None,
                "authorization": request.headers.get("authorization"),
            }
        )

    found = [path("admin/", admin.site.urls), path("whoami", whoami), re_path("", page)]
    globals()["urlpatterns"] = found
    return found
