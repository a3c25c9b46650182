"""asgi-llmgate at home in Django.

    # settings.py                                   # asgi.py
    INSTALLED_APPS = [..., "llmgate_django"]        import llmgate_django
    LLMGATE = {"auth": {...}, "backends": {...}}    application = llmgate_django.mount(get_asgi_application())

The app brings system checks, `manage.py llmgate_check | llmgate_mint | llmgate_usage | llmgate_prune`, and a table of
usage with its pages in the admin.  `mount` works without it.
"""

from __future__ import annotations

try:
    import django  # noqa: F401
except ImportError:
    raise ImportError("llmgate_django needs Django: pip install 'asgi-llmgate[django]'") from None

from llmgate_django.site import mount

__all__ = ["mount"]
