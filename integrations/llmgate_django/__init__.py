"""asgi-llmgate at home in Django.

    # settings.py                                   # asgi.py
    INSTALLED_APPS = [..., "llmgate_django"]        import llmgate_django
    LLMGATE = {"auth": {...}, "backends": {...}}    application = llmgate_django.mount(get_asgi_application())

The app brings system checks, `manage.py llmgate_check | llmgate_mint | llmgate_usage | llmgate_prune`, and a table of
usage with its pages in the admin.  `mount` works without it.  `page_auth` is for a UsagePage beside it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

try:
    import django  # noqa: F401
except ImportError:
    raise ImportError("llmgate_django needs Django: pip install 'asgi-llmgate[django]'") from None

from llmgate_django.site import mount

__all__ = ["mount", "page_auth"]


def page_auth(*, staff: bool = True) -> Callable[[MutableMapping[str, Any]], Awaitable[Mapping[str, Any] | str | None]]:
    """`page_auth` of a UsagePage for who is logged in to the site: staff only, or everybody.

    A viewer is what rules see of a user (`sub`, `email`, `groups`, `staff`, `superuser`), for the page's `see`.  Who is
    not logged in is sent to LOGIN_URL.
    """
    from llmgate_django.session import PageViewer  # the user's model is there once Django is ready

    return PageViewer(staff=staff)
