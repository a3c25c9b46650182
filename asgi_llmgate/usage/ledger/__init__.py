"""The ledger: usage records in a database, its write-ahead journal, and reports."""

from __future__ import annotations

try:
    import sqlalchemy  # noqa: F401
except ModuleNotFoundError:
    raise ImportError("the ledger needs sqlalchemy: pip install 'asgi-llmgate[ledger]'", name="sqlalchemy") from None

from asgi_llmgate.usage.ledger.database import Database
from asgi_llmgate.usage.ledger.engines import parse_url
from asgi_llmgate.usage.ledger.schema import NewerSchema
from asgi_llmgate.usage.ledger.sink import Ledger, LedgerState

__all__ = ["Database", "Ledger", "LedgerState", "NewerSchema", "parse_url"]
