"""The usage page: a ledger's numbers and calls, in a browser."""

from __future__ import annotations

try:
    from asgi_llmgate.page.app import PageAuth, UsagePage
except ModuleNotFoundError as error:
    needed = (error.name or "").partition(".")[0]
    if needed not in ("sqlalchemy", "jinja2"):
        raise
    raise ImportError(f"the usage page needs {needed}: pip install 'asgi-llmgate[page]'", name=needed) from None

from asgi_llmgate.page.login_link import OneTimeLink

__all__ = ["OneTimeLink", "PageAuth", "UsagePage"]
