"""A ledger's database in a folder, and a PostgreSQL server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from asgi_llmgate.usage.ledger import parse_url
from tests.helpers.postgresql import PostgreSQL, postgresql_server
from tests.usage.ledger.records import Stored


@pytest.fixture
def url(tmp_path: Path) -> sa.URL:
    return parse_url("sqlite:///ledger.db", tmp_path)


@pytest.fixture
def stored(url: sa.URL) -> Iterator[Stored]:
    found = Stored(url)
    yield found
    found.database.close()


@pytest.fixture
def postgresql() -> Iterator[PostgreSQL]:
    with postgresql_server() as server:
        yield server
