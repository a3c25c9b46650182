"""The usage page: a ledger's numbers and calls, in a browser."""

from __future__ import annotations

from asgi_llmgate.extras import needs_extra
from asgi_llmgate.page.login_link import OneTimeLink

with needs_extra("page", "the usage page"):
    from asgi_llmgate.page.app import PageAuth, UsagePage

__all__ = ["OneTimeLink", "PageAuth", "UsagePage"]
