"""The tables from one version to the next, and numbers that stand for one row for ever."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from asgi_llmgate.usage.ledger import Database, NewerSchema, schema
from asgi_llmgate.usage.ledger import migrations as module
from tests.usage.ledger.records import NOON, Stored, record

DAY = 86400


@pytest.fixture
def first_version(url: sa.URL, monkeypatch: pytest.MonkeyPatch) -> sa.URL:
    """A database as version 1 made it, with two records."""
    with monkeypatch.context() as patch:
        patch.setattr(module, "MIGRATIONS", module.MIGRATIONS[:1])
        patch.setattr(module, "VERSION", 1)
        for table in (schema.usage_record, schema.usage_series):
            patch.setitem(table.dialect_options["sqlite"]._non_defaults, "autoincrement", False)
        old = Database(url)
        old.insert([record("a", subject="alice", tools=("Read",)), record("b", subject="bob")])
        old.close()
    return url


def numbered(stored: Stored) -> list[str]:
    made = stored("SELECT name, sql FROM sqlite_master WHERE name IN ('usage_record', 'usage_series')")
    return [name for name, sql in made if "AUTOINCREMENT" in sql]


def test_the_first_version_is_upgraded_with_all_its_rows(first_version: sa.URL, stored: Stored) -> None:
    tables = ("usage_record", "usage_series", "usage_rollup", "usage_tools")
    before = {table: stored(f"SELECT * FROM {table}") for table in tables}
    assert (numbered(stored), stored("SELECT version FROM usage_schema")) == ([], [(1,)])
    database = Database(first_version)
    database.migrate()
    assert {table: stored(f"SELECT * FROM {table}") for table in tables} == before
    assert sorted(numbered(stored)) == ["usage_record", "usage_series"]
    assert stored("SELECT max(version) FROM usage_schema") == [(module.VERSION,)]
    indexes = stored("SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY name")
    assert [name for (name,) in indexes] == [
        "usage_record_series",
        "usage_record_time",
        "usage_verdict_notify",
        "usage_verdict_outcome",
        "usage_verdict_time",
    ]
    assert stored("SELECT name FROM sqlite_master WHERE name LIKE '%_old'") == []
    assert database.insert([record("a"), record("c", subject="bob")]) == 1
    assert stored("SELECT count(*) FROM usage_series") == [(2,)]
    database.close()


def test_a_database_is_brought_here_once(first_version: sa.URL, stored: Stored) -> None:
    for _ in range(3):
        database = Database(first_version)
        database.migrate()
        database.close()
    assert stored("SELECT version FROM usage_schema ORDER BY 1") == [(1,), (module.VERSION,)]


@pytest.mark.parametrize("table", ["usage_record", "usage_series"])
@pytest.mark.parametrize("made", ["new", "first_version"])
def test_the_number_of_a_row_that_was_deleted_is_not_given_again(
    request: pytest.FixtureRequest, url: sa.URL, stored: Stored, table: str, made: str
) -> None:
    if made == "first_version":
        request.getfixturevalue("first_version")
    database = Database(url)
    seen: list[int] = []
    for turn in range(5):
        database.insert([record(f"{turn}-{number}", subject=f"{turn}-{number}") for number in range(3)])
        numbers = [row[0] for row in stored(f"SELECT id FROM {table}")]
        assert not set(numbers) & set(seen)
        seen += numbers
        database.prune(int(NOON) + 2 * DAY)
        assert stored(f"SELECT count(*) FROM {table}") == [(0,)]
    database.close()


def test_tables_of_a_later_version_are_left_alone(url: sa.URL, stored: Stored) -> None:
    database = Database(url)
    database.migrate()
    with database.writing() as connection:
        connection.execute(schema.usage_schema.insert().values(version=module.VERSION + 1))
    database.close()
    with pytest.raises(
        NewerSchema,
        match=f"version {module.VERSION + 1}, but this llmgate knows only up to {module.VERSION}: upgrade it",
    ):
        database.migrate()
    database.close()


def test_a_migration_that_fails_leaves_everything_as_it_was(
    first_version: sa.URL, stored: Stored, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(connection: sa.Connection) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "MIGRATIONS", (*module.MIGRATIONS, broken))
    monkeypatch.setattr(module, "VERSION", 3)
    database = Database(first_version)
    with pytest.raises(OSError, match="No space"):
        database.migrate()
    database.close()
    assert (numbered(stored), stored.ids()) == ([], ["a", "b"])
    assert stored("SELECT version FROM usage_schema") == [(1,)]
