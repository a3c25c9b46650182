"""asgi-llmgate for Django.

    # settings.py                                   # asgi.py
    INSTALLED_APPS = [..., "llmgate_django"]        import llmgate_django
    LLMGATE = {"auth": {...}, "backends": {...}}    application = llmgate_django.mount(get_asgi_application())

The app adds system checks, the commands `manage.py llmgate_check | llmgate_mint | llmgate_usage | llmgate_prune`, and a
table of usage records with pages in the admin.  `mount` works without the app.  `page_auth` is for a UsagePage.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from asgi_llmgate.extras import needs_extra

with needs_extra("django", "llmgate_django"):
    import django  # noqa: F401

from llmgate_django.site import mount

__all__ = ["mount", "page_auth"]


def page_auth(*, staff: bool = True) -> Callable[[MutableMapping[str, Any]], Awaitable[Mapping[str, Any] | str | None]]:
    """`page_auth` of a UsagePage for users who are logged in to the site: staff only, or all users.

    The viewer in the page's rule `see` has the user's claims (`sub`, `email`, `groups`, `staff`, `superuser`).
    Browsers without a login are sent to LOGIN_URL.
    """
    # Not at import: the user model exists only after django.setup().
    from llmgate_django.session import PageViewer

    return PageViewer(staff=staff)
