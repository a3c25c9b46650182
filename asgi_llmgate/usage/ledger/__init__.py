"""The ledger: usage records in a database, its write-ahead journal, and reports."""

from __future__ import annotations

from asgi_llmgate.extras import needs_extra

with needs_extra("ledger", "the ledger"):
    import sqlalchemy  # noqa: F401

from asgi_llmgate.usage.ledger.database import Database
from asgi_llmgate.usage.ledger.engines import parse_url
from asgi_llmgate.usage.ledger.migrations import NewerSchema
from asgi_llmgate.usage.ledger.sink import Ledger, LedgerState

__all__ = ["Database", "Ledger", "LedgerState", "NewerSchema", "parse_url"]
