"""Records in a database: the ledger, its journal, and what can be read from it."""

from __future__ import annotations

from asgi_llmgate.usage.ledger.database import Database, parse_url
from asgi_llmgate.usage.ledger.schema import NewerSchema
from asgi_llmgate.usage.ledger.sink import Ledger, State

__all__ = ["Database", "Ledger", "NewerSchema", "State", "parse_url"]
