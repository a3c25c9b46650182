"""The usage page: what the ledger says, to be looked at in a browser."""

from __future__ import annotations

from asgi_llmgate.page.app import UsagePage
from asgi_llmgate.page.link import OneTimeLink

__all__ = ["OneTimeLink", "UsagePage"]
